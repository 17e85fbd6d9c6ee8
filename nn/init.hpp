// How parameters start. The scale matters: too small and the signal dies from layer to layer, too large and it explodes.
//
// For y = W x with n inputs, var(y) = n var(W) var(x). A ReLU then halves the second moment, so var(W) = 2 / n keeps it.
// Sources: Glorot and Bengio, AISTATS 2010; He et al., "Delving Deep into Rectifiers", ICCV 2015.
#pragma once

#include <cmath>

#include "nn/module.hpp"

namespace tandem {

// Numbers of inputs and outputs of one unit. Linear W [out,in]; convolution W [kh,kw,in,out].
struct Fan { Index in, out; };
inline Fan fan(const Shape& W) {
  if (W.rank() == 2) return {W[1], W[0]};
  require(W.rank() == 4, "init: weights {}; expected [out,in] or [kh,kw,in,out]", W);
  return {W[0] * W[1] * W[2], W[0] * W[1] * W[3]};
}

inline Initialiser constant_init(real value) {
  return [value](Tensor& W, Random) { W.fill(value); };
}

// Normal with variance 2 / fan_in: before a ReLU.
inline Initialiser he_normal() {
  return [](Tensor& W, Random random) {
    const double deviation = std::sqrt(2.0 / static_cast<double>(std::max<Index>(fan(W.shape()).in, 1)));
    for (real& w : W.values()) w = static_cast<real>(deviation * random.normal());
  };
}

// Uniform with variance 2 / (fan_in + fan_out): before tanh, sigmoid or softmax.
inline Initialiser glorot_uniform() {
  return [](Tensor& W, Random random) {
    const Fan f = fan(W.shape());
    const double bound = std::sqrt(6.0 / static_cast<double>(std::max<Index>(f.in + f.out, 1)));
    for (real& w : W.values()) w = static_cast<real>(random.uniform(-bound, bound));
  };
}

}  // namespace tandem
