// Elementwise arithmetic with broadcasting.
//
// Shapes are aligned at the last axis; an extent of 1, or a missing axis, repeats:   [4,3,5] + [3,1] -> [4,3,5].
// Where an input was repeated in the forward direction, its gradient is summed over the repetitions (the adjoint of copying).
#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"

namespace tandem {
namespace {

Shape broadcast_shape(std::string_view op, const Shape& a, const Shape& b) {
  Shape y;
  const int rank = std::max(a.rank(), b.rank());
  for (int i = 0; i < rank; ++i) {
    const Index ea = i < rank - a.rank() ? 1 : a[i - rank + a.rank()];
    const Index eb = i < rank - b.rank() ? 1 : b[i - rank + b.rank()];
    require(ea == eb || ea == 1 || eb == 1, "{}: shapes {} and {} do not broadcast: {} against {}", op, a, b, ea, eb);
    y.push_back(ea == 1 ? eb : ea);
  }
  return y;
}

// Walks over `shape`, calling visit(position in y, position in x) where x of shape `part` broadcasts to `shape`.
template <class Visit>
void for_broadcast(const Shape& shape, const Shape& part, const Visit& visit) {
  // Strides of x for the six innermost axes of y; 0 where x repeats.
  Index extent[Shape::max_rank], stride[Shape::max_rank];
  Index step = 1;
  for (int i = 0; i < Shape::max_rank; ++i) {
    extent[i] = i < shape.rank() ? shape[shape.rank() - 1 - i] : 1;
    const Index mine = i < part.rank() ? part[part.rank() - 1 - i] : 1;
    stride[i] = mine == 1 ? 0 : step;
    step *= mine;
  }
  Index y = 0;
  for (Index a = 0; a < extent[5]; ++a)
    for (Index b = 0; b < extent[4]; ++b)
      for (Index c = 0; c < extent[3]; ++c)
        for (Index d = 0; d < extent[2]; ++d)
          for (Index e = 0; e < extent[1]; ++e) {
            const Index x = a * stride[5] + b * stride[4] + c * stride[3] + d * stride[2] + e * stride[1];
            for (Index f = 0; f < extent[0]; ++f) visit(y++, x + f * stride[0]);
          }
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Tensor y(shape);
  for_broadcast(shape, x.shape(), [&](Index i, Index j) { y[i] = x[j]; });
  return y;
}

// The adjoint of broadcast_to: sums over every repetition.
Tensor sum_to(const Tensor& dy, const Shape& shape) {
  if (dy.shape() == shape) return dy;
  Tensor dx = Tensor::zeros(shape);
  for_broadcast(dy.shape(), shape, [&](Index i, Index j) { dx[j] += dy[i]; });
  return dx;
}

struct Operands {
  Tensor a, b;  // both of the result's shape
};
Operands align(std::string_view op, const Variable& a, const Variable& b) {
  const Shape shape = broadcast_shape(op, a.shape(), b.shape());
  return {broadcast_to(a.value(), shape), broadcast_to(b.value(), shape)};
}

}  // namespace

Variable operator+(const Variable& a, const Variable& b) {
  const auto [u, v] = align("add", a, b);
  return record("add", add(u, v), {
      {a, [to = a.shape()](const Tensor& dy) { return sum_to(dy, to); }},
      {b, [to = b.shape()](const Tensor& dy) { return sum_to(dy, to); }},
  });
}

Variable operator-(const Variable& a, const Variable& b) {
  const auto [u, v] = align("subtract", a, b);
  return record("subtract", map(u, v, [](real x, real z) { return x - z; }), {
      {a, [to = a.shape()](const Tensor& dy) { return sum_to(dy, to); }},
      {b, [to = b.shape()](const Tensor& dy) { return sum_to(map(dy, [](real d) { return -d; }), to); }},
  });
}

Variable operator*(const Variable& a, const Variable& b) {
  const auto [u, v] = align("multiply", a, b);
  const auto times = [](real x, real z) { return x * z; };
  return record("multiply", map(u, v, times), {
      {a, [v = v, to = a.shape(), times](const Tensor& dy) { return sum_to(map(dy, v, times), to); }},
      {b, [u = u, to = b.shape(), times](const Tensor& dy) { return sum_to(map(dy, u, times), to); }},
  });
}

// d(a/b) = da / b - (a/b) db / b
Variable operator/(const Variable& a, const Variable& b) {
  const auto [u, v] = align("divide", a, b);
  const auto over = [](real x, real z) { return x / z; };
  const Tensor y = map(u, v, over);
  return record("divide", y, {
      {a, [v = v, to = a.shape(), over](const Tensor& dy) { return sum_to(map(dy, v, over), to); }},
      {b, [y, v = v, to = b.shape(), over](const Tensor& dy) {
         return sum_to(map(map(dy, y, [](real d, real q) { return -d * q; }), v, over), to);
       }},
  });
}

Variable operator-(const Variable& x) { return scale(x, -1); }

Variable scale(const Variable& x, real factor) {
  const auto times = [factor](real v) { return factor * v; };
  return record("scale", map(x.value(), times), {{x, [times](const Tensor& dy) { return map(dy, times); }}});
}

}  // namespace tandem
