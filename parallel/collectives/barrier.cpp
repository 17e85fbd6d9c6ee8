// Barrier: nobody leaves before everybody has come. In round k every rank tells the one 2^k further on, and hears from the one 2^k
// before.
//
//   p=5            round 0: +1                round 1: +2                 round 2: +4
//     rank 0       heard of 4 0               heard of 2 3 4 0            heard of all
//     rank 1       heard of 0 1               heard of 3 4 0 1            heard of all
//     ...          what one has heard doubles each round, for any p, without a root that all must pass
//
// Source: Hensgen, Finkel, Manber, "Two Algorithms for Barrier Synchronization", Int. J. Parallel Programming 17(1), 1988.
#include <bit>

#include "parallel/collectives/algorithms.hpp"

namespace tandem {

Plan dissemination_barrier(int rank, int ranks, std::size_t) {
  Plan plan;
  for (int distance = 1; distance < ranks; distance *= 2)
    plan.push_back({.to = (rank + distance) % ranks, .from = (rank - distance + ranks) % ranks});
  return plan;
}

// ceil(log2 p) a
Seconds barrier_cost(int ranks, Link link) { return std::bit_width(static_cast<unsigned>(ranks - 1)) * link.alpha; }

// p ceil(log2 p) empty messages
Traffic barrier_traffic(int ranks) {
  return {.messages = static_cast<std::size_t>(ranks * std::bit_width(static_cast<unsigned>(ranks - 1))), .bytes = 0};
}

}  // namespace tandem
