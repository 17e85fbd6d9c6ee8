// Gather and scatter: the root exchanges one chunk with each other rank.
//
//   scatter, p=3, root 1                                gather: the arrows turned around
//
//     rank 0                          0a                  0a --.
//     rank 1   1a 1b 1c --> 1a to 0, 1c to 2; keeps 1b         +--> 0a 1b 2c at rank 1
//     rank 2                                2c            2c --'
//
// The root must send or take (p-1)/p n bytes in any case. A tree would save it latencies, log2 p instead of p-1, but pass most chunks
// on several times; here each byte travels once.
#include "parallel/collectives/algorithms.hpp"

namespace tandem {

Plan flat_scatter(int rank, int ranks, std::size_t count, int root) {
  if (rank != root) return {{.from = root, .in = chunk(count, rank, ranks)}};
  Plan plan;
  for (int other = 0; other < ranks; ++other)
    if (other != root) plan.push_back({.to = other, .out = chunk(count, other, ranks)});
  return plan;
}

Plan flat_gather(int rank, int ranks, std::size_t count, int root) {
  Plan plan = flat_scatter(rank, ranks, count, root);
  for (Move& move : plan) {
    std::swap(move.to, move.from);
    std::swap(move.out, move.in);
  }
  return plan;
}

// (p-1) a + (p-1)/p n b
Seconds gather_cost(int ranks, std::size_t bytes, Link link) {
  const double p = ranks;
  return (p - 1) * link.alpha + (p - 1) / p * static_cast<double>(bytes) * link.beta;
}

// All but the root's own chunk
Traffic gather_traffic(int ranks, std::size_t count, std::size_t value_bytes, int root) {
  return {.messages = static_cast<std::size_t>(ranks - 1), .bytes = (count - chunk(count, root, ranks).size()) * value_bytes};
}

}  // namespace tandem
