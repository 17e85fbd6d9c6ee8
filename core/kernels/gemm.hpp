// Matrix products of tensors, without autograd.
//
//   matmul(A, B)     = A   B      A [m,k]  B [k,n]
//   matmul_nt(A, B)  = A   B^T    A [m,k]  B [n,k]
//   matmul_tn(A, B)  = A^T B      A [k,m]  B [k,n]
//   matmul_tt(A, B)  = A^T B^T    A [k,m]  B [n,k]      all give [m,n] for 2 m n k operations
//
// Bits: a number of the result is one chain of additions, which depends on k and the instruction set: not on the number of threads, nor
// on how many rows or columns stand beside it. The last does not hold for a build with OpenBLAS (openblas.hpp). Errors: sizes that do not meet.
#pragma once

#include "core/tensor.hpp"

namespace tandem {

#ifdef TANDEM_OPENBLAS
inline constexpr bool products_by_openblas = true;
#else
inline constexpr bool products_by_openblas = false;
#endif

Tensor matmul(const Tensor& A, const Tensor& B);
Tensor matmul_nt(const Tensor& A, const Tensor& B);
Tensor matmul_tn(const Tensor& A, const Tensor& B);
Tensor matmul_tt(const Tensor& A, const Tensor& B);

// A B^T + 1 b^T, then max(.,0) if `relu`: while the tiles are in the cache.      A [m,k]  B [n,k]  b [n]
Tensor matmul_nt_plus_row(const Tensor& A, const Tensor& B, const Tensor& b, bool relu);

}  // namespace tandem
