// The sizes of a tensor: Shape{32, 64, 64, 3} is a batch of 32 images of 64 by 64 pixels and 3 channels.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <span>
#include <string>

#include "core/error.hpp"
#include "core/real.hpp"

namespace tandem {

// Up to six extents, outermost first. Shape{} is a scalar: no axes, one element. An extent of 0 makes an empty tensor.
class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  Shape(std::initializer_list<Index> extents) : Shape(std::span<const Index>(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const Index> extents) {
    require(extents.size() <= max_rank, "shape: {} axes given, at most {} are supported", extents.size(), max_rank);
    for (const Index extent : extents) push_back(extent);
  }

  int rank() const { return rank_; }

  // Axis -1 is the last one.
  Index operator[](int axis) const { return extents_[index_of(axis)]; }
  Index& operator[](int axis) { return extents_[index_of(axis)]; }

  // Number of elements, refusing a product that no machine holds.
  Index size() const {
    Index n = 1;
    for (const Index extent : *this)
      if (__builtin_mul_overflow(n, extent, &n) || n >= (Index{1} << 48)) [[unlikely]]
        fail_too_large();
    return n;
  }

  void push_back(Index extent) {
    require(rank_ < max_rank, "shape: more than {} axes", max_rank);
    require(extent >= 0, "shape: extent {} of axis {} is negative", extent, rank_);
    extents_[static_cast<std::size_t>(rank_++)] = extent;
  }

  const Index* begin() const { return extents_.data(); }
  const Index* end() const { return extents_.data() + rank_; }

  std::string str() const;  // "[32,64,64,3]"

  friend bool operator==(const Shape& a, const Shape& b) { return std::ranges::equal(a, b); }

 private:
  // Apart from the checks, which are made all the time: these first turn the shape into text.
  [[noreturn]] void fail_too_large() const;
  [[noreturn]] void fail_no_axis(int axis) const;

  std::size_t index_of(int axis) const {
    const int i = axis < 0 ? axis + rank_ : axis;
    if (i < 0 || i >= rank_) [[unlikely]]
      fail_no_axis(axis);
    return static_cast<std::size_t>(i);
  }

  std::array<Index, max_rank> extents_{};
  int rank_ = 0;
};

}  // namespace tandem

template <>
struct fmt::formatter<tandem::Shape> : fmt::formatter<std::string> {
  auto format(const tandem::Shape& shape, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(shape.str(), context);
  }
};
// A Shape has begin() and end(); this keeps fmt/ranges.h from printing it as a range.
template <>
struct fmt::is_range<tandem::Shape, char> : std::false_type {};
