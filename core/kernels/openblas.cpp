#include "core/kernels/openblas.hpp"

#ifdef TANDEM_OPENBLAS
#include <cblas.h>

#include <algorithm>

namespace tandem {
namespace {

// Rows [0, m) and columns [0, n) of C, with the factors that belong to them.
void multiply_part(const LeftFactor& A, const RightFactor& B, const Result& C) {
  const auto size = [](Index i) { return static_cast<blasint>(i); };
  const bool A_turned = A.term_step != 1;
  const Index A_step = std::max({Index{1}, A_turned ? A.term_step : A.row_step, A_turned ? A.m : B.k});  // one row has no step
  const Index B_step = std::max(Index{1}, B.step);
  const auto gemm = [] {
    if constexpr (real_is_double)
      return cblas_dgemm;
    else
      return cblas_sgemm;
  }();
  const real* const row = C.finish.row;
  if (row)
    for (Index r = 0; r < A.m; ++r) std::copy_n(row, B.n, C.values + r * C.step);
  gemm(CblasRowMajor, A_turned ? CblasTrans : CblasNoTrans, B.transposed ? CblasTrans : CblasNoTrans, size(A.m), size(B.n), size(B.k), 1,
       A.values, size(A_step), B.values, size(B_step), row ? 1 : 0, C.values, size(C.step));
  if (C.finish.relu)
    for (Index r = 0; r < A.m; ++r) rectify(C.values + r * C.step, B.n);
}

}  // namespace

void multiply_by_openblas(const LeftFactor& A, const RightFactor& B, const Result& C) {
  [[maybe_unused]] static const bool alone = (openblas_set_num_threads(1), true);
  const bool by_rows = A.m >= B.n;
  for_blocks(by_rows ? A.m : B.n, openblas_part, [&](Index begin, Index end) {
    LeftFactor a = A;
    RightFactor b = B.from_column(by_rows ? 0 : begin);
    Result c = C.from_column(by_rows ? 0 : begin);
    if (by_rows) {
      a.values += begin * A.row_step;
      a.m = end - begin;
      c.values += begin * C.step;
    } else {
      b.n = end - begin;
    }
    multiply_part(a, b, c);
  });
}

}  // namespace tandem
#endif
