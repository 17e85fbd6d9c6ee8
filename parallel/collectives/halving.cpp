// Halving and doubling: partners as in recursive doubling, but each round deals with half of what the round before did.
//
//   p=4, chunks a b c d         round 0: partner r^1         round 1: partner r^2        then the same way back, copying
//                               one keeps ab, one cd         one keeps the first half
//     rank 0   0a 0b 0c 0d      01a 01b  .   .               *a   .   .   .              *a  *b  .   .      *a *b *c *d
//     rank 1   1a 1b 1c 1d       .   .  01c 01d               .   .  *c   .               .   .  *c  *d     *a *b *c *d
//     rank 2   2a 2b 2c 2d      23a 23b  .   .                .  *b   .   .              *a  *b  .   .      *a *b *c *d
//     rank 3   3a 3b 3c 3d       .   .  23c 23d               .   .   .  *d               .   .  *c  *d     *a *b *c *d
//
// The way there is a reduce-scatter (each rank ends with one summed chunk), the way back an allgather. It sends as few bytes as the
// ring in 2 log2 p rounds instead of 2(p-1). The nearest partner comes first, so the sums form the rank tree and give the bits of serial
// training; with the farthest first, as in some libraries' reduce-scatter, they would not. The chunk that a rank ends with is its number
// with the bits in reverse order.
//
// Source: Rabenseifner, "Optimization of Collective Reduction Operations", ICCS 2004; Thakur et al. 2005, section 4.4.
#include "core/error.hpp"
#include "parallel/collectives/algorithms.hpp"
#include "parallel/collectives/fold.hpp"

namespace tandem {
namespace {

// Chunks [begin, end) together.
Piece chunks(const Cuts& cuts, int begin, int end) {
  return {.begin = cuts[static_cast<std::size_t>(begin)], .end = cuts[static_cast<std::size_t>(end)]};
}

// The halving of one among 2^k, which is the number of chunks.
Plan halve(int position, const Fold& fold, const Cuts& cuts) {
  Plan plan;
  int begin = 0, end = fold.power;
  for (int distance = 1; distance < fold.power; distance *= 2) {
    const int middle = (begin + end) / 2, partner = fold.rank_at(position ^ distance);
    const Piece first = chunks(cuts, begin, middle), second = chunks(cuts, middle, end);
    const bool keeps_second = position & distance;
    plan.push_back({.to = partner, .out = keeps_second ? first : second, .from = partner, .in = keeps_second ? second : first, .add = true});
    (keeps_second ? begin : end) = middle;
  }
  return plan;
}

// The way back: what was kept goes out, what was given away comes in.
Plan double_back(Plan plan) {
  std::ranges::reverse(plan);
  for (Move& move : plan) {
    std::swap(move.out, move.in);
    move.add = false;
  }
  return plan;
}

}  // namespace

int halving_owner(int chunk, int ranks) {
  int reversed = 0;
  for (int bit = 1; bit < ranks; bit *= 2) reversed = 2 * reversed + ((chunk & bit) != 0);
  return reversed;
}

Plan halving_reduce_scatter(int rank, const Cuts& cuts) {
  const Fold fold{static_cast<int>(cuts.size()) - 1};
  require(fold.pairs == 0, "halving: {} ranks cannot each end with a chunk; it takes a power of two", fold.ranks);
  return halve(rank, fold, cuts);
}

Plan doubling_allgather(int rank, const Cuts& cuts) { return double_back(halving_reduce_scatter(rank, cuts)); }

Plan halving_reduce_scatter(int rank, int ranks, std::size_t count) { return halving_reduce_scatter(rank, even_cuts(count, ranks)); }
Plan doubling_allgather(int rank, int ranks, std::size_t count) { return doubling_allgather(rank, even_cuts(count, ranks)); }

Plan halving_allreduce(int rank, int ranks, std::size_t count) {
  const Fold fold{ranks};
  return fold.around(rank, count, [&](int position) {
    Plan plan = halve(position, fold, even_cuts(count, fold.power));
    std::ranges::copy(double_back(plan), std::back_inserter(plan));
    return plan;
  });
}

// log2 p a + (p-1)/p n b, p = 2^k
Seconds doubling_allgather_cost(int ranks, std::size_t bytes, Link link) {
  const double p = ranks, n = static_cast<double>(bytes);
  return Fold{ranks}.levels() * link.alpha + (p - 1) / p * n * link.beta;
}

// ... + (p-1)/p n g
Seconds halving_reduce_scatter_cost(int ranks, std::size_t bytes, Link link) {
  const double p = ranks, n = static_cast<double>(bytes);
  return doubling_allgather_cost(ranks, bytes, link) + (p - 1) / p * n * link.gamma;
}

// Both halves of 2^k ranks, and what folding costs
Seconds halving_allreduce_cost(int ranks, std::size_t bytes, Link link) {
  const Fold fold{ranks};
  return halving_reduce_scatter_cost(fold.power, bytes, link) + doubling_allgather_cost(fold.power, bytes, link) + fold.cost(bytes, link);
}

// Each of 2^k ranks sends (p-1)/p n bytes.
Traffic doubling_allgather_traffic(int ranks, std::size_t bytes) {
  const Fold fold{ranks};
  return {.messages = static_cast<std::size_t>(fold.power * fold.levels()), .bytes = static_cast<std::size_t>(fold.power - 1) * bytes};
}

Traffic halving_allreduce_traffic(int ranks, std::size_t bytes) {
  const Fold fold{ranks};
  const Traffic half = doubling_allgather_traffic(fold.power, bytes), folding = fold.traffic(bytes);
  return {.messages = 2 * half.messages + folding.messages, .bytes = 2 * half.bytes + folding.bytes};
}

}  // namespace tandem
