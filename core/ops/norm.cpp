// Batch normalisation and dropout.
//
// Batch normalisation: Ioffe and Szegedy, "Batch Normalization", ICML 2015. Dropout: Srivastava et al., JMLR 15 (2014).
#include <cmath>
#include <memory>

#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"
#include "core/random.hpp"

namespace tandem {
namespace {

void check(std::string_view op, const Variable& x, const Variable& gamma, const Variable& beta) {
  const Shape expected{x.value().columns()};
  require(x.shape().rank() >= 2 && gamma.shape() == expected && beta.shape() == expected,
          "{}: x is {}, gamma {}, beta {}; expected gamma and beta of shape {}", op, x.shape(), gamma.shape(), beta.shape(), expected);
}

// y = a x + b, column by column
Tensor affine(const Tensor& x, const Tensor& a, const Tensor& b) {
  const Index c = x.columns();
  Tensor y(x.shape());
  for_blocks(x.row_count(), reduction_rows, [&, in = x.data(), out = y.data(), pa = a.data(), pb = b.data()](Index begin, Index end) {
    for (Index r = begin; r < end; ++r)
      for (Index j = 0; j < c; ++j) out[r * c + j] = pa[j] * in[r * c + j] + pb[j];
  });
  return y;
}

Tensor inverse_deviation(const Tensor& variance, real epsilon) {
  return map(variance, [=](real v) { return 1 / std::sqrt(v + epsilon); });
}

// gamma (x - mean) / deviation + beta  =  a x + b
Tensor normalised(const Tensor& x, const Tensor& mean, const Tensor& inverse, const Tensor& gamma, const Tensor& beta) {
  const Tensor a = map(gamma, inverse, [](real g, real s) { return g * s; });
  const Tensor b = map(beta, map(a, mean, [](real u, real m) { return u * m; }), [](real t, real v) { return t - v; });
  return affine(x, a, b);
}

// What all three gradients need, computed by the first that asks:
//   bias = sum over rows of dy        slope = sum over rows of dy x^        where x^ = (x - mean) / deviation
struct Sums {
  Tensor x, mean, inverse;
  Tensor bias = {}, slope = {};

  void compute(const Tensor& dy) {
    if (bias.defined()) return;
    bias = sum_rows(dy);
    const Index c = x.columns();
    slope = sum_columns(x.row_count(), c, [c, d = dy.data(), v = x.data(), m = mean.data(), s = inverse.data()](Index r, Index j) {
      return d[r * c + j] * ((v[r * c + j] - m[j]) * s[j]);
    });
  }

  // gamma / deviation (dy - bias / n - x^ slope / n)  =  k (dy - u - w (x - mean))  with one k, u, w per channel
  Tensor input_gradient(const Tensor& dy, const Tensor& gamma) {
    compute(dy);
    const Index c = x.columns(), n = x.row_count();
    const auto share = [n](real total) { return total / static_cast<real>(n); };
    const Tensor k = map(gamma, inverse, [](real g, real s) { return g * s; }), u = map(bias, share);
    const Tensor w = map(map(slope, share), inverse, [](real t, real s) { return t * s; });
    Tensor dx(x.shape());
    for_blocks(n, reduction_rows, [=, d = dy.data(), v = x.data(), m = mean.data(), out = dx.data(), pk = k.data(), pu = u.data(),
                                   pw = w.data()](Index begin, Index end) {
      for (Index r = begin; r < end; ++r)
        for (Index j = 0; j < c; ++j) out[r * c + j] = pk[j] * (d[r * c + j] - pu[j] - pw[j] * (v[r * c + j] - m[j]));
    });
    return dx;
  }
};

}  // namespace

// dbeta = sum dy      dgamma = sum dy x^      dx = gamma / deviation (dy - dbeta / n - x^ dgamma / n)
Variable batch_norm(const Variable& x, const Variable& gamma, const Variable& beta, real epsilon, BatchStatistics* statistics) {
  check("batch_norm", x, gamma, beta);
  const Index c = x.value().columns(), n = x.value().row_count();
  require(n > 1, "batch_norm: x is {}, so each channel has {} value(s); a variance needs at least 2", x.shape(), n);
  const auto share = [n](real total) { return total / static_cast<real>(n); };
  const Tensor mean = map(sum_rows(x.value()), share);
  const Tensor variance = map(sum_columns(n, c, [c, v = x.value().data(), m = mean.data()](Index r, Index j) {
    const real d = v[r * c + j] - m[j];
    return d * d;
  }), share);
  const Tensor inverse = inverse_deviation(variance, epsilon);
  if (statistics) *statistics = {mean, variance, n};

  const auto sums = std::make_shared<Sums>(Sums{x.value(), mean, inverse});
  return record("batch_norm", normalised(x.value(), mean, inverse, gamma.value(), beta.value()), {
      {x, [sums, gamma = gamma.value()](const Tensor& dy) { return sums->input_gradient(dy, gamma); }},
      {gamma, [sums](const Tensor& dy) { sums->compute(dy); return sums->slope; }},
      {beta, [sums](const Tensor& dy) { sums->compute(dy); return sums->bias; }},
  });
}

// With fixed statistics every value is independent: dx = gamma / deviation dy.
Variable normalise(const Variable& x, const Tensor& mean, const Tensor& variance, const Variable& gamma, const Variable& beta,
                   real epsilon) {
  check("normalise", x, gamma, beta);
  require(mean.shape() == gamma.shape() && variance.shape() == gamma.shape(), "normalise: x is {}, mean {}, variance {}; expected {}",
          x.shape(), mean.shape(), variance.shape(), gamma.shape());
  const Tensor inverse = inverse_deviation(variance, epsilon);
  const auto sums = std::make_shared<Sums>(Sums{x.value(), mean, inverse});
  return record("normalise", normalised(x.value(), mean, inverse, gamma.value(), beta.value()), {
      {x, [inverse, gamma = gamma.value()](const Tensor& dy) {
         return affine(dy, map(gamma, inverse, [](real g, real s) { return g * s; }), Tensor::zeros(gamma.shape()));
       }},
      {gamma, [sums](const Tensor& dy) { sums->compute(dy); return sums->slope; }},
      {beta, [sums](const Tensor& dy) { sums->compute(dy); return sums->bias; }},
  });
}

Variable dropout(const Variable& x, double p, std::uint64_t seed, std::span<const std::uint64_t> streams) {
  require(p >= 0 && p < 1, "dropout: probability {} is not in [0,1)", p);
  const Tensor& values = x.value();
  require(values.rank() >= 1 && values.dim(0) == static_cast<Index>(streams.size()), "dropout: {} streams for x {}", streams.size(),
          values.shape());
  // factor = 0 or 1/(1-p); the expectation of y is x
  Tensor factor(values.shape());
  const Index each = values.dim(0) ? values.size() / values.dim(0) : 0;
  const auto threshold = static_cast<std::uint64_t>(p * 0x1p32);
  const real keep = static_cast<real>(1 / (1 - p));
  for_blocks(values.dim(0), 1, [&](Index i, Index) {
    Random random(seed, streams[static_cast<std::size_t>(i)]);
    for (Index j = i * each; j < (i + 1) * each; ++j) factor[j] = random.bits() < threshold ? 0 : keep;
  });
  const auto times = [](real v, real f) { return v * f; };
  return record("dropout", map(values, factor, times), {{x, [factor, times](const Tensor& dy) { return map(dy, factor, times); }}});
}

}  // namespace tandem
