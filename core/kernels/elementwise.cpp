#include "core/kernels/elementwise.hpp"

#include <array>
#include <numeric>
#include <vector>

namespace tandem {

Tensor add(const Tensor& a, const Tensor& b) {
  return map(a, b, [](real x, real y) { return x + y; });
}

void add_to(Tensor& total, const Tensor& part) {
  require(total.shape() == part.shape(), "add: shapes {} and {} differ", total.shape(), part.shape());
  for_blocks(total.size(), elementwise_block, [to = total.data(), from = part.data()](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) to[i] += from[i];
  });
}

real ordered_sum(const Tensor& x) {
  // Sixteen running sums per block: one widest vector of them, the same sixteen on every machine.
  constexpr Index lanes = 16, block = 4096;
  real total = 0;
  for (Index begin = 0; begin < x.size(); begin += block) {
    std::array<real, lanes> sum{};
    const Index end = std::min(x.size(), begin + block), whole = begin + (end - begin) / lanes * lanes;
    for (Index i = begin; i < whole; i += lanes)
      for (Index l = 0; l < lanes; ++l) sum[static_cast<std::size_t>(l)] += x[i + l];
    for (Index i = whole; i < end; ++i) sum[static_cast<std::size_t>(i - whole)] += x[i];
    for (std::size_t half = lanes / 2; half > 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) sum[l] += sum[l + half];
    total += sum[0];
  }
  return total;
}

void square_sums(const Tensor& x, std::span<double> sums) {
  constexpr Index lanes = 8;
  for (Index begin = 0; begin < x.size(); begin += square_block) {
    std::array<double, lanes> sum{};
    const Index end = std::min(x.size(), begin + square_block);
    for (Index i = begin; i < end; ++i) sum[static_cast<std::size_t>((i - begin) % lanes)] += double{x[i]} * double{x[i]};
    for (std::size_t half = lanes / 2; half > 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) sum[l] += sum[l + half];
    sums[static_cast<std::size_t>(begin / square_block)] = sum[0];
  }
}

double ordered_square_sum(const Tensor& x) {
  std::vector<double> sums(count_of(square_blocks(x.size())));
  square_sums(x, sums);
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

Tensor sum_rows(const Tensor& x) {
  const Index columns = x.columns(), blocks = std::max<Index>(divide_up(x.row_count(), reduction_rows), 1);
  Tensor partial = Tensor::zeros({blocks, columns});
  for_blocks(x.row_count(), reduction_rows, [&, values = x.data()](Index begin, Index end) {
    real* const sum = partial.data() + begin / reduction_rows * columns;
    for (Index r = begin; r < end; ++r)
      for (Index c = 0; c < columns; ++c) sum[c] += values[r * columns + c];
  });
  for (Index b = 1; b < blocks; ++b)
    for (Index c = 0; c < columns; ++c) partial[c] += partial[b * columns + c];
  return partial.rows(0, 1).reshape({columns});
}

}  // namespace tandem
