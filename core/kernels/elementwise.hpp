// Loops over single values and over rows, without autograd; and sums whose order is fixed.
//
// The order in which numbers are added changes the last bits of the sum. Every sum here runs over blocks of fixed length, in
// order, so that it depends on the length alone: not on alignment, threads or the instruction set's mood.
#pragma once

#include <span>

#include "core/tensor.hpp"
#include "core/threads.hpp"

namespace tandem {

inline constexpr Index elementwise_block = 16384;  // values a thread takes at a time: half of a 128 KiB level-2 share
inline constexpr Index reduction_rows = 512;       // rows that are summed in sequence before blocks are combined

// y[i] = f(x[i]), y[i] = f(x[i], z[i])
template <class F>
Tensor map(const Tensor& x, const F& f) {
  Tensor y(x.shape());
  for_blocks(x.size(), elementwise_block, [&, in = x.data(), out = y.data()](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) out[i] = f(in[i]);
  });
  return y;
}
template <class F>
Tensor map(const Tensor& x, const Tensor& z, const F& f) {
  require(x.shape() == z.shape(), "elementwise: shapes {} and {} differ", x.shape(), z.shape());
  Tensor y(x.shape());
  for_blocks(x.size(), elementwise_block, [&, a = x.data(), b = z.data(), out = y.data()](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) out[i] = f(a[i], b[i]);
  });
  return y;
}

Tensor add(const Tensor& a, const Tensor& b);
void add_to(Tensor& total, const Tensor& part);  // total += part

real ordered_sum(const Tensor& x);           // all values

// Sum of squares in double: of each block of 4096 values (`sums` has square_blocks(x.size()) places), and of these in order.
inline constexpr Index square_block = 4096;
inline Index square_blocks(Index size) { return divide_up(size, square_block); }
void square_sums(const Tensor& x, std::span<double> sums);
double ordered_square_sum(const Tensor& x);

// Sum of all rows: per block of `reduction_rows` rows, then over blocks in order.
Tensor sum_rows(const Tensor& x);  // [n,c] -> [c]

}  // namespace tandem
