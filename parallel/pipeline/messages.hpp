// Differentiable messages: sending is an operation, and its derivative is receiving.
//
//     rank 0                                      rank 1
//     x -- layers --> y -- send ---------------> receive --> y -- layers --> loss        forward
//     dx <- layers -- dy <- send <-------------- receive <-- dy <- layers -- 1           backward
//
// So the graph of autograd goes on over rank boundaries, and a rank that calls backward() on what send() gave it takes part in the
// backward pass of the whole. Nothing else is needed for a network whose layers lie on several ranks.
//
// The name of the game is the naive scheme: only one rank works at a time, so p ranks are no faster than one; but each holds only 1/p
// of the layers and of the activations. Micro-batch pipelines (GPipe) put the idle ranks to work.
//
// Source: Dean et al., "Large Scale Distributed Deep Networks", NIPS 2012, section 3, for model parallelism.
#pragma once

#include "core/autograd.hpp"
#include "parallel/mpi/communicator.hpp"

namespace tandem {

// Sends y to rank `to`. The result, a single 0, stands for all that is computed from y elsewhere: backward(result) receives dL/dy from
// `to` and goes on. Tags: `tag` for y, `tag + 1` for its gradient.
Variable send(const Variable& y, int to, const Communicator& comm, int tag = 0);

// What rank `from` sends, of a shape that both know. The pullback sends the gradient back; it is called by backward() like any other.
Variable receive(const Shape& shape, int from, const Communicator& comm, int tag = 0);

}  // namespace tandem
