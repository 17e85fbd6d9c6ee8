#include "parallel/spatial/halo.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/kernels/elementwise.hpp"

namespace tandem {
namespace {

// Copies, or adds, `count` lines from one tensor to another, for every outer index.
template <class Move>
void move_lines(const Tensor& from, Index from_line, Tensor& to, Index to_line, Index count, int axis, const Move& move) {
  const AxisView f(from.shape(), axis), t(to.shape(), axis);
  const Index values = count * f.inner;
  for (Index o = 0; o < f.outer; ++o)
    move(from.data() + (o * f.extent + from_line) * f.inner, to.data() + (o * t.extent + to_line) * t.inner, values);
}
void copy_values(const real* from, real* to, Index count) { std::copy_n(from, count, to); }
void add_values(const real* __restrict from, real* __restrict to, Index count) {
  for (Index i = 0; i < count; ++i) to[i] += from[i];
}

// `count` lines like those of `shape`; not defined() for none.
Tensor lines(Shape shape, int axis, Index count) {
  if (count <= 0) return {};
  shape[axis] = count;
  return Tensor(shape);
}
Tensor cut_lines(const Tensor& x, int axis, Index first, Index count) {
  Tensor part = lines(x.shape(), axis, count);
  if (part.defined()) move_lines(x, first, part, 0, count, axis, copy_values);
  return part;
}

// Sends both strips while receiving both; those that are not defined() do not travel.
void swap_strips(const Communicator& comm, int before, int after, const Tensor& to_before, const Tensor& to_after, Tensor& from_before,
                 Tensor& from_after) {
  Request arriving[2], leaving[2];
  if (from_before.defined()) arriving[0] = comm.irecv(from_before.values(), before);
  if (from_after.defined()) arriving[1] = comm.irecv(from_after.values(), after);
  if (to_before.defined()) leaving[0] = comm.isend(to_before.values(), before);
  if (to_after.defined()) leaving[1] = comm.isend(to_after.values(), after);
  for (Request& request : arriving) request.wait();
  for (Request& request : leaving) request.wait();
}

LineExchange::Plan plan_of(const AxisSplit& split, Window1d window, int axis, int part, const std::function<int(int)>& rank_of) {
  for (int i = 0; i < split.parts(); ++i) split.margin(i, window);  // what is refused is refused on every rank
  LineExchange::Plan plan{.axis = axis, .mine = split.margin(part, window)};
  if (part > 0) {
    plan.neighbour_before = rank_of(part - 1);
    plan.neighbours_want.before = split.margin(part - 1, window).after;
  }
  if (part + 1 < split.parts()) {
    plan.neighbour_after = rank_of(part + 1);
    plan.neighbours_want.after = split.margin(part + 1, window).before;
  }
  return plan;
}

}  // namespace

AxisView::AxisView(const Shape& shape, int axis) : extent(shape[axis]) {
  for (int i = 0; i < axis; ++i) outer *= shape[i];
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
}

LineExchange::LineExchange(const Tensor& x, const Plan& plan, const Communicator& comm) : plan_(plan), comm_(&comm), shape_(x.shape()) {
  const auto& [axis, mine, wanted, neighbour_before, neighbour_after] = plan_;
  if (neighbour_before >= 0) before_ = lines(shape_, axis, mine.before);
  if (neighbour_after >= 0) after_ = lines(shape_, axis, mine.after);
  const Tensor first = cut_lines(x, axis, 0, wanted.before);
  const Tensor last = cut_lines(x, axis, x.dim(axis) - wanted.after, wanted.after);
  swap_strips(comm, neighbour_before, neighbour_after, first, last, before_, after_);
}

Shape LineExchange::extended() const {
  Shape shape = shape_;
  shape[plan_.axis] += plan_.mine.before + plan_.mine.after;
  return shape;
}

Tensor LineExchange::extend(const Tensor& x, real outside, const Tensor& room) const {
  const int axis = plan_.axis;
  const auto [before, after] = plan_.mine;
  if (before == 0 && after == 0) return x;
  const Shape shape = extended();
  Tensor y = room.rows(0, shape.size()).reshape(shape);

  // My own lines, without those that nobody here looks at. When they move apart the last goes first, so that nothing is overwritten before
  // it has moved.
  const auto [outer, extent, inner] = AxisView(shape_, axis);
  const Index skipped = std::max<Index>(0, -before), kept = extent - skipped - std::max<Index>(0, -after);
  const bool grows = shape[axis] >= extent;
  for (Index i = 0; i < outer; ++i) {
    const Index o = grows ? outer - 1 - i : i;
    std::memmove(y.data() + (o * shape[axis] + std::max<Index>(0, before)) * inner, x.data() + (o * extent + skipped) * inner,
                 count_of(kept * inner) * sizeof(real));
  }
  const auto fill = [&](const Tensor& received, Index to, Index count) {
    if (received.defined())
      move_lines(received, 0, y, to, count, axis, copy_values);
    else if (count > 0)
      move_lines(y, to, y, to, count, axis, [outside](const real*, real* place, Index values) { std::fill_n(place, values, outside); });
  };
  fill(before_, 0, before);
  fill(after_, before + extent, after);
  return y;
}

// The gradient of my own lines, without what the neighbours will add: in the memory of the whole, where they are moved together. Where
// they lie side by side nothing is moved.
Tensor LineExchange::interior(Tensor gradient) const {
  const int axis = plan_.axis;
  const auto [before, after] = plan_.mine;
  const Index extent = shape_[axis];
  if (before == 0 && after == 0) return gradient;
  if (before >= 0 && after >= 0) {
    const auto [outer, seen, inner] = AxisView(gradient.shape(), axis);
    const Tensor flat = gradient.reshape({gradient.size()});
    if (outer == 1) return flat.rows(before * inner, (before + extent) * inner).reshape(shape_);
    real* const all = gradient.data();
    for (Index o = 0; o < outer; ++o)  // from the front, so that nothing is overwritten before it has moved
      std::memmove(all + o * extent * inner, all + (o * seen + before) * inner, count_of(extent * inner) * sizeof(real));
    return flat.rows(0, outer * extent * inner).reshape(shape_);
  }
  Tensor own = Tensor::zeros(shape_);
  const Index skipped = std::max<Index>(0, -before);
  move_lines(gradient, std::max<Index>(0, before), own, skipped, extent - skipped - std::max<Index>(0, -after), axis, copy_values);
  return own;
}

Tensor LineExchange::give_back(Tensor gradient) const {
  const auto& [axis, mine, wanted, neighbour_before, neighbour_after] = plan_;
  Tensor to_before, to_after;
  if (neighbour_before >= 0) to_before = cut_lines(gradient, axis, 0, mine.before);
  if (neighbour_after >= 0) to_after = cut_lines(gradient, axis, gradient.dim(axis) - mine.after, mine.after);
  Tensor first = lines(shape_, axis, wanted.before), last = lines(shape_, axis, wanted.after);
  swap_strips(*comm_, neighbour_before, neighbour_after, to_before, to_after, first, last);

  Tensor own = interior(std::move(gradient));
  if (first.defined()) move_lines(first, 0, own, 0, wanted.before, axis, add_values);
  if (last.defined()) move_lines(last, 0, own, own.dim(axis) - wanted.after, wanted.after, axis, add_values);
  return own;
}

Halo::Halo(const Tensor& x, const ImageSplit& split, const Window& w, real outside) : outside_(outside) {
  const int row = split.grid_row(), column = split.grid_column(), columns = split.columns().parts();
  if (split.rows().parts() > 1) {
    const auto plan = plan_of(split.rows(), {w.height, w.stride_h, w.pad_h}, 1, row, [=](int i) { return i * columns + column; });
    if (!plan.moves_nothing()) steps_.emplace_back(x, plan, split.comm());
  }
  if (columns > 1) {
    const auto plan = plan_of(split.columns(), {w.width, w.stride_w, w.pad_w}, 2, column, [=](int j) { return row * columns + j; });
    if (plan.moves_nothing()) return;
    steps_.emplace_back(extend(x), plan, split.comm());
  }
}

Tensor Halo::extend(const Tensor& x) const {
  Index size = 0;
  for (const LineExchange& step : steps_) size = std::max(size, step.extended().size());
  const Tensor room({size});  // one memory for both steps
  Tensor y = x;
  for (const LineExchange& step : steps_) y = step.extend(y, outside_, room);
  return y;
}

Tensor Halo::give_back(Tensor gradient) const {
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) gradient = step->give_back(std::move(gradient));
  return gradient;
}

