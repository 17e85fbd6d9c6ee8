// Which ranks can never go on, and why.
//
// A rank *can go on* if it is not in MPI, or if what it waits for can still come:
//
//   a message from q     is under way (q has begun to send more than were received), or q can go on
//   q receives mine      q has posted a receive that fits, or q can go on
//   a collective         each member has come to it, with the same call, or can go on
//   all of / any of      all of the operations, or any one
//
// Begin with the ranks that are busy, add those that can go on thanks to them, and so on until nobody is added. Whoever is left waits
// only for others who are left, or for ranks that have finished: a *knot*. No event inside MPI can ever open it, however long one
// waits, so a slow rank raises no alarm, and a knot of two is found while a third rank computes.
//
// Where the board does not know enough (a communicator between groups, a table that is full) it assumes that the rank can go on.
//
// Source: the graph of waits and its knots: Holt, "Some deadlock properties of computer systems", Computing Surveys 4(3), 1972; for
// MPI with its and/or waits: Hilbrich et al., "A graph based approach for MPI deadlock detection", ICS 2009.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "parallel/mpi/watch/snapshot.hpp"

namespace tandem::watch {

struct Diagnosis {
  std::string kind;        // cycle, tag_mismatch, communicator_mismatch, mismatched_collective, unequal_counts, early_exit
  std::vector<int> stuck;  // ranks that can never go on
  std::string what;        // a sentence
  std::string advice;      // another one
};

std::optional<Diagnosis> diagnose(const Snapshot& now);

// "Recv from rank 0, tag 3, 8 bytes"
std::string describe(const Operation& operation, const RankView& rank);
// "Waitall for Irecv from rank 1, tag 0, 4 bytes and Isend to rank 2, tag 0, 4 bytes"
std::string describe(const RankView& rank);

}  // namespace tandem::watch
