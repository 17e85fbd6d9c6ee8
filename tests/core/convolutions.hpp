// Convolutions by the plain loops of their definition, in double, for comparison with the kernels.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "core/kernels/conv.hpp"
#include "core/random.hpp"

namespace tandem {

using Values = std::vector<real>;

struct Sizes {
  std::size_t x, W, y;
};
inline Sizes sizes_of(const ConvShape& s) {
  return {static_cast<std::size_t>(s.images * s.height * s.width * s.in_channels),
          static_cast<std::size_t>(s.kernel_h * s.kernel_w * s.in_channels * s.out_channels),
          static_cast<std::size_t>(s.images * s.out_height() * s.out_width() * s.out_channels)};
}

inline Values whole_numbers(std::size_t count, std::uint64_t stream) {
  Random random(7, stream);
  Values values(count);
  for (real& value : values) value = static_cast<real>(random.below(7)) - 3;
  return values;
}
inline Values fractions(std::size_t count, std::uint64_t stream) {
  Random random(11, stream);
  Values values(count);
  for (real& value : values) value = static_cast<real>(random.uniform(-1, 1));
  return values;
}

// Calls visit(index into x, index into W, index into y) for every product of the definition.
inline void for_products(const ConvShape& s, const std::function<void(std::size_t, std::size_t, std::size_t)>& visit) {
  for (Index n = 0; n < s.images; ++n)
    for (Index i = 0; i < s.out_height(); ++i)
      for (Index j = 0; j < s.out_width(); ++j)
        for (Index u = 0; u < s.kernel_h; ++u)
          for (Index v = 0; v < s.kernel_w; ++v) {
            const Index h = i * s.stride_h - s.pad_h + u, w = j * s.stride_w - s.pad_w + v;
            if (h < 0 || h >= s.height || w < 0 || w >= s.width) continue;
            for (Index c = 0; c < s.in_channels; ++c)
              for (Index o = 0; o < s.out_channels; ++o)
                visit(static_cast<std::size_t>(((n * s.height + h) * s.width + w) * s.in_channels + c),
                      static_cast<std::size_t>(((u * s.kernel_w + v) * s.in_channels + c) * s.out_channels + o),
                      static_cast<std::size_t>(((n * s.out_height() + i) * s.out_width() + j) * s.out_channels + o));
          }
}

// The results, from plain loops (in double) or from the kernels.
template <class T>
struct Results {
  std::vector<T> y, dx, dW, db;
};

inline Results<double> plain(const ConvShape& s, const Values& x, const Values& W, const Values& b, const Values& dy) {
  Results<double> r{std::vector<double>(dy.size()), std::vector<double>(x.size()), std::vector<double>(W.size()), {}};
  r.db.resize(b.size());
  for (std::size_t p = 0; p < r.y.size(); ++p) r.y[p] = b[p % b.size()], r.db[p % b.size()] += dy[p];
  for_products(s, [&](std::size_t q, std::size_t k, std::size_t p) {
    r.y[p] += double{x[q]} * double{W[k]};
    r.dx[q] += double{dy[p]} * double{W[k]};
    r.dW[k] += double{x[q]} * double{dy[p]};
  });
  return r;
}

// The outputs start as not-a-number, so that a value that was never written is seen, with a margin that must stay so.
inline Results<real> computed(const ConvShape& s, const Values& x, const Values& W, const Values& b, const Values& dy) {
  constexpr std::size_t margin = 64;
  const auto blank = [](std::size_t size) { return Values(size + margin, std::numeric_limits<real>::quiet_NaN()); };
  Results<real> r{blank(dy.size()), blank(x.size()), blank(W.size()), blank(b.size())};
  conv_forward(s, x.data(), W.data(), b.empty() ? nullptr : b.data(), {r.y.data()});
  conv_backward_data(s, {dy.data()}, W.data(), r.dx.data());
  conv_backward_weights(s, x.data(), {dy.data()}, r.dW.data(), b.empty() ? nullptr : r.db.data());
  for (Values* values : {&r.y, &r.dx, &r.dW, &r.db}) {
    REQUIRE(std::all_of(values->end() - margin, values->end(), [](real value) { return std::isnan(value); }));
    values->resize(values->size() - margin);
  }
  return r;
}

inline std::string text(const ConvShape& s) {
  return fmt::format("{} images {}x{}x{} -> {}, kernel {}x{}, stride {}x{}, border {}x{}", s.images, s.height, s.width,
                     s.in_channels, s.out_channels, s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.pad_h, s.pad_w);
}

inline bool equal(const std::vector<real>& ours, const std::vector<double>& plain) {
  return std::ranges::equal(ours, plain, [](real a, double b) { return double{a} == b; });
}

// Small whole numbers: every product and every sum is exact in any order.
inline void check_on_whole_numbers(const ConvShape& s) {
  CAPTURE(text(s));
  const Sizes size = sizes_of(s);
  const Values x = whole_numbers(size.x, 1), W = whole_numbers(size.W, 2), dy = whole_numbers(size.y, 3);
  const Values b = whole_numbers(static_cast<std::size_t>(s.out_channels), 4);
  const Results<double> expected = plain(s, x, W, b, dy);
  const Results<real> ours = computed(s, x, W, b, dy);
  CHECK(equal(ours.y, expected.y));
  CHECK(equal(ours.dx, expected.dx));
  CHECK(equal(ours.dW, expected.dW));
  CHECK(equal(ours.db, expected.db));
}

}  // namespace tandem
