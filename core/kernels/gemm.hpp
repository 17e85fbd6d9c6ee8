// Matrix products of tensors, without autograd. Each wraps Eigen's general matrix product.
//
//   matmul(A, B)     = A   B      A [m,k]  B [k,n]
//   matmul_nt(A, B)  = A   B^T    A [m,k]  B [n,k]
//   matmul_tn(A, B)  = A^T B      A [k,m]  B [k,n]
//   matmul_tt(A, B)  = A^T B^T    A [k,m]  B [n,k]      all give [m,n] for 2 m n k operations
//
// Threads take blocks of the result that are cut by its shape alone (never "one part per thread"), because Eigen's blocking,
// and with it the order of the sum over k, depends on the size of the product it is asked for.
#pragma once

#include "core/tensor.hpp"

namespace tandem {

Tensor matmul(const Tensor& A, const Tensor& B);
Tensor matmul_nt(const Tensor& A, const Tensor& B);
Tensor matmul_tn(const Tensor& A, const Tensor& B);
Tensor matmul_tt(const Tensor& A, const Tensor& B);

}  // namespace tandem
