// The board at one moment, as plain values: what knot.hpp and diagnosis.hpp think about.
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
using Counts = std::map<Between, std::uint64_t>;

struct GroupView {
  std::string name;  // empty: it has none
  std::vector<int> members;
  std::uint64_t count = 0;              // collective calls so far
  std::map<std::uint64_t, Event> last;  // by number
};

struct RankView {
  State state = State::outside;
  bool quiet = false;  // it waits, and has for so long that it may be judged; else it counts as busy
  Name call;
  bool all = true;  // it waits for all of `waits`, else for any one
  std::vector<Operation> waits;
  std::vector<Operation> receives;  // posted and not complete, in order of posting, also those among `waits`
  Counts sent, received;
  std::map<GroupId, GroupView> groups;

  bool gone() const { return state == State::finalized || state == State::exited; }
  const GroupView* group(GroupId id) const;                        // null: it has none, or has freed it
  const Event* event(GroupId id, std::uint64_t number) const;      // null: not remembered
  const std::vector<int>& members(GroupId id) const;
};

struct Snapshot {
  std::vector<RankView> ranks;
  int size() const { return static_cast<int>(ranks.size()); }
  const RankView& of(int rank) const { return ranks[static_cast<std::size_t>(rank)]; }
};

RankView view(const Page& page);
std::vector<int> list(const Members& members);

}  // namespace tandem::watch
