// Operations whose value or gradient crosses the ranks of a group.
//
// Tensor parallelism computes one layer on p ranks. Between layers an activation is whole (the same on every rank) or split (each
// rank has its channels). Two conjugate operators lead in and out of the part in which ranks compute different things; each is the
// other's derivative:
//
//                          forward                          backward
//     copy_to_group        y_r = x           (nothing)      dx = sum_r dy_r    (allreduce)       x whole
//     sum_over_group       y = sum_r x_r     (allreduce)    dx_r = dy          (nothing)         y whole
//     gather_channels      y = [x_0 ... x_p-1] (allgather)  dx_r = own part of dy (nothing)      y whole
//
// Why: p ranks use the same x, so its gradient is the sum of theirs, by the chain rule. A sum hands its gradient to each term as
// it is. After a sum or gather every rank continues with the same y in the same way up to the same loss, so its dy is the same.
//
//      whole x                     split                      whole y
//               +--> rank 0's channels --> partial sum --+
//        x -----+                                        +----> y
//               +--> rank 1's channels --> partial sum --+
//          copy_to_group                          sum_over_group
//          backward: <== allreduce                forward: allreduce ==>
//
// Every rank of the group gets the same bits from a sum, so parameters that every rank keeps whole get the same gradients and stay
// equal without ever being compared. All our algorithms give that: doubling, because partners add the same two numbers and
// a + b == b + a; halving and the ring, because each chunk is summed once, in one order, and then copied to all.
//
// Every rank of the group must run the same operations in the same order. That holds if all run the same layers on the same samples:
// backward() visits nodes in an order that follows from the graph alone. `group` must outlive the graph.
// With p = 1 all three are the identity. Letters as in collectives.hpp, n the bytes of the whole activation.
//
// Source: Shoeybi et al., "Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism", 2019, section 3
// (there named f and g).
#pragma once

#include "core/autograd.hpp"
#include "parallel/tensor/slices.hpp"

namespace tandem {

// y = x. Backward: one allreduce of n bytes; none if x needs no gradient (the first layer's input).
Variable copy_to_group(const Variable& x, const Communicator& group);

// y = sum over ranks of x. Forward: one allreduce of n bytes.
Variable sum_over_group(const Variable& x, const Communicator& group);

// x [..., part(channels, r, p)] -> y [..., channels]. Forward: gather_slices of n bytes.
// Error: x's last axis is not this rank's part.
Variable gather_channels(const Variable& x, Index channels, const Communicator& group);

}  // namespace tandem
