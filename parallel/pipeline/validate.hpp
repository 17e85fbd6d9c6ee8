// Whether a schedule is one at all. What it costs, and whether ranks wait for each other for ever, is for simulate.hpp.
#pragma once

#include "parallel/pipeline/schedule.hpp"

namespace tandem {

// Error that lists the first problems: a stage on several ranks or on none; for each stage and micro-batch not exactly one F and either one B or
// one I and one W; on a rank, backward before forward or W before I. Messages (SEND, RECV) and reductions are not looked at.
void validate(const Schedule& schedule);

// The first action, in the order of programs, at which a stage's backward (of the weights: B or W) does not come in the order of micro-batches.
// Such a schedule runs, but adds gradients in another order than all others, hence gives other bits. Empty: there is none.
std::string out_of_order(const Schedule& schedule);

}  // namespace tandem
