// The ring: every rank talks to its two neighbours only, and never sends more than one chunk (n/p) at a time.
//
//   reduce-scatter, p=3; rk is chunk k of rank r; each step hands a chunk to the next rank, which adds its own part
//
//                         step 0: send chunk r-1      step 1: send chunk r-2
//     rank 0   00 01 02   02 ->   00 01+21    02      01+21 ->   *00+20+10*     ..          ..
//     rank 1   10 11 12   10 ->   10 11    12+02      12+02 ->   ..         *11+01+21*      ..
//     rank 2   20 21 22   21 ->   20+10 21    22      20+10 ->   ..             ..      *22+12+02*
//
//   allgather: the finished chunks (*) go round once more, copied instead of added
//
// Each rank sends (p-1) chunks in each half: 2(p-1)/p n bytes, nearly independent of p, and no allreduce can send fewer. The
// price is 2(p-1) latencies: this is for long vectors on few ranks.
//
// The bits: chunk k is summed in the order k+1, k+2, ..., k+p = k, each chunk starting elsewhere and one term at a time.
// From p=3 on this is not the rank tree, so training with the ring gives other bits than serial training.
//
// Source: Patarasuk, Yuan, "Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations", JPDC 69(2), 2009.
#include <algorithm>
#include <iterator>

#include "parallel/collectives/algorithms.hpp"

namespace tandem {

Plan ring_reduce_scatter(int rank, const Cuts& cuts) {
  const int ranks = static_cast<int>(cuts.size()) - 1, next = (rank + 1) % ranks, prev = (rank + ranks - 1) % ranks;
  Plan plan;
  for (int step = 1; step < ranks; ++step)
    plan.push_back({.to = next, .out = chunk(cuts, rank - step), .from = prev, .in = chunk(cuts, rank - step - 1), .add = true});
  return plan;
}

Plan ring_allgather(int rank, const Cuts& cuts) {
  const int ranks = static_cast<int>(cuts.size()) - 1, next = (rank + 1) % ranks, prev = (rank + ranks - 1) % ranks;
  Plan plan;
  for (int step = 0; step < ranks - 1; ++step)
    plan.push_back({.to = next, .out = chunk(cuts, rank - step), .from = prev, .in = chunk(cuts, rank - step - 1)});
  return plan;
}

Plan ring_reduce_scatter(int rank, int ranks, std::size_t count) { return ring_reduce_scatter(rank, even_cuts(count, ranks)); }
Plan ring_allgather(int rank, int ranks, std::size_t count) { return ring_allgather(rank, even_cuts(count, ranks)); }

Plan ring_allreduce(int rank, int ranks, std::size_t count) {
  Plan plan = ring_reduce_scatter(rank, ranks, count);
  std::ranges::copy(ring_allgather(rank, ranks, count), std::back_inserter(plan));
  return plan;
}

// (p-1) a + (p-1)/p n b
Seconds ring_allgather_cost(int ranks, std::size_t bytes, Link link) {
  const double p = ranks, n = static_cast<double>(bytes);
  return (p - 1) * link.alpha + (p - 1) / p * n * link.beta;
}

// ... + (p-1)/p n g
Seconds ring_reduce_scatter_cost(int ranks, std::size_t bytes, Link link) {
  const double p = ranks, n = static_cast<double>(bytes);
  return ring_allgather_cost(ranks, bytes, link) + (p - 1) / p * n * link.gamma;
}

Seconds ring_allreduce_cost(int ranks, std::size_t bytes, Link link) {
  return ring_reduce_scatter_cost(ranks, bytes, link) + ring_allgather_cost(ranks, bytes, link);
}

// Each chunk travels p-1 hops; empty chunks (n < p) travel too, so that every rank walks the same steps.
Traffic ring_allgather_traffic(int ranks, std::size_t bytes) {
  const auto p = static_cast<std::size_t>(ranks);
  return {.messages = (p - 1) * p, .bytes = (p - 1) * bytes};
}

Traffic ring_allreduce_traffic(int ranks, std::size_t bytes) {
  const Traffic half = ring_allgather_traffic(ranks, bytes);
  return {.messages = 2 * half.messages, .bytes = 2 * half.bytes};
}

}  // namespace tandem
