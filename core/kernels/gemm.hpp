// Matrix products of tensors, without autograd.
//
//   matmul(A, B)     = A   B      A [m,k]  B [k,n]
//   matmul_nt(A, B)  = A   B^T    A [m,k]  B [n,k]
//   matmul_tn(A, B)  = A^T B      A [k,m]  B [k,n]
//   matmul_tt(A, B)  = A^T B^T    A [k,m]  B [n,k]      all give [m,n] for 2 m n k operations
//
// Bits: a result depends on the shapes and the instruction set, never on the number of threads. Errors: sizes that do not meet.
#pragma once

#include "core/tensor.hpp"

namespace tandem {

Tensor matmul(const Tensor& A, const Tensor& B);
Tensor matmul_nt(const Tensor& A, const Tensor& B);
Tensor matmul_tn(const Tensor& A, const Tensor& B);
Tensor matmul_tt(const Tensor& A, const Tensor& B);

// A B^T + 1 b^T, then max(.,0) if `relu`: while the tiles are in the cache.      A [m,k]  B [n,k]  b [n]
Tensor matmul_nt_plus_row(const Tensor& A, const Tensor& B, const Tensor& b, bool relu);

}  // namespace tandem
