#include "parallel/tensor/cross_entropy.hpp"

#include <algorithm>
#include <cmath>

#include "core/kernels/elementwise.hpp"

namespace tandem {
namespace {

// The largest value of each row over all ranks.
Tensor top_of_rows(const Tensor& x, const Communicator& group) {
  const Index n = x.dim(0), k = x.dim(1), p = group.size();
  Tensor mine({1, n});
  for (Index i = 0; i < n; ++i) mine[i] = *std::max_element(x.data() + i * k, x.data() + (i + 1) * k);
  const Tensor all = gather_slices(mine, 0, p, group);  // [p,n]
  Tensor top({n});
  for (Index i = 0; i < n; ++i) {
    top[i] = all[i];
    for (Index rank = 1; rank < p; ++rank) top[i] = std::max(top[i], all[rank * n + i]);
  }
  return top;
}

}  // namespace

Variable class_parallel_cross_entropy_sum(const Variable& local_logits, Index classes, std::span<const std::int32_t> labels,
                                          const CrossEntropyOptions& options, const Communicator& group) {
  const Slice own = own_slice("class-parallel cross_entropy", 1, classes, group);
  const Tensor& x = local_logits.value();
  const Shape expected{static_cast<Index>(labels.size()), own_extent(classes, group)};
  require(x.shape() == expected, "class-parallel cross_entropy: rank {} has logits {}; expected {} for {} labels and {} classes over {} "
          "ranks", group.rank(), x.shape(), expected, labels.size(), classes, group.size());
  check_labels(labels, classes, options);
  const Index n = expected[0], k = expected[1];
  const Tensor top = top_of_rows(x, group);

  // t_k is the smoothed part for every class, and the rest for the label, wherever it is.
  const real s = options.smoothing;
  const auto smoothed = [&](Index c) { return s * class_weight(options, c) / static_cast<real>(classes); };
  const auto label_of = [&](Index row) { return static_cast<Index>(labels[static_cast<std::size_t>(row)]); };
  const auto target = [&](Index row, Index c) {
    return smoothed(c) + (c == label_of(row) ? (1 - s) * class_weight(options, c) : real{0});
  };
  real smooth_total = 0;
  for (Index c = 0; c < classes; ++c) smooth_total += smoothed(c);

  Tensor sums = Tensor::zeros({2, n}), slope = Tensor::zeros(x.shape());
  real *const total = sums.data(), *const chosen = sums.data() + n;
  const auto for_counted_rows = [&](const auto& row) {
    for (Index i = 0; i < n; ++i)
      if (label_of(i) != options.ignored_label) row(i);
  };
  for_counted_rows([&](Index i) {
    for (Index j = 0; j < k; ++j) {
      const real shifted = x[i * k + j] - top[i], t = target(i, own.begin + j);
      total[i] += slope[i * k + j] = std::exp(shifted);  // kept for the gradient
      if (t != 0) chosen[i] += t * shifted;              // 0 log 0 = 0
    }
  });
  allreduce(sums.values(), group);

  Tensor losses = Tensor::zeros({n});
  for_counted_rows([&](Index i) {
    const real T = smooth_total + (1 - s) * class_weight(options, label_of(i));
    losses[i] = T * std::log(total[i]) - chosen[i];
    for (Index j = 0; j < k; ++j) {
      real& dx = slope[i * k + j];
      dx = dx / total[i] * T - target(i, own.begin + j);
    }
  });
  return record("cross_entropy", Tensor::scalar(ordered_sum(losses)), {{local_logits, [slope](const Tensor& dy) {
    return map(slope, [d = dy.item()](real v) { return d * v; });
  }}});
}

}  // namespace tandem
