// Softmax and the losses built on it.
//
// log p_k = x_k - log sum_j e^(x_j). The largest x is subtracted first: e^88 overflows a float, e^0 never does, and the result is
// the same. The loss is computed from log p directly; log(softmax(x)) would lose small probabilities to rounding.
#include <algorithm>
#include <cmath>

#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"

namespace tandem {
namespace {

Index rows_of_block(Index k) { return std::max<Index>(1, elementwise_block / k / 8); }

// log p_k = x_k - top - log_total
struct LogNormaliser {
  real top, log_total;
  LogNormaliser(const real* x, Index k) : top(*std::max_element(x, x + k)) {
    real total = 0;
    for (Index j = 0; j < k; ++j) total += std::exp(x[j] - top);
    log_total = std::log(total);
  }
  real log_p(real x) const { return x - top - log_total; }
};

Tensor log_softmax(const Tensor& x) {
  require(x.rank() == 2 && x.dim(1) >= 1, "log_softmax: x is {}; expected [n,k] with k >= 1", x.shape());
  const Index k = x.dim(1);
  Tensor y(x.shape());
  for_blocks(x.dim(0), rows_of_block(k), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const LogNormaliser row(x.data() + i * k, k);
      for (Index j = i * k; j < (i + 1) * k; ++j) y[j] = row.log_p(x[j]);
    }
  });
  return y;
}

}  // namespace

real class_weight(const CrossEntropyOptions& options, Index label) {
  return options.class_weights.empty() ? 1 : options.class_weights[static_cast<std::size_t>(label)];
}

void check_labels(std::span<const std::int32_t> labels, Index classes, const CrossEntropyOptions& options) {
  require(options.class_weights.empty() || static_cast<Index>(options.class_weights.size()) == classes,
          "cross_entropy: {} class weights for {} classes", options.class_weights.size(), classes);
  require(options.smoothing >= 0 && options.smoothing <= 1, "cross_entropy: smoothing {} is not in 0..1", options.smoothing);
  for (std::size_t i = 0; i < labels.size(); ++i)
    require(labels[i] == options.ignored_label || (labels[i] >= 0 && labels[i] < classes),
            "cross_entropy: label {} of row {} is not one of the {} classes", labels[i], i, classes);
}

// With p = softmax(x): dx_k = dy_k - p_k sum_j dy_j, row by row
Variable log_softmax(const Variable& x) {
  const Tensor y = log_softmax(x.value());
  return record("log_softmax", y, {{x, [y](const Tensor& dy) {
    const Index k = y.dim(1);
    Tensor dx(y.shape());
    for (Index i = 0; i < y.dim(0); ++i) {
      real total = 0;
      for (Index j = 0; j < k; ++j) total += dy[i * k + j];
      for (Index j = 0; j < k; ++j) dx[i * k + j] = dy[i * k + j] - std::exp(y[i * k + j]) * total;
    }
    return dx;
  }}});
}

// Row i has targets t_k = (1-s) w_label [k = label] + s w_k / K and loss -sum_k t_k log p_k, so dx_k = p_k sum_j t_j - t_k. One pass:
// the loss and its gradient need the same exponentials, so the gradient is computed at once and only multiplied by dy later.
Variable cross_entropy_sum(const Variable& logits, std::span<const std::int32_t> labels, const CrossEntropyOptions& options) {
  const Shape& shape = logits.shape();
  require(shape.rank() == 2 && shape[0] == static_cast<Index>(labels.size()), "cross_entropy: logits are {} for {} labels", shape,
          labels.size());
  const Index n = shape[0], K = shape[1];
  check_labels(labels, K, options);
  require(K >= 1, "cross_entropy: logits are {}; expected [n,k] with k >= 1", shape);

  const real s = options.smoothing;
  real smooth_total = 0;  // of the targets of a row, without the label's own
  for (Index k = 0; k < K; ++k) smooth_total += s * class_weight(options, k) / static_cast<real>(K);

  const real* const x = logits.value().data();
  Tensor slope = Tensor::zeros(shape), losses = Tensor::zeros({n});
  for_blocks(n, rows_of_block(K), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index label = labels[static_cast<std::size_t>(i)];
      if (label == options.ignored_label) continue;
      const LogNormaliser row(x + i * K, K);
      const real own = (1 - s) * class_weight(options, label), total = smooth_total + own;
      for (Index k = 0; k < K; ++k) {
        const real target = s * class_weight(options, k) / static_cast<real>(K) + (k == label ? own : 0), log_p = row.log_p(x[i * K + k]);
        if (target != 0) losses[i] -= target * log_p;  // 0 log 0 = 0
        slope[i * K + k] = std::exp(log_p) * total - target;
      }
    }
  });
  return record("cross_entropy", Tensor::scalar(ordered_sum(losses)), {{logits, [slope = slope](const Tensor& dy) {
    return map(slope, [d = dy.item()](real v) { return d * v; });
  }}});
}

real cross_entropy_weight(std::span<const std::int32_t> labels, const CrossEntropyOptions& options) {
  if (!options.class_weights.empty()) check_labels(labels, static_cast<Index>(options.class_weights.size()), options);
  Tensor weights = Tensor::zeros({static_cast<Index>(labels.size())});
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i] != options.ignored_label) weights[static_cast<Index>(i)] = class_weight(options, labels[i]);
  return ordered_sum(weights);
}

// d sum (x - t)^2 = 2 (x - t) dx
Variable squared_error_sum(const Variable& x, const Tensor& target) {
  require(x.shape() == target.shape(), "squared_error: x is {} but the target is {}", x.shape(), target.shape());
  const Tensor error = map(x.value(), target, [](real v, real t) { return v - t; });
  return record("squared_error", Tensor::scalar(ordered_sum(map(error, [](real e) { return e * e; }))), {
      {x, [error](const Tensor& dy) { return map(error, [d = dy.item()](real e) { return 2 * d * e; }); }}});
}

Variable mean_squared_error(const Variable& x, const Tensor& target) {
  require(target.size() > 0, "mean_squared_error: of no values");
  return scale(squared_error_sum(x, target), 1 / static_cast<real>(target.size()));
}

}  // namespace tandem
