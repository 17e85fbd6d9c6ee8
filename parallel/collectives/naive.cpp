// The naive allreduce: rank 0 takes everybody's values, one rank after the other, and sends everybody the sum.
//
//   p=4     rank 0   0 ... +1 ... +2 ... +3   sum   sum   sum
//           rank 1   1 -'          |      |   <-'     |     |
//           rank 2   2 ------------'      |   <-------'     |
//           rank 3   3 -------------------'   <-------------'
//
// It sends no byte more than the ring. But they all pass through rank 0, one message after the other: 2(p-1) times the whole vector,
// while the others wait. Everything else in this folder is a way to have more ranks busy at a time.
//
// The bits: ((0+1)+2)+3, which from four ranks on is not the rank tree.
#include "parallel/collectives/algorithms.hpp"

namespace tandem {

Plan naive_allreduce(int rank, int ranks, std::size_t count) {
  const Piece all{0, count};
  if (rank != 0) return {{.to = 0, .out = all}, {.from = 0, .in = all}};
  Plan plan;
  for (int other = 1; other < ranks; ++other) plan.push_back({.from = other, .in = all, .add = true});
  for (int other = 1; other < ranks; ++other) plan.push_back({.to = other, .out = all});
  return plan;
}

// 2(p-1)(a + n b) + (p-1) n g
Seconds naive_allreduce_cost(int ranks, std::size_t bytes, Link link) {
  const double others = ranks - 1, n = static_cast<double>(bytes);
  return 2 * others * (link.alpha + n * link.beta) + others * n * link.gamma;
}

Traffic naive_allreduce_traffic(int ranks, std::size_t bytes) {
  const auto others = static_cast<std::size_t>(ranks - 1);
  return {.messages = 2 * others, .bytes = 2 * others * bytes};
}

}  // namespace tandem
