// Activations: y = f(x) value by value, so dx = f'(x) dy. Each derivative is written with y where that saves keeping x.
#include <cmath>

#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"

namespace tandem {

// f'(x) = 1 where x > 0, else 0. y > 0 exactly where x > 0. NaN stays NaN: a ReLU must not hide a broken run.
Variable relu(const Variable& x) {
  const Tensor y = map(x.value(), rectified);
  return record("relu", y, {{x, [y](const Tensor& dy) { return map(y, dy, passed); }}});
}

// f'(x) = 1 where x > 0, else slope
Variable leaky_relu(const Variable& x, real slope) {
  const Tensor y = map(x.value(), [=](real v) { return v > 0 ? v : slope * v; });
  return record("leaky_relu", y, {{x, [x = x.value(), slope](const Tensor& dy) {
    return map(x, dy, [=](real v, real d) { return v > 0 ? d : slope * d; });
  }}});
}

// f'(x) = y (1 - y)
Variable sigmoid(const Variable& x) {
  // e^-|x| never overflows.
  const Tensor y = map(x.value(), [](real v) {
    const real e = std::exp(-std::abs(v));
    return (v >= 0 ? 1 : e) / (1 + e);
  });
  return record("sigmoid", y, {{x, [y](const Tensor& dy) { return map(y, dy, [](real v, real d) { return v * (1 - v) * d; }); }}});
}

// f'(x) = 1 - y^2
Variable tanh(const Variable& x) {
  const Tensor y = map(x.value(), [](real v) { return std::tanh(v); });
  return record("tanh", y, {{x, [y](const Tensor& dy) { return map(y, dy, [](real v, real d) { return (1 - v * v) * d; }); }}});
}

}  // namespace tandem
