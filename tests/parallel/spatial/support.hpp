// What the tests of split images share.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "parallel/spatial/ops.hpp"
#include "tests/support.hpp"

namespace tandem {

// Every grid of so many ranks: bands of rows, bands of columns, blocks. `longest` limits both sides, for images that soon are small.
inline std::vector<RankGrid> grids(int ranks, int longest = 8) {
  std::vector<RankGrid> all;
  for (int rows = 1; rows <= ranks; ++rows)
    if (ranks % rows == 0 && std::max(rows, ranks / rows) <= longest) all.push_back({rows, ranks / rows});
  return all;
}

inline double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double largest = 0;
  for (Index i = 0; i < a.size(); ++i) {
    const double d = std::abs(double{a[i]} - double{b[i]});
    largest = d <= largest ? largest : d;  // NaN shows
  }
  return largest;
}
inline double largest(const Tensor& a) { return largest_difference(a, Tensor::zeros(a.shape())); }

// Two orders of adding n numbers differ by at most n epsilon times the sum of their sizes. Rounding errors are as often up as down, so
// that n epsilon times the largest *result* is a bound that is never met and that no wrong term or factor hides under.
inline bool close(const Tensor& a, const Tensor& b, Index terms) {
  const double allowed = static_cast<double>(terms) * double{std::numeric_limits<real>::epsilon()} * std::max(1.0, largest(b));
  return largest_difference(a, b) <= allowed;
}

inline Tensor summed(const Tensor& part, const Communicator& comm) {
  Tensor sum = part.clone();
  allreduce(sum.values(), comm);
  return sum;
}

}  // namespace tandem
