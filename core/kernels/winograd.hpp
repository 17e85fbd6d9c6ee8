// Convolution with 3x3 kernels and stride 1 by Winograd's minimal filtering F(2x2,3x3): 16 multiplications where the definition
// has 36; conv.hpp has the formulas, winograd.cpp the algorithm.
//
// Rounding: the transforms add and subtract up to four numbers before and after the products, so that errors against exact
// arithmetic are of the size of direct convolution's (tests/core/winograd_test.cpp measures: below twice). An
// infinity may become NaN, because a transform may subtract it from itself.
#pragma once

#include "core/kernels/conv.hpp"

namespace tandem::winograd {

// Where uses_winograd(shape), or at least: whole packets of channels, a border of at most 2.
void forward(const ConvShape& shape, const real* x, const real* W, const real* b, const Output& y);
void backward_data(const ConvShape& shape, const OutputGradient& dy, const real* W, real* dx);
void backward_weights(const ConvShape& shape, const real* x, const OutputGradient& dy, real* dW, real* db);

}  // namespace tandem::winograd
