#include "core/kernels/gemm.hpp"

#include "core/threads.hpp"

namespace tandem {
namespace {

// Cuts the longer side of the result C [m,n] into blocks of 128 and forms each with one Eigen product.
template <class Product>
void by_blocks(Index m, Index n, const Product& product) {
  constexpr Index block = 128;
  if (m >= n)
    for_blocks(m, block, [&](Index begin, Index end) { product(begin, end - begin, 0, n); });
  else
    for_blocks(n, block, [&](Index begin, Index end) { product(0, m, begin, end - begin); });
}

void check(std::string_view name, bool ok, const Tensor& A, const Tensor& B) {
  require(ok && A.rank() == 2 && B.rank() == 2, "{}: A is {} and B is {}; two matrices with equal inner sizes are expected", name,
          A.shape(), B.shape());
}

// op(A) and op(B) are Eigen expressions of A or its transpose.
template <class Left, class Right>
Tensor multiply(const Left& A, const Right& B) {
  Tensor C({A.rows(), B.cols()});
  if (A.cols() == 0) C.fill(0);
  if (A.cols() == 0 || C.size() == 0) return C;
  auto c = C.matrix();
  by_blocks(A.rows(), B.cols(), [&](Index row, Index rows, Index column, Index columns) {
    c.block(row, column, rows, columns).noalias() = A.middleRows(row, rows) * B.middleCols(column, columns);
  });
  return C;
}

}  // namespace

Tensor matmul(const Tensor& A, const Tensor& B) {
  check("matmul", A.rank() == 2 && B.rank() == 2 && A.dim(1) == B.dim(0), A, B);
  return multiply(A.matrix(), B.matrix());
}
Tensor matmul_nt(const Tensor& A, const Tensor& B) {
  check("matmul_nt", A.rank() == 2 && B.rank() == 2 && A.dim(1) == B.dim(1), A, B);
  return multiply(A.matrix(), B.matrix().transpose());
}
Tensor matmul_tn(const Tensor& A, const Tensor& B) {
  check("matmul_tn", A.rank() == 2 && B.rank() == 2 && A.dim(0) == B.dim(0), A, B);
  return multiply(A.matrix().transpose(), B.matrix());
}
Tensor matmul_tt(const Tensor& A, const Tensor& B) {
  check("matmul_tt", A.rank() == 2 && B.rank() == 2 && A.dim(0) == B.dim(1), A, B);
  return multiply(A.matrix().transpose(), B.matrix().transpose());
}

}  // namespace tandem
