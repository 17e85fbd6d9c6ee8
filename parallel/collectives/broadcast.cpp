// Broadcast along a binomial tree: in every round each rank that has the values passes them to one that has not.
//
//   p=8, numbered from the root        round 0: +4      round 1: +2            round 2: +1
//
//     0 ------------------------------> 4
//     0 -----------------------------------------------> 2       4 -> 6
//     0 -> 1     2 -> 3     4 -> 5     6 -> 7
//
// A rank's number in binary tells its place: the lowest 1 bit says in which round it receives, from the rank without that
// bit; afterwards it serves all lower bits. The number of owners doubles each round: ceil(log2 p) rounds, each rank
// receives once.
//
// Source: Chan, Heimlich, Purkayastha, van de Geijn, "Collective communication: theory, practice, and experience",
// Concurrency and Computation 19(13), 2007 (minimum-spanning-tree broadcast).
#include <bit>

#include "core/error.hpp"
#include "parallel/collectives/collectives.hpp"

namespace tandem {

void broadcast_bytes(std::span<std::byte> bytes, int root, const Communicator& comm) {
  const int p = comm.size();
  require(root >= 0 && root < p, "broadcast: there is no rank {} among {}", root, p);
  const int place = (comm.rank() - root + p) % p;
  const auto rank_at = [&](int other) { return (other + root) % p; };

  // The root serves every bit; anyone else the bits below the one it receives by.
  int bit = static_cast<int>(std::bit_ceil(static_cast<unsigned>(p)));
  if (place != 0) {
    bit = place & -place;
    comm.receive(bytes, rank_at(place - bit));
  }
  for (bit /= 2; bit > 0; bit /= 2)
    if (place + bit < p) comm.send(bytes, rank_at(place + bit));
}

Seconds broadcast_cost(int ranks, std::size_t bytes, Link link) {
  const int rounds = std::bit_width(static_cast<unsigned>(ranks - 1));  // ceil(log2 p)
  return rounds * (link.alpha + static_cast<double>(bytes) * link.beta);
}

Traffic broadcast_traffic(int ranks, std::size_t bytes) {
  const auto others = static_cast<std::size_t>(ranks - 1);
  return {.messages = others, .bytes = others * bytes};
}

}  // namespace tandem
