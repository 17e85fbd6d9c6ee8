// Is a hand-written derivative right? Compare it with a difference quotient.
//
// For y = f(x) and a random dy, let L(x) = sum of dy * f(x). The pullbacks claim a gradient g = dL/dx. For each single value,
//
//     (L(x + h e_i) - L(x - h e_i)) / 2h  =  g_i + O(h^2) + O(rounding / h)
//
// With h = 6e-6 (the cube root of double's epsilon) both errors are near 1e-10 in double precision. In float the best that can be
// had is about 1e-3, which lets wrong derivatives through; that is why the checks are built with real = double.
//
// Source: Nocedal and Wright, "Numerical Optimization", 2nd ed., section 8.1.
#pragma once

#include <cmath>
#include <functional>
#include <string>

#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"
#include "core/random.hpp"

namespace tandem {

struct GradientError {
  double worst = 0;        // largest |claimed - measured| / max(1, |claimed|, |measured|)
  std::string where = "";  // "input 1, element 7: pullback says 0.5, difference quotient 0.25"
};

using DifferentiableFunction = std::function<Variable(const std::vector<Variable>&)>;

// The worst disagreement over all values of all inputs. 2 evaluations of f per value. f must be deterministic.
inline GradientError check_gradients(const DifferentiableFunction& f, const std::vector<Tensor>& inputs, std::uint64_t seed = 1) {
  std::vector<Variable> x;
  for (const Tensor& input : inputs) x.emplace_back(input.clone(), true);
  const Variable y = f(x);
  Tensor dy(y.shape());
  Random random(seed, hash("gradcheck"));
  for (real& d : dy.values()) d = static_cast<real>(random.normal());
  backward(y, dy);

  const auto loss = [&] { return ordered_sum(map(f(x).value(), dy, [](real a, real b) { return a * b; })); };
  const real h = std::cbrt(std::numeric_limits<real>::epsilon());
  GradientError error;
  for (std::size_t k = 0; k < x.size(); ++k)
    for (Index i = 0; i < x[k].value().size(); ++i) {
      const NoGradient off;
      real& value = x[k].value()[i];
      const real middle = value;
      value = middle + h;
      const real above = loss();
      value = middle - h;
      const real below = loss();
      value = middle;
      const double measured = (above - below) / (2 * h);
      const double claimed = x[k].gradient().defined() ? x[k].gradient()[i] : 0;
      const double scale = std::max({1.0, std::abs(claimed), std::abs(measured)});
      // The negated comparison also catches NaN.
      if (const double e = std::abs(claimed - measured) / scale; !(e <= error.worst))
        error = {e, fmt::format("input {}, element {}: pullback says {}, difference quotient {}", k, i, claimed, measured)};
    }
  return error;
}

}  // namespace tandem
