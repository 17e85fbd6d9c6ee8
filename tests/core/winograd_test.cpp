// Winograd's algorithm against the definition, and its rounding against direct convolution's.
#include "core/kernels/winograd.hpp"

#include "core/kernels/direct_conv.hpp"
#include "core/kernels/register_tile.hpp"
#include "tests/core/convolutions.hpp"

namespace tandem {
namespace {

constexpr Index p = std::max<Index>(16, packet_size);  // the fewest channels for which it is used

ConvShape shape(Index images, Index height, Index width, Index in, Index out, Index pad_h, Index pad_w) {
  return {.images = images,
          .height = height,
          .width = width,
          .in_channels = in,
          .out_channels = out,
          .kernel_h = 3,
          .kernel_w = 3,
          .pad_h = pad_h,
          .pad_w = pad_w};
}

// Every border; even and odd sizes; one packet of channels, an odd number of packets, several blocks; strips that are a part of an
// image, an image, many images.
std::vector<ConvShape> shapes() {
  std::vector<ConvShape> table;
  for (const Index pad_h : {0, 1, 2})
    for (const Index pad_w : {0, 1, 2})
      for (const auto& [height, width] : {std::pair<Index, Index>{6, 6}, {7, 5}, {3, 8}, {4, 3}, {13, 21}}) {
        const Index i = static_cast<Index>(table.size());
        table.push_back(shape(1 + i % 3, height, width, p + i % 4 * packet_size, p + i % 5 * packet_size, pad_h, pad_w));
      }
  table.push_back(shape(60, 4, 4, 2 * p, 2 * p, 1, 1));
  table.push_back(shape(2, 40, 70, p, 3 * p, 1, 1));
  table.push_back(shape(1, 1, 1, p, p, 1, 1));
  table.push_back(shape(0, 8, 8, p, p, 1, 1));
  return table;
}

// The root of the mean square error, relative to that of the values.
double error(const Values& ours, const std::vector<double>& exact) {
  double errors = 0, values = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    errors += (ours[i] - exact[i]) * (ours[i] - exact[i]);
    values += exact[i] * exact[i];
  }
  return std::sqrt(errors / values);
}

}  // namespace

TEST_CASE("winograd: on whole numbers forward and both gradients equal the plain loops, exactly") {
  // The transform of the kernel divides by 4 and nothing else rounds.
  for (const ConvShape& s : shapes()) {
    REQUIRE(uses_winograd(s) == winograd_wanted);
    check_on_whole_numbers(s);
  }
}

TEST_CASE("winograd: negative control: one weight changed is seen in y and dx") {
  const ConvShape s = shape(2, 7, 6, p, 2 * p, 1, 1);
  const Sizes size = sizes_of(s);
  const Values x = whole_numbers(size.x, 1), W = whole_numbers(size.W, 2), dy = whole_numbers(size.y, 3),
               b(count_of(2 * p), 0);
  Values changed = W;
  changed[W.size() / 2] += 1;
  const Results<double> expected = plain(s, x, W, b, dy);
  const Results<real> ours = computed(s, x, changed, b, dy);
  CHECK_FALSE(equal(ours.y, expected.y));
  CHECK_FALSE(equal(ours.dx, expected.dx));
}

TEST_CASE("winograd: errors against double are at most twice those of direct convolution") {
  if (real_is_double) {
    MESSAGE("skipped: in double there is nothing more exact at hand");
    return;
  }
  for (const ConvShape& s :
       {shape(2, 32, 32, 2 * p, 2 * p, 1, 1), shape(4, 16, 16, 4 * p, 4 * p, 1, 1), shape(8, 8, 8, 8 * p, 8 * p, 1, 1)}) {
    CAPTURE(text(s));
    const Sizes size = sizes_of(s);
    const Values x = fractions(size.x, 1), W = fractions(size.W, 2), dy = fractions(size.y, 3),
                 b(count_of(s.out_channels), 0);
    const Results<double> exact = plain(s, x, W, b, dy);
    Results<real> direct{Values(size.y), Values(size.x), Values(size.W), {}}, winograd = direct;
    direct::forward(s, x.data(), W.data(), nullptr, {direct.y.data()});
    direct::backward_data(s, {dy.data()}, W.data(), direct.dx.data());
    direct::backward_weights(s, x.data(), {dy.data()}, direct.dW.data(), nullptr);
    winograd::forward(s, x.data(), W.data(), nullptr, {winograd.y.data()});
    winograd::backward_data(s, {dy.data()}, W.data(), winograd.dx.data());
    winograd::backward_weights(s, x.data(), {dy.data()}, winograd.dW.data(), nullptr);
    // Measured: 0.65 for y and dx, whose sums are nine times shorter; 1.0 to 1.7 for dW.
    CHECK(error(winograd.y, exact.y) <= 2 * error(direct.y, exact.y));
    CHECK(error(winograd.dx, exact.dx) <= 2 * error(direct.dx, exact.dx));
    CHECK(error(winograd.dW, exact.dW) <= 2 * error(direct.dW, exact.dW));
    CHECK(winograd.y != direct.y);  // they are two ways
  }
}

TEST_CASE("winograd: whether it is used follows from the layer, not from the batch") {
  ConvShape s = shape(1, 8, 8, p, p, 1, 1);
  CHECK(uses_winograd(s) == winograd_wanted);
  s.images = 1000;
  CHECK(uses_winograd(s) == winograd_wanted);
  const auto refused = [&](auto change) {
    ConvShape other = s;
    change(other);
    return !uses_winograd(other);
  };
  CHECK(refused([](ConvShape& o) { o.kernel_h = 1; }));
  CHECK(refused([](ConvShape& o) { o.stride_w = 2; }));
  CHECK(refused([](ConvShape& o) { o.pad_h = 3; }));
  CHECK(refused([](ConvShape& o) { o.in_channels = 3; }));
  CHECK(refused([](ConvShape& o) { o.out_channels = p + 1; }));
  CHECK(refused([](ConvShape& o) { o.in_channels = 8; }));
}

}  // namespace tandem
