// The board at one moment, as plain values: what diagnose() thinks about. No MPI and no shared memory, so tests can write one down.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "parallel/mpi/watch/board.hpp"

namespace tandem::watch {

struct Between {  // a channel: from or to a peer
  int peer;
  GroupId group;
  int tag;
  auto operator<=>(const Between&) const = default;
};

struct GroupView {
  std::string name;  // empty: it has none
  Members members;
  std::uint64_t count = 0;                         // collective calls so far
  std::map<std::uint64_t, Event> last;             // by number
  std::map<Call, std::uint32_t> counts;            // of each kind
};

struct RankView {
  State state = State::outside;
  bool quiet = false;     // it has not progressed for so long that it may be judged; else it counts as busy
  bool overflow = false;  // its counts are not complete
  Call call{};
  bool all = true;                    // it waits for all of `waits`, else for any one
  std::vector<Operation> waits;
  std::vector<Operation> receives;    // posted and not complete, in order of posting, also those among `waits`
  std::map<Between, std::uint64_t> sent, received;
  std::map<GroupId, GroupView> groups;

  bool gone() const { return state == State::finalized || state == State::exited; }
};

struct Snapshot {
  std::vector<RankView> ranks;
  const RankView& of(int rank) const { return ranks[static_cast<std::size_t>(rank)]; }
};

RankView view(const Page& page);

}  // namespace tandem::watch
