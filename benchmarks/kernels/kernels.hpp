// How fast the kernels are, one by one, against what this machine could do at most and against libraries made for that.
//
//   ./tandem bench kernels [--quick] [--threads N] [--json FILE] [options of Google Benchmark, as --benchmark_filter=matmul]
//
// The roofline. A kernel does some operations (multiplications and additions) on some bytes. The processor can do P
// operations a second at most, the memory can move B bytes a second at most, so
//
//     GFLOP/s <= min(P, I B)        I = operations / bytes, the kernel's intensity
//
//     GFLOP/s |          ______________  P   on the right the multipliers are the limit:
//             |        /                     all that counts is to keep them busy
//             |      /
//             |    /  I B                    on the left the memory is: only fewer passes
//             |  /                           over the data make such a kernel faster
//             +------|-----------------> I
//                  P / B, the ridge (six to ten operations a byte on one core)
//
// Where our kernels stand, 4 bytes a number and every tensor counted once:
//
//   convolution, k x k taps, c to o channels   I = k k c o / 2(c + o)
//     3x3, 64 to 64                              144     far right: multipliers
//     3x3, 3 to 32 (the first layer)             12      at the ridge: y must be written
//   matrix product [m,k] [k,n]                 I = m k n / 2(m k + k n + m n)
//     128 x 512 x 512                            43      right: multipliers
//     a single row                               < 1/2   left: two operations for a number of W, from whichever cache has it
//   ReLU, pooling, batch norm                  I < 1     left: bytes, so fuse them
//
// Both limits are measured in the same run, before anything else, the best of several: P with fused multiply-adds on
// registers (of this build's vectors), B with the triad a = b + s c on arrays beyond the caches. A row shows both shares.
// More than 100 % of B: the data came from a cache. More than 100 % of P: Winograd's algorithm, for operations are counted
// by the definition, also those with the zeros of a border.
//
// Source: Williams, Waterman and Patterson, "Roofline", CACM 52 (2009). Triad: McCalpin's STREAM (1995).
#pragma once

#include <functional>
#include <string>

#include "core/random.hpp"
#include "core/tensor.hpp"

namespace tandem {

// One thing to time. Rows of one name are compared: ours, then others' for the same work.
struct Kernel {
  std::string name;
  std::string who = "ours";
  double operations = 0;  // by definition
  double bytes = 0;       // every tensor read or written once
  // Makes the data and gives the call to time.
  std::function<std::function<void()>()> prepare;
};

// Puts a kernel on the programme; kernels run in this order.
void add_kernel(Kernel kernel);

void add_convolutions();        // convolution.cpp
void add_matmuls(int threads);  // matmul.cpp
void add_passes();              // passes.cpp: one pass over memory, or a few
void add_fused();               // fused.cpp: operations done together, beside the same apart

// Lets the other libraries use the vectors of this build and this many threads, whatever the environment says. They listen
// only when a program starts, so this one may start itself again.
void level_the_field(int threads, char** argv);
std::string openblas_core();  // for which processor its kernels were written; empty without OpenBLAS

inline Tensor random_tensor(const Shape& shape) {
  Tensor t(shape);
  Random random(1, 1);
  for (real& value : t.values()) value = static_cast<real>(random.uniform(-1, 1));
  return t;
}

inline double bytes_of(Index values) { return static_cast<double>(values) * sizeof(real); }

}  // namespace tandem
