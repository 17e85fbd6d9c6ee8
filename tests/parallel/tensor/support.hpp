// What the tests of tensor parallelism share.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/ops.hpp"
#include "nn/layers.hpp"
#include "parallel/tensor/slices.hpp"
#include "tests/parallel/pmpi_count.hpp"
#include "tests/support.hpp"

namespace tandem {

inline constexpr double epsilon = std::numeric_limits<real>::epsilon();

inline double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double largest = 0;
  for (Index i = 0; i < a.size(); ++i)
    // The negated comparison also catches NaN.
    if (const double d = std::abs(double{a[i]} - double{b[i]}); !(d <= largest)) largest = d;
  return largest;
}

inline bool equal(const Tensor& a, const Tensor& b) { return a.shape() == b.shape() && std::ranges::equal(a.values(), b.values()); }

// Whether every rank of the group has the same bits; the same answer on all of them.
inline bool agrees(const Tensor& x, const Communicator& group) {
  Tensor first = x.clone();
  broadcast(first.values(), 0, group);
  return max_over_ranks(same_bits(x, first) ? 0 : 1, group) == 0;
}

// This rank's part of a whole.
inline Tensor own_part(const Tensor& whole, int axis, const Communicator& group) {
  return take(whole, own_slice("test", axis, whole.dim(axis), group), own_extent(whole.dim(axis), group));
}

inline std::size_t bytes(Index values) { return static_cast<std::size_t>(values) * sizeof(real); }
inline Traffic operator+(Traffic a, Traffic b) { return {a.messages + b.messages, a.bytes + b.bytes}; }
inline constexpr Traffic nothing{.messages = 0, .bytes = 0};

}  // namespace tandem
