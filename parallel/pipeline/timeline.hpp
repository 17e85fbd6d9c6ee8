// When which rank does what: the common form of what a simulation predicts and what a run measures.
#pragma once

#include <vector>

#include "parallel/pipeline/schedule.hpp"

namespace tandem {

// What a message costs the ranks that wait for it is a RECV; a sum over replicas that goes on beside the computing is a REDUCE_GRAD.
struct Span {
  Action what;
  double begin = 0, end = 0;  // seconds, or whatever unit the costs have
  double seconds() const { return end - begin; }
};

struct Timeline {
  std::vector<std::vector<Span>> ranks;  // of each rank, by begin

  double makespan() const;               // from 0 to the last end
  // Share of ranks x makespan in which no rank computes: 1 - (time in F, B, I, W and UPDATE) / (ranks x makespan). In a pipeline
  // without messages and updates this is the bubble as a share of the total.
  double idle_share() const;
};

// F, B, I, W and UPDATE, as opposed to communication.
bool computes(Op op);

}  // namespace tandem
