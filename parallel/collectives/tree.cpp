// The binomial tree: values flow to the root, pair by pair, and the sum flows back the same way.
//
//   p=8, reduce to rank 0                    and broadcast from it: the arrows turned around, the last first
//
//     0 <- 1     2 <- 3     4 <- 5     6 <- 7        round 0: bit 0
//     0 <------- 2          4 <------- 6             round 1: bit 1
//     0 <------------------ 4                        round 2: bit 2
//
// A rank's number in binary tells its place: the lowest 1 bit says in which round it hands over, to the rank without that bit; before,
// it has served all lower bits. So every rank but the root sends its sum once and receives the result once, and the longest way is
// 2 ceil(log2 p) messages. Each carries the whole vector, though: for short vectors.
//
// The bits: nearest first, so for p = 2^k ranks the sum is the rank tree ((0+1)+(2+3))+((4+5)+(6+7)).
//
// Source: Chan, Heimlich, Purkayastha, van de Geijn, "Collective communication: theory, practice, and experience",
// Concurrency and Computation 19(13), 2007 (minimum-spanning-tree broadcast and reduce).
#include <algorithm>
#include <bit>

#include "parallel/collectives/algorithms.hpp"

namespace tandem {
namespace {

int rounds(int ranks) { return std::bit_width(static_cast<unsigned>(ranks - 1)); }  // ceil(log2 p)

// Ranks are numbered from the root on, so that the root is 0.
int place_of(int rank, int root, int ranks) { return (rank - root + ranks) % ranks; }

}  // namespace

Plan tree_reduce(int rank, int ranks, std::size_t count, int root) {
  const int place = place_of(rank, root, ranks);
  const auto rank_at = [&](int other) { return (other + root) % ranks; };
  const Piece all{0, count};
  Plan plan;
  for (int bit = 1; bit < ranks; bit *= 2) {
    if (place & bit) {
      plan.push_back({.to = rank_at(place - bit), .out = all});
      break;
    }
    if (place + bit < ranks) plan.push_back({.from = rank_at(place + bit), .in = all, .add = true});
  }
  return plan;
}

Plan tree_broadcast(int rank, int ranks, std::size_t count, int root) {
  Plan plan = tree_reduce(rank, ranks, count, root);
  std::ranges::reverse(plan);
  for (Move& move : plan) {
    std::swap(move.to, move.from);
    std::swap(move.out, move.in);
    move.add = false;
  }
  return plan;
}

Plan tree_allreduce(int rank, int ranks, std::size_t count) {
  Plan plan = tree_reduce(rank, ranks, count, 0);
  std::ranges::copy(tree_broadcast(rank, ranks, count, 0), std::back_inserter(plan));
  return plan;
}

// ceil(log2 p) (a + n b)
Seconds broadcast_cost(int ranks, std::size_t bytes, Link link) {
  return rounds(ranks) * (link.alpha + static_cast<double>(bytes) * link.beta);
}

// ceil(log2 p) (a + n b + n g)
Seconds reduce_cost(int ranks, std::size_t bytes, Link link) {
  return broadcast_cost(ranks, bytes, link) + rounds(ranks) * static_cast<double>(bytes) * link.gamma;
}

Seconds tree_allreduce_cost(int ranks, std::size_t bytes, Link link) {
  return reduce_cost(ranks, bytes, link) + broadcast_cost(ranks, bytes, link);
}

Traffic broadcast_traffic(int ranks, std::size_t bytes) {
  const auto others = static_cast<std::size_t>(ranks - 1);
  return {.messages = others, .bytes = others * bytes};
}

Traffic tree_allreduce_traffic(int ranks, std::size_t bytes) {
  const Traffic one_way = broadcast_traffic(ranks, bytes);
  return {.messages = 2 * one_way.messages, .bytes = 2 * one_way.bytes};
}

}  // namespace tandem
