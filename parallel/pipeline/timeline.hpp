// When which rank does what: the common form of what a simulation predicts and what a run measures.
#pragma once

#include <cstddef>
#include <vector>

#include "parallel/pipeline/schedule.hpp"

namespace tandem {

// What a message costs the ranks that wait for it is a RECV; a sum over replicas that goes on beside the computing is a REDUCE_GRAD. An EXCHANGE
// lies inside another span: there the rank waited for others in the middle of its work, as layers that are split over ranks do.
struct Span {
  Action what;
  double begin = 0, end = 0;  // seconds, or whatever unit the costs have
  double seconds() const { return end - begin; }
};

// Bytes that tensors and work areas of a rank own at a moment.
struct MemorySample {
  double time = 0;
  std::size_t bytes = 0;
};

struct Timeline {
  std::vector<std::vector<Span>> ranks = {};           // of each rank, by begin; what lies inside a span comes behind it
  std::vector<std::vector<MemorySample>> memory = {};  // of each rank, if measured

  double makespan() const;               // from 0 to the last end
  // Share of ranks x makespan in which no rank computes: 1 - (time in F, B, I, W and UPDATE, but not in an EXCHANGE inside them) /
  // (ranks x makespan). In a pipeline without messages and updates this is the bubble as a share of the total.
  double idle_share() const;
};

// F, B, I, W and UPDATE, as opposed to communication.
bool computes(Op op);

}  // namespace tandem
