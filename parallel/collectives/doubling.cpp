// Recursive doubling: in round k every rank swaps its whole partial sum with the rank whose number differs in bit k.
//
//   p=4            round 0: partner r^1          round 1: partner r^2
//     rank 0   0    <-+      0+1                  <-+       (0+1)+(2+3)
//     rank 1   1    <-+      0+1                  <-|-+     (0+1)+(2+3)
//     rank 2   2    <-+      2+3                  <-+ |     (0+1)+(2+3)
//     rank 3   3    <-+      2+3                  <---+     (0+1)+(2+3)
//
// Nearest partner first, so the sums form the rank tree. Both partners add the same two numbers, and a+b == b+a to the last
// bit, so all ranks agree. log2 p rounds is the least possible; but the whole vector travels in each, so this is for short
// vectors. Other rank counts than 2^k: fold.hpp.
//
// Source: Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in MPICH", IJHPCA 19(1), 2005,
// section 4 (allreduce).
#include "parallel/collectives/algorithms.hpp"
#include "parallel/collectives/fold.hpp"

namespace tandem {

Plan doubling_allreduce(int rank, int ranks, std::size_t count) {
  const Fold fold{ranks};
  return fold.around(rank, count, [&](int position) {
    Plan plan;
    for (int distance = 1; distance < fold.power; distance *= 2) {
      const int partner = fold.rank_at(position ^ distance);
      plan.push_back({.to = partner, .out = {0, count}, .from = partner, .in = {0, count}, .add = true});
    }
    return plan;
  });
}

// log2 p (a + n b + n g), and what folding costs
Seconds doubling_allreduce_cost(int ranks, std::size_t bytes, Link link) {
  const Fold fold{ranks};
  const double n = static_cast<double>(bytes);
  return fold.levels() * (link.alpha + n * link.beta + n * link.gamma) + fold.cost(bytes, link);
}

// 2^k k messages of n bytes, and 2 for each folded pair
Traffic doubling_allreduce_traffic(int ranks, std::size_t bytes) {
  const Fold fold{ranks};
  const auto messages = static_cast<std::size_t>(fold.power * fold.levels());
  const Traffic folding = fold.traffic(bytes);
  return {.messages = messages + folding.messages, .bytes = messages * bytes + folding.bytes};
}

}  // namespace tandem
