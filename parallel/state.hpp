// Bringing together what a grid has spread: parameters, buffers and moments, for checkpoints and for looking at them.
//
//     rank 0, stage 0       | conv1.weight          |                      rank 0:  conv1.weight  hidden.weight  head.weight
//     rank 1, stage 1       | hidden.weight[0:128]  |  --- reduce --->
//     rank 2, stage 1       | hidden.weight[128:256], head.weight |
//
// Every rank writes the parts that it answers for into a tensor that is otherwise -0 (the one number that changes nothing when it is
// added, not even the sign of a zero), and rank 0 gets the sum: every bit arrives as it was. One tensor at a time, so no rank but 0
// ever holds more than its parts and the largest tensor.
#pragma once

#include "nn/module.hpp"
#include "nn/optimizer.hpp"
#include "parallel/grid.hpp"

namespace tandem {

// Fills every tensor of `whole`, given on rank 0 only, from the `parts` of all ranks, found by name. Collective over `world`.
// Errors, the same on every rank: parts of another shape, or that are together more or fewer values than the whole has.
void gather_state(const std::vector<Buffer>& parts, const std::vector<Buffer>& whole, const Communicator& world);

// Of `state`, what this rank answers for: everything on the first of each group of replicas, and every stretch, of which each of them has
// another; of what a tensor group holds in whole, on the first of the group.
std::vector<Buffer> owned_parts(std::vector<Buffer> state, const ProcessGrid& grid);

}  // namespace tandem
