// Matrix products and the fully connected layer.
#include <memory>

#include "core/kernels/elementwise.hpp"
#include "core/kernels/gemm.hpp"
#include "core/ops.hpp"

namespace tandem {
namespace {

// Multiplications and additions of a product whose factors meet along A's axis `summed`, which has k entries: 2 m n k.
double operations(const Variable& A, const Variable& B, int summed) {
  return 2.0 * static_cast<double>(A.value().size()) * static_cast<double>(B.value().size()) /
         static_cast<double>(std::max<Index>(A.shape()[summed], 1));
}

// dz = dy where y > 0, made by the first that asks.
struct CutGradient {
  Tensor y, dz = {};

  const Tensor& before(const Tensor& dy) {
    if (!dz.defined()) dz = map(y, dy, passed);
    return dz;
  }
};

}  // namespace

// The rule behind all four: for C = A B,  dA = dC B^T  and  dB = A^T dC.  Where a factor is transposed, so is its gradient.

Variable matmul(const Variable& a, const Variable& b) {
  return record("matmul", matmul(a.value(), b.value()), {
      {a, [B = b.value()](const Tensor& dC) { return matmul_nt(dC, B); }},
      {b, [A = a.value()](const Tensor& dC) { return matmul_tn(A, dC); }},
  }, operations(a, b, 1));
}

Variable matmul_nt(const Variable& a, const Variable& b) {
  return record("matmul_nt", matmul_nt(a.value(), b.value()), {
      {a, [B = b.value()](const Tensor& dC) { return matmul(dC, B); }},
      {b, [A = a.value()](const Tensor& dC) { return matmul_tn(dC, A); }},
  }, operations(a, b, 1));
}

Variable matmul_tn(const Variable& a, const Variable& b) {
  return record("matmul_tn", matmul_tn(a.value(), b.value()), {
      {a, [B = b.value()](const Tensor& dC) { return matmul_nt(B, dC); }},
      {b, [A = a.value()](const Tensor& dC) { return matmul(A, dC); }},
  }, operations(a, b, 0));
}

Variable matmul_tt(const Variable& a, const Variable& b) {
  return record("matmul_tt", matmul_tt(a.value(), b.value()), {
      {a, [B = b.value()](const Tensor& dC) { return matmul_tt(B, dC); }},
      {b, [A = a.value()](const Tensor& dC) { return matmul_tt(dC, A); }},
  }, operations(a, b, 0));
}

// z = x W^T + 1 b^T, y = z or relu(z). So dx = dz W, dW = dz^T x and db = sum over rows of dz. W's values are looked up when they are
// needed, not kept: sharded parameters (parallel/data) may be elsewhere in between.
Variable linear(const Variable& x, const Variable& W, const Variable& b, Epilogue epilogue) {
  const Shape& in = x.shape();
  const Shape& weights = W.shape();
  require(in.rank() == 2 && weights.rank() == 2 && in[1] == weights[1] && b.shape() == Shape{weights[0]},
          "linear: x is {}, W is {} and b is {}; expected x [n,in], W [out,in], b [out]", in, weights, b.shape());
  require(!epilogue.max_pool, "linear: the result is [{},{}], not images; there is nothing to pool", in[0], weights[0]);
  const Tensor y = matmul_nt_plus_row(x.value(), W.value(), b.value(), epilogue.relu);
  const auto cut = epilogue.relu ? std::make_shared<CutGradient>(CutGradient{.y = y}) : nullptr;
  const auto before = [cut](const Tensor& dy) -> const Tensor& { return cut ? cut->before(dy) : dy; };
  return record("linear", y, {
      {x, [before, W](const Tensor& dy) { return matmul(before(dy), W.value()); }},
      {W, [before, x = x.value()](const Tensor& dy) { return matmul_tn(before(dy), x); }},
      {b, [before](const Tensor& dy) { return sum_rows(before(dy)); }},
  }, operations(x, W, 1));
}

}  // namespace tandem
