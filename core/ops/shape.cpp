// Operations that move values without changing them. The gradient moves back the same way.
#include <array>
#include <utility>

#include "core/ops.hpp"

namespace tandem {
namespace {

Tensor permuted(const Tensor& x, const std::vector<int>& axes) {
  Shape shape;
  for (const int axis : axes) shape.push_back(x.dim(axis));
  std::array<Index, Shape::max_rank> stride{}, extent{}, position{};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    extent[i] = shape[static_cast<int>(i)];
    stride[i] = 1;
    for (int a = axes[i] + 1; a < x.rank(); ++a) stride[i] *= x.dim(a);
  }
  Tensor y(shape);
  Index from = 0;
  for (Index to = 0; to < y.size(); ++to) {
    y[to] = x[from];
    // Count up like an odometer, the last axis first.
    for (std::size_t i = axes.size(); i-- > 0;) {
      from += stride[i];
      if (++position[i] < extent[i]) break;
      from -= extent[i] * stride[i];
      position[i] = 0;
    }
  }
  return y;
}

// Copies `part` into the box of `whole` that begins at `start`, or out of it.
enum class Direction { into_whole, out_of_whole };
void copy_box(Tensor& whole, Tensor& part, const std::array<Index, Shape::max_rank>& start, Direction direction) {
  if (part.size() == 0) return;
  const int rank = whole.rank();
  const Index row = rank ? part.dim(-1) : 1;
  std::array<Index, Shape::max_rank> position{};
  for (Index done = 0; done < part.size(); done += row) {
    Index at = 0;
    for (int a = 0; a < rank; ++a) {
      const auto i = static_cast<std::size_t>(a);
      at = at * whole.dim(a) + start[i] + (a + 1 < rank ? position[i] : 0);
    }
    if (direction == Direction::into_whole)
      std::copy_n(part.data() + done, row, whole.data() + at);
    else
      std::copy_n(whole.data() + at, row, part.data() + done);
    for (int a = rank - 2; a >= 0; --a) {
      const auto i = static_cast<std::size_t>(a);
      if (++position[i] < part.dim(a)) break;
      position[i] = 0;
    }
  }
}

Tensor cut(Tensor whole, const Shape& shape, const std::array<Index, Shape::max_rank>& start) {
  Tensor part(shape);
  copy_box(whole, part, start, Direction::out_of_whole);
  return part;
}

Tensor embed(Tensor part, const Shape& shape, const std::array<Index, Shape::max_rank>& start, real around) {
  Tensor whole = Tensor::full(shape, around);
  copy_box(whole, part, start, Direction::into_whole);
  return whole;
}

std::size_t axis_of(std::string_view op, const Shape& shape, int axis) {
  const int at = axis < 0 ? axis + shape.rank() : axis;
  require(at >= 0 && at < shape.rank(), "{}: {} has no axis {}", op, shape, axis);
  return static_cast<std::size_t>(at);
}

}  // namespace

Variable reshape(const Variable& x, const Shape& shape) {
  return record("reshape", x.value().reshape(shape), {
      {x, [to = x.shape()](const Tensor& dy) { return dy.reshape(to); }}});
}

Variable flatten(const Variable& x) {
  require(x.shape().rank() >= 1, "flatten: a scalar has no batch axis");
  Index rest = 1;
  for (int axis = 1; axis < x.shape().rank(); ++axis) rest *= x.shape()[axis];
  return reshape(x, {x.shape()[0], rest});
}

Variable permute(const Variable& x, const std::vector<int>& axes) {
  const auto rank = static_cast<std::size_t>(x.shape().rank());
  std::vector<int> inverse(rank, -1);
  for (std::size_t i = 0; i < axes.size() && axes.size() == rank; ++i)
    if (axes[i] >= 0 && axes[i] < x.shape().rank()) inverse[static_cast<std::size_t>(axes[i])] = static_cast<int>(i);
  require(axes.size() == rank && !std::ranges::count(inverse, -1), "permute: {} is no order of the axes of {}", fmt::join(axes, ","),
          x.shape());
  return record("permute", permuted(x.value(), axes), {
      {x, [inverse](const Tensor& dy) { return permuted(dy, inverse); }}});
}

Variable concat(const std::vector<Variable>& parts, int axis) {
  require(!parts.empty(), "concat: of nothing");
  Shape shape = parts[0].shape();
  const std::size_t at = axis_of("concat", shape, axis);
  const int a = static_cast<int>(at);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    Shape other = parts[i].shape();
    require(other.rank() == shape.rank(), "concat: part {} is {}, part 0 is {}", i, other, parts[0].shape());
    shape[a] += std::exchange(other[a], parts[0].shape()[a]);
    require(other == parts[0].shape(), "concat along axis {}: part {} is {}, part 0 is {}", axis, i, parts[i].shape(),
            parts[0].shape());
  }
  Tensor y(shape);
  std::vector<Edge> edges;
  std::array<Index, Shape::max_rank> start{};
  for (const Variable& part : parts) {
    Tensor values = part.value();
    copy_box(y, values, start, Direction::into_whole);
    edges.push_back({part, [to = part.shape(), start](const Tensor& dy) { return cut(dy, to, start); }});
    start[at] += part.shape()[a];
  }
  return record("concat", y, edges);
}

Variable slice(const Variable& x, int axis, Index begin, Index end) {
  const std::size_t at = axis_of("slice", x.shape(), axis);
  Shape shape = x.shape();
  require(0 <= begin && begin <= end && end <= shape[axis], "slice: [{},{}) of axis {} of {}", begin, end, axis, shape);
  shape[axis] = end - begin;
  std::array<Index, Shape::max_rank> start{};
  start[at] = begin;
  return record("slice", cut(x.value(), shape, start), {
      {x, [to = x.shape(), start](const Tensor& dy) { return embed(dy, to, start, 0); }}});
}

Variable pad(const Variable& x, const std::vector<Padding>& padding, real value) {
  require(static_cast<int>(padding.size()) == x.shape().rank(), "pad: {} paddings for {}", padding.size(), x.shape());
  Shape shape = x.shape();
  std::array<Index, Shape::max_rank> start{};
  for (std::size_t i = 0; i < padding.size(); ++i) {
    require(padding[i].before >= 0 && padding[i].after >= 0, "pad: {} before and {} after axis {}; slice() cuts off",
            padding[i].before, padding[i].after, i);
    shape[static_cast<int>(i)] += padding[i].before + padding[i].after;
    start[i] = padding[i].before;
  }
  return record("pad", embed(x.value(), shape, start, value), {
      {x, [to = x.shape(), start](const Tensor& dy) { return cut(dy, to, start); }}});
}

}  // namespace tandem
