// Convolution by the sums of its definition; conv.hpp has the formulas.
#pragma once

#include "core/kernels/conv.hpp"

namespace tandem::direct {

void forward(const ConvShape& shape, const real* x, const real* W, const real* b, const Output& y);
void backward_data(const ConvShape& shape, const OutputGradient& dy, const real* W, real* dx);
void backward_weights(const ConvShape& shape, const real* x, const OutputGradient& dy, real* dW, real* db);

}  // namespace tandem::direct
