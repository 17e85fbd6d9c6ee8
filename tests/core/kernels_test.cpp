// The convolution kernels against the plain loops of their definition.
//
// Most cases use small whole numbers: then every product and every sum is exact in any order, and the comparison is ==.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "core/error.hpp"
#include "core/kernels/register_tile.hpp"
#include "core/threads.hpp"
#include "tests/core/convolutions.hpp"

namespace tandem {
namespace {

// Every kernel, stride and border with changing channels, image sizes and numbers of images; then shapes with a story.
std::vector<ConvShape> shape_table() {
  struct Pair {
    Index a, b;
  };
  const Pair channels[] = {{1, 1},  {3, 5},   {5, 3},   {16, 16}, {17, 33}, {32, 10},
                           {3, 32}, {33, 17}, {40, 24}, {1, 40},  {12, 16}};
  const Pair images[] = {{7, 9}, {1, 5}, {6, 6}, {13, 4}, {8, 8}, {9, 2}, {3, 21}};
  std::vector<ConvShape> table;
  for (const Pair kernel : {Pair{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {7, 7}, {1, 3}, {5, 2}})
    for (const Pair stride : {Pair{1, 1}, {2, 2}, {3, 3}, {2, 1}})
      for (const Pair pad : {Pair{0, 0}, {1, 1}, {2, 2}, {0, 2}})
        for (const Pair image : images) {
          if (kernel.a > image.a + 2 * pad.a || kernel.b > image.b + 2 * pad.b) continue;
          const std::size_t i = table.size();
          const Pair channel = channels[i % std::size(channels)];
          table.push_back({.images = static_cast<Index>(1 + i % 3),
                           .height = image.a,
                           .width = image.b,
                           .in_channels = channel.a,
                           .out_channels = channel.b,
                           .kernel_h = kernel.a,
                           .kernel_w = kernel.b,
                           .stride_h = stride.a,
                           .stride_w = stride.b,
                           .pad_h = pad.a,
                           .pad_w = pad.b});
        }
  const ConvShape conv3x3{.images = 3,
                          .height = 24,
                          .width = 41,
                          .in_channels = 16,
                          .out_channels = 40,
                          .kernel_h = 3,
                          .kernel_w = 3,
                          .stride_h = 1,
                          .stride_w = 1,
                          .pad_h = 1,
                          .pad_w = 1};
  const auto with = [&](auto change) {
    ConvShape s = conv3x3;
    change(s);
    table.push_back(s);
  };
  with([](ConvShape&) {});                                                                    // images of several strips
  with([](ConvShape& s) { s.images = 70, s.height = s.width = 4; });                          // strips of several images
  with([](ConvShape& s) { s.images = 1, s.height = s.width = 1; });                           // kernel larger than the image
  with([](ConvShape& s) { s.images = 1, s.height = 2, s.width = 300, s.out_channels = 3; });  // rows longer than a strip
  with([](ConvShape& s) { s.height = s.width = 10, s.in_channels = 130; });                   // a long sum
  with([](ConvShape& s) { s.images = 0; });
  with([](ConvShape& s) { s.height = 0, s.pad_h = 2; });  // nothing but border
  with([](ConvShape& s) { s.height = s.width = 6, s.in_channels = 0; });
  with([](ConvShape& s) { s.height = s.width = 6, s.out_channels = 0; });
  with([](ConvShape& s) { s.height = s.width = 0, s.kernel_h = s.kernel_w = 1; });  // pad 1: four pixels of border
  return table;
}

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

const ConvShape medium{.images = 5,
                       .height = 19,
                       .width = 23,
                       .in_channels = 20,
                       .out_channels = 40,
                       .kernel_h = 3,
                       .kernel_w = 3,
                       .stride_h = 1,
                       .stride_w = 1,
                       .pad_h = 1,
                       .pad_w = 1};

// The same, done by Winograd's algorithm.
ConvShape medium_winograd() {
  ConvShape s = medium;
  s.in_channels = 32, s.out_channels = 48;
  return s;
}

}  // namespace

TEST_CASE("convolution: on whole numbers forward and both gradients equal the plain loops, exactly") {
  for (const ConvShape& s : shape_table()) check_on_whole_numbers(s);
}

TEST_CASE("convolution: no bias is a bias of zeros") {
  const Sizes size = sizes_of(medium);
  const Values x = fractions(size.x, 1), W = fractions(size.W, 2), dy = fractions(size.y, 3);
  CHECK(computed(medium, x, W, {}, dy).y == computed(medium, x, W, Values(40, 0), dy).y);
  CHECK(computed(medium, x, W, {}, dy).y != computed(medium, x, W, Values(40, 1), dy).y);
}

TEST_CASE("convolution: rounding errors stay below the bound of a plain sum") {
  // A sum of n products in any order errs by at most n eps (sum of |products|), to first order (Higham, Accuracy and
  // Stability of Numerical Algorithms, 2002, section 3.1); the bias is one more term. In double the comparison itself
  // rounds alike.
  for (ConvShape s : {medium, ConvShape{.images = 2,
                              .height = 9,
                              .width = 9,
                              .in_channels = 128,
                              .out_channels = 17,
                              .kernel_h = 4,
                              .kernel_w = 4,
                              .stride_h = 2,
                              .stride_w = 2,
                              .pad_h = 1,
                              .pad_w = 1}}) {
    CAPTURE(text(s));
    const Sizes size = sizes_of(s);
    const Values x = fractions(size.x, 1), W = fractions(size.W, 2), dy = fractions(size.y, 3);
    const Values b = fractions(static_cast<std::size_t>(s.out_channels), 4);
    const auto absolute = [](Values values) {
      for (real& value : values) value = std::abs(value);
      return values;
    };
    const Results<double> exact = plain(s, x, W, b, dy),
                          magnitude = plain(s, absolute(x), absolute(W), absolute(b), absolute(dy));
    const Results<real> ours = computed(s, x, W, b, dy);
    const auto within = [](const Values& a, const std::vector<double>& b_, const std::vector<double>& scale, Index terms) {
      const double eps = (real_is_double ? 2 : 1) * double{std::numeric_limits<real>::epsilon()};
      for (std::size_t i = 0; i < a.size(); ++i)
        if (!(std::abs(a[i] - b_[i]) <= static_cast<double>(terms) * eps * scale[i])) return false;
      return true;
    };
    const Index taps = s.kernel_h * s.kernel_w;
    CHECK(within(ours.y, exact.y, magnitude.y, taps * s.in_channels + 1));
    CHECK(within(ours.dx, exact.dx, magnitude.dx, taps * s.out_channels));
    CHECK(within(ours.dW, exact.dW, magnitude.dW, s.images * s.out_height() * s.out_width()));
  }
}

TEST_CASE("convolution: negative control: one weight changed, or one border more, is seen") {
  const Sizes size = sizes_of(medium);
  const Values x = whole_numbers(size.x, 1), W = whole_numbers(size.W, 2), dy = whole_numbers(size.y, 3), b(40, 0);
  Values changed = W;
  changed[W.size() / 2] += 1;
  const Results<double> expected = plain(medium, x, W, b, dy);
  const Results<real> ours = computed(medium, x, changed, b, dy);
  CHECK(!equal(ours.y, expected.y));
  CHECK(!equal(ours.dx, expected.dx));
  CHECK(equal(ours.dW, expected.dW));  // does not depend on W

  // The same image seen through a window that is shifted by one row and column.
  ConvShape shifted = medium;
  shifted.pad_h = shifted.pad_w = 0, shifted.kernel_h = shifted.kernel_w = 1;
  const Values centre = whole_numbers(sizes_of(shifted).W, 2);
  CHECK(equal(computed(shifted, x, centre, b, dy).y, plain(shifted, x, centre, b, dy).y));
  CHECK(computed(shifted, x, centre, b, dy).y != ours.y);
}

TEST_CASE("convolution: the same bits on 1, 2 and 3 threads") {
  const int before = thread_count();
  for (ConvShape s : {medium, medium_winograd(),
                      ConvShape{.images = 37,
                      .height = 4,
                      .width = 4,
                      .in_channels = 70,
                      .out_channels = 33,
                      .kernel_h = 3,
                      .kernel_w = 3,
                      .stride_h = 2,
                      .stride_w = 2,
                      .pad_h = 1,
                      .pad_w = 1}}) {
    CAPTURE(text(s));
    const Sizes size = sizes_of(s);
    const Values x = fractions(size.x, 1), W = fractions(size.W, 2), dy = fractions(size.y, 3);
    set_thread_count(1);
    const Results<real> one = computed(s, x, W, {}, dy);
    for (const int threads : {2, 3}) {
      set_thread_count(threads);
      const Results<real> more = computed(s, x, W, {}, dy);
      CHECK(more.y == one.y);
      CHECK(more.dx == one.dx);
      CHECK(more.dW == one.dW);
    }
    set_thread_count(before);
  }
}

TEST_CASE("convolution: an image has the same bits alone and in any batch") {
  for (const ConvShape& s : {medium, medium_winograd()}) {
    CAPTURE(text(s));
    const Sizes size = sizes_of(s);
    const Values x = fractions(size.x, 1), W = fractions(size.W, 2), dy = fractions(size.y, 3);
    const Results<real> all = computed(s, x, W, {}, dy);
    ConvShape single = s;
    single.images = 1;
    const auto image = [&](const Values& values, Index n) {
      const auto step = static_cast<Index>(values.size()) / s.images;
      return Values(values.begin() + n * step, values.begin() + (n + 1) * step);
    };
    for (Index n = 0; n < s.images; ++n) {
      const Results<real> alone = computed(single, image(x, n), W, {}, image(dy, n));
      CHECK(alone.y == image(all.y, n));
      CHECK(alone.dx == image(all.dx, n));
    }
    CHECK(image(all.y, 0) != image(all.y, 1));
  }
}

TEST_CASE("convolution: negative control: these sums round, so another order of the images gives other bits of dW") {
  const Sizes size = sizes_of(medium);
  const Values x = fractions(size.x, 1), W = fractions(size.W, 2), dy = fractions(size.y, 3);
  const auto reversed = [](const Values& values) {
    const std::size_t step = values.size() / medium.images;
    Values result;
    for (std::size_t n = medium.images; n-- > 0;)
      result.insert(result.end(), values.begin() + static_cast<Index>(n * step),
                    values.begin() + static_cast<Index>((n + 1) * step));
    return result;
  };
  CHECK(computed(medium, x, W, {}, dy).dW != computed(medium, reversed(x), W, {}, reversed(dy)).dW);
}

TEST_CASE("convolution: the three are one trilinear form: <conv(x,W),dy> = <x,dx> = <W,dW>") {
  for (const ConvShape& s : shape_table()) {
    CAPTURE(text(s));
    const Sizes size = sizes_of(s);
    const Values x = whole_numbers(size.x, 5), W = whole_numbers(size.W, 6), dy = whole_numbers(size.y, 7);
    const Results<real> r = computed(s, x, W, {}, dy);
    CHECK(dot(r.y, dy) == dot(x, r.dx));
    CHECK(dot(r.y, dy) == dot(W, r.dW));
  }
}

TEST_CASE("convolution: a kernel that does not fit, or a stride of zero, is refused with the sizes") {
  ConvShape s = medium;
  s.kernel_h = 22;
  real none = 0;
  CHECK_THROWS_WITH_AS(conv_forward(s, &none, &none, nullptr, {&none}),
                       "conv_forward: a kernel of 22x3 does not fit an image of 19x23 with a border of 1x1", Error);
  CHECK_THROWS_AS(conv_backward_data(s, {&none}, &none, &none), Error);
  CHECK_THROWS_AS(conv_backward_weights(s, &none, {&none}, &none, nullptr), Error);
  s = medium, s.stride_w = 0;
  CHECK_THROWS_AS(conv_forward(s, &none, &none, nullptr, {&none}), Error);
}

}  // namespace tandem
