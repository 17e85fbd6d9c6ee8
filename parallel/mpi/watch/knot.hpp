// Which ranks can never go on.
//
// A rank *can go on* if it is not in MPI, or if what it waits for can still come:
//
//   a message from q     is under way (q has begun to send more than were received), or q can go on
//   q receives mine      q has posted a receive that fits, or q can go on
//   a collective         each member has come to it, with the same call, or can go on
//   a shared window      each rank that is missing can go on
//   all of / any of      all of the operations, or any one
//
// Begin with the ranks that are busy, add those that can go on thanks to them, and so on until nobody is added. Whoever is left waits
// only for others who are left, or for ranks that have finished: a *knot*. No event inside MPI can ever open it, however long one
// waits, so a slow rank raises no alarm, and a knot of two is found while a third rank computes.
//
//   rank 0  receives from 1          3 is busy, so 2 can go on. 0 and 1 are left: a knot.
//   rank 1  receives from 0
//   rank 2  receives from 3
//   rank 3  computes
//
// Where the board does not know enough (a communicator between groups, a table that is full) it assumes that the rank can go on.
//
// Source: Holt, "Some deadlock properties of computer systems", Computing Surveys 4(3), 1972; for MPI with its and/or waits: Hilbrich
// et al., "A graph based approach for MPI deadlock detection", ICS 2009.
#pragma once

#include <vector>

#include "parallel/mpi/watch/snapshot.hpp"

namespace tandem::watch {

class Knot {
 public:
  explicit Knot(const Snapshot& now);

  const std::vector<int>& ranks() const { return ranks_; }  // in order; empty: all can go on

  // Those of rank r's operations that can never end.
  std::vector<Operation> hopeless(int r) const;
  // Of the ranks that such an operation waits for, those that can never come: they are in the knot, or have finished.
  std::vector<int> lost(int r, const Operation& o) const;

 private:
  bool able(int rank) const { return able_[static_cast<std::size_t>(rank)]; }
  bool can_go_on(int r) const;
  bool can_end(int r, const Operation& o) const;

  const Snapshot& now_;
  std::vector<bool> able_;
  std::vector<int> ranks_;
};

bool fits(int wanted, int given);               // a rank or a tag: equal, or any will do
bool alike(const Event& a, const Event& b);     // the same collective call
std::vector<int> sources(const RankView& rank, const Operation& receive);
std::uint64_t under_way(const Snapshot& now, int from, int to, GroupId group, int tag);  // messages begun, but not received

}  // namespace tandem::watch