Window without_halo(const ImageSplit& split, Window window) {
  if (split.rows().parts() > 1) window.pad_h = 0;
  if (split.columns().parts() > 1) window.pad_w = 0;
  return window;
}

Variable halo_exchange(const Variable& x, const ImageSplit& split, const Window& window, real outside) {
  split.check("halo_exchange", x.shape());
  const auto halo = std::make_shared<const Halo>(x.value(), split, window, outside);
  return record("halo_exchange", halo->extend(x.value()), {
      {x, [halo](const Tensor& dy) { return halo->give_back(dy.clone()); }}});
}

Traffic halo_traffic(const ImageSplit& split, const Window& w, Index images, Index channels) {
  const Window1d high{w.height, w.stride_h, w.pad_h}, wide{w.width, w.stride_w, w.pad_w};
  const AxisSplit &rows = split.rows(), &columns = split.columns();
  Traffic sum{};
  const auto count = [&](Index lines, Index length) {  // a strip of `lines` lines of `length` pixels
    if (lines <= 0) return;
    sum.messages += 1;
    sum.bytes += count_of(images * lines * length * channels) * sizeof(real);
  };
  for (int i = 0; i < rows.parts(); ++i)
    for (int j = 0; j < columns.parts(); ++j) {
      const Margin above_below = rows.parts() > 1 ? rows.margin(i, high) : Margin{};
      const Margin left_right = columns.parts() > 1 ? columns.margin(j, wide) : Margin{};
      if (i > 0) count(above_below.before, columns.part(j).size());
      if (i + 1 < rows.parts()) count(above_below.after, columns.part(j).size());
      const Index tall = above_below.before + rows.part(i).size() + above_below.after;
      if (j > 0) count(left_right.before, tall);
      if (j + 1 < columns.parts()) count(left_right.after, tall);
    }
  return sum;
}

}  // namespace tandem
