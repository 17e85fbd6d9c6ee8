// Sums, means and maxima over everything or over one axis.
#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"

namespace tandem {
namespace {

// A tensor seen from one of its axes: [outer, extent, inner].
struct Axis {
  Index outer = 1, extent = 1, inner = 1;
  Shape without;  // the shape when the axis is gone

  Axis(const Shape& shape, int axis) {
    const int at = axis < 0 ? axis + shape.rank() : axis;
    extent = shape[axis];  // throws if there is no such axis
    for (int i = 0; i < shape.rank(); ++i) {
      if (i < at) outer *= shape[i];
      if (i > at) inner *= shape[i];
      if (i != at) without.push_back(shape[i]);
    }
  }
  Index at(Index o, Index e, Index i) const { return (o * extent + e) * inner + i; }
};

}  // namespace

Variable sum(const Variable& x) {
  return record("sum", Tensor::scalar(ordered_sum(x.value())), {
      {x, [shape = x.shape()](const Tensor& dy) { return Tensor::full(shape, dy.item()); }}});
}

Variable mean(const Variable& x) {
  require(x.value().size() > 0, "mean: of no values (shape {})", x.shape());
  return scale(sum(x), 1 / static_cast<real>(x.value().size()));
}

Variable sum(const Variable& x, int axis) {
  const Axis a(x.shape(), axis);
  Tensor y = Tensor::zeros(a.without);
  for (Index o = 0; o < a.outer; ++o)
    for (Index e = 0; e < a.extent; ++e)
      for (Index i = 0; i < a.inner; ++i) y[o * a.inner + i] += x.value()[a.at(o, e, i)];
  return record("sum", y, {{x, [a, shape = x.shape()](const Tensor& dy) {
    Tensor dx(shape);
    for (Index o = 0; o < a.outer; ++o)
      for (Index e = 0; e < a.extent; ++e)
        for (Index i = 0; i < a.inner; ++i) dx[a.at(o, e, i)] = dy[o * a.inner + i];
    return dx;
  }}});
}

Variable mean(const Variable& x, int axis) {
  const Index extent = x.shape()[axis];
  require(extent > 0, "mean: axis {} of {} is empty", axis, x.shape());
  return scale(sum(x, axis), 1 / static_cast<real>(extent));
}

// The gradient goes to the largest value alone. NaN wins, so that it shows.
Variable max(const Variable& x, int axis) {
  const Axis a(x.shape(), axis);
  require(a.extent > 0, "max: axis {} of {} is empty", axis, x.shape());
  Tensor y(a.without);
  std::vector<Index> winner(static_cast<std::size_t>(y.size()));
  for (Index o = 0; o < a.outer; ++o)
    for (Index i = 0; i < a.inner; ++i) {
      Index best = a.at(o, 0, i);
      for (Index e = 1; e < a.extent; ++e)
        if (const real v = x.value()[a.at(o, e, i)]; v > x.value()[best] || v != v) best = a.at(o, e, i);
      winner[static_cast<std::size_t>(o * a.inner + i)] = best;
      y[o * a.inner + i] = x.value()[best];
    }
  return record("max", y, {{x, [winner, shape = x.shape()](const Tensor& dy) {
    Tensor dx = Tensor::zeros(shape);
    for (std::size_t i = 0; i < winner.size(); ++i) dx[winner[i]] = dy[static_cast<Index>(i)];
    return dx;
  }}});
}

}  // namespace tandem
