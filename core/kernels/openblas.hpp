// Matrix products by OpenBLAS, for a build that asks for it:  TANDEM_CMAKE_ARGS=-DTANDEM_BLAS=openblas ./tandem build
//
// It is faster for up to eight rows and for classifier heads, slower for hidden layers (README.md has the figures). It cuts a sum into
// lanes where that is faster, and which lanes depends on the sizes: the bits of a number then depend on how many rows stand beside it,
// hence on the batch. What is cut the same way on every grid, such as micro-batches, keeps equal bits.
//
// Threads: OpenBLAS stays with the thread that calls it. The longer side of C is cut into parts of `openblas_part`, which ours take
// by turns; as the parts follow from the shape, the bits are the same on any number of threads.
#pragma once

#include "core/kernels/thin_product.hpp"

namespace tandem {

inline constexpr Index openblas_part = 128;

// C [m,n] = finish(A [m,k] B [k,n]). Exists only in such a build.
void multiply_by_openblas(const LeftFactor& A, const RightFactor& B, const Result& C);

}  // namespace tandem
