// Why the ranks of a knot can never go on: the kind of mistake, in words.
//
//   mismatched_collective   on one communicator, ranks have made different collective calls, or with different roots or lengths
//   tag_mismatch            a message has been sent, but with another tag than the receive wants
//   communicator_mismatch   ... on another communicator
//   unequal_counts          a rank has finished after fewer collective calls than the others make
//   early_exit              a rank has finished for which others wait
//   cycle                   ranks wait for each other in a ring
//
// They are looked for in this order, since each may also show as one of those below it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "parallel/mpi/watch/snapshot.hpp"

namespace tandem::watch {

struct Diagnosis {
  std::string kind;        // as above
  std::vector<int> stuck;  // the ranks that can never go on
  std::string what;        // a sentence
  std::string advice;      // another one
};

std::optional<Diagnosis> diagnose(const Snapshot& now);  // none: all ranks can go on

}  // namespace tandem::watch
