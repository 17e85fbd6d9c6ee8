// When each action of a schedule runs, if we know how long each takes.
//
//     needs     F of stage s, micro-batch i      F of stage s-1, micro-batch i        an action begins as soon as its rank has done
//               B or I of s, i                   B or I of s+1, i                      what comes before it in the rank's program,
//               W of s, i                        I of s, i, before it in the program   and what it needs is there
//
// So the end of each action is the larger of two earlier ends, plus its own time ("max-plus algebra"): no events, no clock, no random numbers.
// Each rank is moved on until it needs what another has not done yet; when nobody can move and somebody is not through, it is a deadlock.
//
// A schedule that comes through here cannot deadlock the executor. The executor's sends never wait: each begins a message and goes on. So a rank
// waits in receives alone, in the order of its own program, and a receive is over when the other rank has sent, that is, when it has come to the
// end of an action that stands here under `needs`. Had all ranks of a running job to wait for each other, they would do so here too: the same
// programs, the same needs. (The reductions over replicas are begun in an order that the schedule fixes, the same on all replicas.)
//
// Cost: one visit to each action and 16 bytes for each pair of stage and micro-batch; 4096 ranks x 1024 micro-batches take a few seconds.
#pragma once

#include "parallel/pipeline/timeline.hpp"

namespace tandem {

// What a message from a stage to its neighbour costs if they are on different ranks.
struct Hop {
  double delay = 0;  // from the end of the action that sends to its arrival; nobody is busy with it
  double busy = 0;   // then the receiver takes it in (a copy), before the action that needs it can begin
};

// One micro-batch on one stage.
struct StageCost {
  double forward = 1;
  double backward_input = 1, backward_weight = 1;  // I and W; B is both
  double recompute = 0;                            // more time of B or I, if the forward is done again
  double reduce = 0;                               // sum of the stage's gradients over replicas: beside the computing, after its last B or W
  double update = 0;                               // once, when the rank's gradients are all there
};

struct CostModel {
  std::vector<StageCost> stages{StageCost{}};  // one for each stage, or a single one for all
  std::vector<Hop> hops{Hop{}};                // one for each boundary, stage s to s+1 and back, or a single one for all

  const StageCost& stage(int s) const { return stages[stages.size() == 1 ? 0 : static_cast<std::size_t>(s)]; }
  const Hop& hop(int boundary) const { return hops[hops.size() == 1 ? 0 : static_cast<std::size_t>(boundary)]; }
};

// Spans of F, B, I, W; of RECV where a hop makes the receiver busy; of REDUCE_GRAD and UPDATE where they cost time. `schedule` may have
// transfers written into it or not. Error: what validate() finds; a cost model of another number of stages or with negative times; a deadlock,
// with the actions that wait for each other.
Timeline simulate(const Schedule& schedule, const CostModel& costs);

}  // namespace tandem
