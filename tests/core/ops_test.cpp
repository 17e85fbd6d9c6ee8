// Values of the operations against numbers worked out by hand or by plain loops, and what they refuse.
// Their derivatives are checked in tests/gradients, their kernels in kernels_test.cpp.
#include "core/ops.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/support.hpp"

namespace tandem {
namespace {

constexpr real infinity = std::numeric_limits<real>::infinity();
constexpr real nan = std::numeric_limits<real>::quiet_NaN();
// A few roundings of numbers near 1.
constexpr double few_roundings = 8 * std::numeric_limits<real>::epsilon();

bool close(real a, double b, double tolerance = few_roundings) {
  return std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}
Tensor counting(const Shape& shape) {
  Tensor x(shape);
  for (Index i = 0; i < x.size(); ++i) x[i] = static_cast<real>(i);
  return x;
}

// ---- arithmetic

TEST_CASE("broadcasting: an extent of 1 and a missing axis repeat, as in plain loops") {
  const Tensor a = whole_numbers({2, 1, 3}, 1), b = whole_numbers({4, 1}, 2);
  const Variable sum = Variable(a) + Variable(b), product = Variable(a) * Variable(b),
                 difference = Variable(b) - Variable(a);
  REQUIRE(sum.shape() == Shape{2, 4, 3});
  for (Index i = 0; i < 2; ++i)
    for (Index j = 0; j < 4; ++j)
      for (Index k = 0; k < 3; ++k) {
        const Index y = (i * 4 + j) * 3 + k;
        CHECK(sum.value()[y] == a[i * 3 + k] + b[j]);
        CHECK(product.value()[y] == a[i * 3 + k] * b[j]);
        CHECK(difference.value()[y] == b[j] - a[i * 3 + k]);
      }
}

TEST_CASE("broadcasting: scalars, empty axes and six axes") {
  CHECK((Variable(Tensor::scalar(2)) + Variable(Tensor({2}, {1, 5}))).value()[1] == 7);
  CHECK((Variable(Tensor({0, 3})) * Variable(Tensor({1, 3}))).shape() == Shape{0, 3});
  const Variable wide = Variable(counting({1, 2, 1, 1, 1, 3})) + Variable(counting({2, 1, 2, 1, 1, 1}));
  CHECK(wide.shape() == Shape{2, 2, 2, 1, 1, 3});
  CHECK(wide.value()[wide.value().size() - 1] == 5 + 3);
}

TEST_CASE("arithmetic: divide, negate, scale") {
  const Variable a(Tensor({2}, {6, -1})), b(Tensor({2}, {4, 8}));
  CHECK(same_bits((a / b).value(), Tensor({2}, {1.5, -0.125})));
  CHECK(same_bits((-a).value(), Tensor({2}, {-6, 1})));
  CHECK(same_bits(scale(a, real(0.5)).value(), Tensor({2}, {3, -0.5})));
}

TEST_CASE("arithmetic: shapes that do not broadcast are refused with both") {
  const Variable a(Tensor({2, 3})), b(Tensor({2, 4}));
  CHECK(error_of([&] { a + b; }) == "add: shapes [2,3] and [2,4] do not broadcast: 3 against 4");
  CHECK(error_of([&] { a - b; }) == "subtract: shapes [2,3] and [2,4] do not broadcast: 3 against 4");
  CHECK(error_of([&] { a* Variable(Tensor({2})); }) == "multiply: shapes [2,3] and [2] do not broadcast: 3 against 2");
  CHECK(error_of([&] { a / Variable(Tensor({0, 3})); }) == "divide: shapes [2,3] and [0,3] do not broadcast: 2 against 0");
}

// ---- products

TEST_CASE("matmul: all four transposes equal the double loop") {
  constexpr Index m = 3, k = 5, n = 4;
  const Tensor A = whole_numbers({m, k}, 1), B = whole_numbers({k, n}, 2);
  const auto transposed = [](const Tensor& x) { return permute(x, {1, 0}).value(); };
  Tensor C = Tensor::zeros({m, n});
  for (Index i = 0; i < m; ++i)
    for (Index j = 0; j < n; ++j)
      for (Index l = 0; l < k; ++l) C[i * n + j] += A[i * k + l] * B[l * n + j];
  const Variable a(A), b(B), at(transposed(A)), bt(transposed(B));
  CHECK(same_bits(matmul(a, b).value(), C));
  CHECK(same_bits(matmul_nt(a, bt).value(), C));
  CHECK(same_bits(matmul_tn(at, b).value(), C));
  CHECK(same_bits(matmul_tt(at, bt).value(), C));
  CHECK_FALSE(same_bits(matmul(a, scale(b, 2)).value(), C));

  const Tensor bias = whole_numbers({n}, 3);
  const Variable y = linear(a, bt, bias);
  for (Index i = 0; i < m; ++i)
    for (Index j = 0; j < n; ++j) CHECK(y.value()[i * n + j] == C[i * n + j] + bias[j]);
}

TEST_CASE("matmul: a sum over nothing is zero") {
  CHECK(same_bits(matmul(Tensor({2, 0}), Tensor({0, 3})).value(), Tensor::zeros({2, 3})));
  CHECK(matmul(Tensor({0, 2}), Tensor({2, 3})).shape() == Shape{0, 3});
}

TEST_CASE("matmul and linear: sizes that do not fit are refused with the shapes") {
  const Variable A(Tensor({2, 3})), B(Tensor({4, 5})), v(Tensor({3}));
  CHECK(error_of([&] { matmul(A, B); }) ==
        "matmul: A is [2,3] and B is [4,5]; two matrices with equal inner sizes are expected");
  CHECK(error_of([&] { matmul_nt(A, B); }).starts_with("matmul_nt: A is [2,3] and B is [4,5]"));
  CHECK(error_of([&] { matmul_tn(A, B); }).starts_with("matmul_tn: A is [2,3] and B is [4,5]"));
  CHECK(error_of([&] { matmul_tt(A, B); }).starts_with("matmul_tt: A is [2,3] and B is [4,5]"));
  CHECK(error_of([&] { matmul(A, v); }).starts_with("matmul: A is [2,3] and B is [3]"));
  CHECK(error_of([&] { linear(A, B, v); }) ==
        "linear: x is [2,3], W is [4,5] and b is [3]; expected x [n,in], W [out,in], b [out]");
  CHECK(error_of([&] { linear(A, Tensor({4, 3}), v); }).starts_with("linear: x is [2,3], W is [4,3] and b is [3]"));
}

// ---- convolution and pooling

TEST_CASE("conv2d: a 2x2 kernel worked out by hand, and an edge that pads") {
  const Variable x(counting({1, 3, 3, 1})), W(Tensor({2, 2, 1, 1}, {1, 2, 3, 4})), b(Tensor({1}, {10}));
  //  0 1 2        1 2
  //  3 4 5   *    3 4      1*0 + 2*1 + 3*3 + 4*4 = 27, ...
  //  6 7 8
  CHECK(same_bits(conv2d(x, W, b).value(), Tensor({1, 2, 2, 1}, {37, 47, 67, 77})));
  CHECK(same_bits(conv2d(x, W, {}).value(), Tensor({1, 2, 2, 1}, {27, 37, 57, 67})));
  // With one row and column of zeros around and stride 2 the corners are 4*0, 3*1 + 4*2, 2*3 + 4*6, ...
  CHECK(same_bits(conv2d(x, W, {}, Window::square(2, 2, 1)).value(), Tensor({1, 2, 2, 1}, {0, 11, 30, 67})));
}

TEST_CASE("conv2d: refusals name x, W, b and the window") {
  const Variable x(Tensor({1, 4, 4, 3})), W(Tensor({3, 3, 3, 2})), b(Tensor({2}));
  CHECK(error_of([&] {
          conv2d(x, Tensor({3, 3, 4, 2}), b);
        }) == "conv2d: x is [1,4,4,3] and W is [3,3,4,2]; expected x [n,h,w,c], W [kh,kw,c,out]");
  CHECK(error_of([&] { conv2d(Tensor({4, 4, 3}), W, b); }).starts_with("conv2d: x is [4,4,3] and W is [3,3,3,2]"));
  CHECK(error_of([&] { conv2d(x, W, Tensor({3})); }) == "conv2d: W is [3,3,3,2] but b is [3]; expected b [2]");
  CHECK(error_of([&] {
          conv2d(x, Tensor({5, 3, 3, 2}), b);
        }) == "conv2d: the kernel 5x3 is larger than the image 4x4 with padding 0x0");
  CHECK(error_of([&] { conv2d(x, W, b, {.stride_h = 0}); }).starts_with("conv2d: kernel 3x3, stride 0x1, padding 0x0"));
  CHECK(error_of([&] { conv2d(x, W, b, {.pad_w = -1}); }).starts_with("conv2d: kernel 3x3, stride 1x1, padding 0x-1"));
}

// Both pools by plain loops: what lies in the padding does not count.
std::pair<Tensor, Tensor> plain_pools(const Tensor& x, const Window& w) {
  const Index n = x.dim(0), height = x.dim(1), width = x.dim(2), c = x.dim(3);
  const Index out_h = (height + 2 * w.pad_h - w.height) / w.stride_h + 1,
              out_w = (width + 2 * w.pad_w - w.width) / w.stride_w + 1;
  Tensor largest({n, out_h, out_w, c}), mean({n, out_h, out_w, c});
  for (Index image = 0, at = 0; image < n; ++image)
    for (Index i = 0; i < out_h; ++i)
      for (Index j = 0; j < out_w; ++j)
        for (Index k = 0; k < c; ++k, ++at) {
          real top = -infinity, sum = 0;
          int count = 0;
          for (Index h = i * w.stride_h - w.pad_h; h < i * w.stride_h - w.pad_h + w.height; ++h)
            for (Index v = j * w.stride_w - w.pad_w; v < j * w.stride_w - w.pad_w + w.width; ++v)
              if (h >= 0 && h < height && v >= 0 && v < width) {
                const real value = x[((image * height + h) * width + v) * c + k];
                top = std::max(top, value), sum += value, ++count;
              }
          largest[at] = top, mean[at] = sum / static_cast<real>(count);
        }
  return {largest, mean};
}

TEST_CASE("pooling: strides, gaps, overlaps and paddings equal the plain loops") {
  const Tensor x = whole_numbers({2, 7, 6, 3});
  for (const Window& w : {Window::square(2, 2), Window::square(3, 2, 1), Window::square(3, 1, 2), Window::square(2, 3),
                          Window{.height = 1, .width = 4, .stride_h = 2, .stride_w = 1, .pad_h = 0, .pad_w = 3},
                          Window{.height = 7, .width = 6}, Window::square(1)}) {
    const auto [largest, mean] = plain_pools(x, w);
    CHECK(same_bits(max_pool(x, w).value(), largest));
    CHECK(same_bits(average_pool(x, w).value(), mean));
  }
  CHECK_FALSE(same_bits(average_pool(x, Window::square(3, 1, 1)).value(), max_pool(x, Window::square(3, 1, 1)).value()));
}

TEST_CASE("pooling: padding is not a zero: a border of negative values keeps its largest") {
  const Tensor x = Tensor::full({1, 2, 2, 1}, -3);
  CHECK(same_bits(max_pool(x, Window::square(3, 1, 1)).value(), x));
  CHECK(same_bits(average_pool(x, Window::square(3, 1, 1)).value(), x));
}

TEST_CASE("max_pool: among equals the first one gets the gradient") {
  const Variable x(Tensor::full({1, 2, 2, 1}, 5), true);
  backward(max_pool(x, Window::square(2)), Tensor({1, 1, 1, 1}, {7}));
  CHECK(same_bits(x.gradient(), Tensor({1, 2, 2, 1}, {7, 0, 0, 0})));
}

TEST_CASE("max_pool: a window of nothing but minus infinity gives its gradient to its first pixel, not to the padding") {
  const Variable x(Tensor::full({1, 2, 2, 1}, -std::numeric_limits<real>::infinity()), true);
  const Variable y = max_pool(x, Window::square(2, 2, 1));  // the first window sees one pixel, at its last place
  backward(y, Tensor({1, 2, 2, 1}, {1, 2, 3, 4}));
  CHECK(std::ranges::equal(x.gradient().values(), std::vector<real>{1, 2, 3, 4}));
}

TEST_CASE("global_average_pool: the mean of each channel") {
  const Variable y = global_average_pool(counting({2, 2, 2, 2}));
  CHECK(same_bits(y.value(), Tensor({2, 2}, {3, 4, 11, 12})));
}

TEST_CASE("pooling: refusals name x and the window") {
  const Variable x(Tensor({1, 4, 4, 3}));
  CHECK(error_of([&] { max_pool(Tensor({4, 4}), Window::square(2)); }) == "max_pool: x is [4,4]; expected [n,h,w,c]");
  CHECK(error_of([&] { average_pool(x, Window::square(5)); }) == "average_pool: window 5x5 is larger than the image 4x4");
  CHECK(error_of([&] { max_pool(x, Window::square(2, 1, 2)); }) == "max_pool: padding 2x2 for a window 2x2");
  CHECK(error_of([&] { max_pool(x, Window::square(2, 0)); }) == "max_pool: window 2x2 with stride 0x0");
  CHECK(error_of([&] {
          max_pool(Tensor({1, 20, 20, 1}), Window::square(17));
        }) == "max_pool: a window of 17x17 pixels; at most 255 in all");
  CHECK(error_of([&] {
          global_average_pool(Tensor({2, 0, 4, 3}));
        }) == "global_average_pool: x is [2,0,4,3]; expected [n,h,w,c] with pixels");
}

// ---- activations

TEST_CASE("activations: values at -1000, -2, 0, 2, 1000") {
  const Variable x(Tensor({5}, {-1000, -2, 0, 2, 1000}));
  const auto equal = [](const Variable& y, const std::vector<double>& expected) {
    for (Index i = 0; i < 5; ++i) CHECK(close(y.value()[i], expected[static_cast<std::size_t>(i)]));
  };
  equal(relu(x), {0, 0, 0, 2, 1000});
  equal(leaky_relu(x, real(0.25)), {-250, -0.5, 0, 2, 1000});
  equal(sigmoid(x), {0, 1 / (1 + std::exp(2.0)), 0.5, 1 / (1 + std::exp(-2.0)), 1});
  equal(tanh(x), {-1, std::tanh(-2.0), 0, std::tanh(2.0), 1});
}

TEST_CASE("activations: the derivative of relu at 0 is 0") {
  const Variable x(Tensor({3}, {-1, 0, 1}), true);
  backward(relu(x), Tensor::full({3}, 1));
  CHECK(same_bits(x.gradient(), Tensor({3}, {0, 0, 1})));
}

TEST_CASE("NaN is not hidden: activations, pools and maxima pass it on") {
  const Variable x(Tensor({1, 2, 2, 1}, {1, nan, 2, 3}));
  for (const Variable& y : {relu(x), leaky_relu(x), sigmoid(x), tanh(x)}) {
    CHECK(std::isnan(y.value()[1]));
    CHECK_FALSE(std::isnan(y.value()[0]));
  }
  CHECK(std::isnan(max_pool(x, Window::square(2)).value()[0]));
  CHECK(std::isnan(max(reshape(x, {4}), 0).value()[0]));
  CHECK(std::isnan(log_softmax(reshape(x, {1, 4})).value()[0]));
  CHECK(max_pool(x, Window::square(1, 2)).value()[0] == 1);  // negative control: a window without it
}

// ---- normalisation and dropout

TEST_CASE("batch_norm: mean and variance of each channel, and the values, by hand") {
  // Channel 0: 1 3 5 7, mean 4, variance 5. Channel 1: 2 2 2 2, variance 0.
  const Variable x(Tensor({2, 1, 2, 2}, {1, 2, 3, 2, 5, 2, 7, 2})), gamma(Tensor({2}, {2, 3})), beta(Tensor({2}, {1, -1}));
  BatchStatistics statistics;
  const Variable y = batch_norm(x, gamma, beta, real(0.5), &statistics);
  CHECK(same_bits(statistics.mean, Tensor({2}, {4, 2})));
  CHECK(same_bits(statistics.variance, Tensor({2}, {5, 0})));
  CHECK(statistics.rows == 4);
  for (Index i = 0; i < 4; ++i) {
    CHECK(close(y.value()[2 * i], 1 + 2 * (2.0 * static_cast<double>(i) - 3) / std::sqrt(5.5)));
    CHECK(close(y.value()[2 * i + 1], -1));
  }
}

TEST_CASE("batch_norm: with its own statistics, normalise gives the same bits; with others it does not") {
  const Tensor x = random_tensor({7, 5}, 1), gamma = random_tensor({5}, 2), beta = random_tensor({5}, 3);
  BatchStatistics s;
  const Variable y = batch_norm(x, gamma, beta, real(1e-5), &s);
  CHECK(same_bits(normalise(x, s.mean, s.variance, gamma, beta, real(1e-5)).value(), y.value()));
  CHECK_FALSE(same_bits(normalise(x, s.mean, Tensor::full({5}, 1), gamma, beta, real(1e-5)).value(), y.value()));
}

TEST_CASE("batch_norm: the variance of values far from zero does not drown in rounding") {
  // 4096 and 4098 in turn: variance 1. The mean of the squares minus the square of the mean would lose it in float.
  Tensor x({64, 1});
  for (Index i = 0; i < 64; ++i) x[i] = static_cast<real>(4096 + 2 * (i % 2));
  BatchStatistics s;
  batch_norm(x, Tensor::full({1}, 1), Tensor::zeros({1}), 0, &s);
  CHECK(s.mean[0] == 4097);
  CHECK(s.variance[0] == 1);
}

TEST_CASE("batch_norm: a single value a channel, and shapes that do not fit, are refused") {
  const Variable one(Tensor::full({1}, 1)), three(Tensor::full({3}, 1));
  CHECK(error_of([&] {
          batch_norm(Tensor({1, 1, 1, 3}), three, three, 1, nullptr);
        }) == "batch_norm: x is [1,1,1,3], so each channel has 1 value(s); a variance needs at least 2");
  CHECK(error_of([&] { batch_norm(Tensor({0, 3}), three, three, 1, nullptr); }).find("has 0 value(s)") != std::string::npos);
  CHECK(error_of([&] {
          batch_norm(Tensor({2, 3}), three, one, 1, nullptr);
        }) == "batch_norm: x is [2,3], gamma [3], beta [1]; expected gamma and beta of shape [3]");
  CHECK(error_of([&] {
          normalise(Tensor({2, 3}), three.value(), three.value(), one, three, 1);
        }) == "normalise: x is [2,3], gamma [1], beta [3]; expected gamma and beta of shape [3]");
  CHECK(error_of([&] {
          normalise(Tensor({2, 3}), one.value(), three.value(), three, three, 1);
        }) == "normalise: x is [2,3], mean [1], variance [3]; expected [3]");
}

TEST_CASE("dropout: a share p becomes 0, the rest is scaled so that the expectation stays") {
  constexpr Index n = 100, each = 1000;
  std::vector<std::uint64_t> streams(n);
  for (std::size_t i = 0; i < n; ++i) streams[i] = i;
  for (const double p : {0.0, 0.25, 0.5, 0.9}) {
    const Variable y = dropout(Tensor::full({n, each}, 1), p, 1, streams);
    Index zeros = 0;
    for (const real v : y.value().values()) {
      REQUIRE((v == 0 || close(v, 1 / (1 - p))));
      zeros += v == 0;
    }
    CHECK(std::abs(static_cast<double>(zeros) - p * n * each) <= 5 * std::sqrt(n * each * p * (1 - p)));
  }
}

TEST_CASE("dropout: a sample's mask follows its stream, wherever it stands in the batch") {
  const Tensor x = Tensor::full({3, 50}, 1);
  const Variable y = dropout(x, 0.5, 1, std::vector<std::uint64_t>{7, 8, 9});
  const Variable turned = dropout(x, 0.5, 1, std::vector<std::uint64_t>{9, 7, 8});
  CHECK(same_bits(y.value().rows(0, 1), turned.value().rows(1, 2)));
  CHECK(same_bits(y.value().rows(2, 3), turned.value().rows(0, 1)));
  CHECK_FALSE(same_bits(y.value().rows(0, 1), y.value().rows(1, 2)));
  CHECK_FALSE(same_bits(y.value(), dropout(x, 0.5, 2, std::vector<std::uint64_t>{7, 8, 9}).value()));
}

TEST_CASE("dropout: the gradient passes where the value passed") {
  const Variable x(Tensor::full({1, 40}, 1), true);
  const Variable y = dropout(x, 0.5, 1, std::vector<std::uint64_t>{3});
  backward(y, Tensor::full({1, 40}, 1));
  CHECK(same_bits(x.gradient(), y.value()));
}

TEST_CASE("dropout: refuses a probability of 1 and a wrong number of streams") {
  const std::vector<std::uint64_t> two{1, 2};
  CHECK(error_of([&] { dropout(Tensor({2, 3}), 1, 1, two); }) == "dropout: probability 1 is not in [0,1)");
  CHECK(error_of([&] { dropout(Tensor({2, 3}), -0.5, 1, two); }) == "dropout: probability -0.5 is not in [0,1)");
  CHECK(error_of([&] { dropout(Tensor({3, 3}), 0.5, 1, two); }) == "dropout: 2 streams for x [3,3]");
}

// ---- softmax and losses

TEST_CASE("log_softmax: the probabilities of a row add up to 1, also for logits of 10,000") {
  const Variable y = log_softmax(Tensor({3, 3}, {0, 0, 0, 10'000, 9'999, -10'000, -10'000, -10'000, -10'001}));
  const double third = std::log(3.0), two = std::log1p(std::exp(-1.0)), three = std::log(2 + std::exp(-1.0));
  const std::vector<double> expected{-third, -third, -third, -two, -1 - two, -20'000 - two, -three, -three, -1 - three};
  for (Index i = 0; i < 9; ++i) CHECK(close(y.value()[i], expected[static_cast<std::size_t>(i)]));

  // Negative control: without subtracting the largest, e^10000 is beyond every number.
  CHECK(std::isinf(std::exp(real(10'000))));
  CHECK(log_softmax(Tensor({0, 3})).shape() == Shape{0, 3});
  CHECK(error_of([] { log_softmax(Tensor({3})); }) == "log_softmax: x is [3]; expected [n,k] with k >= 1");
  CHECK(error_of([] { log_softmax(Tensor({3, 0})); }) == "log_softmax: x is [3,0]; expected [n,k] with k >= 1");
}

// Two rows of logits with probabilities 1/4 1/4 1/2 and 1/8 5/8 2/8.
Variable easy_logits() {
  const auto log = [](double p) { return static_cast<real>(std::log(p)); };
  return Tensor({2, 3}, {log(0.25), log(0.25), log(0.5), log(0.125), log(0.625), log(0.25)});
}
double loss_of(const std::vector<std::int32_t>& labels, const CrossEntropyOptions& options = {}) {
  return cross_entropy_sum(easy_logits(), labels, options).value().item();
}

TEST_CASE("cross-entropy: the sum of -log p of the labels, by hand") {
  CHECK(close(static_cast<real>(loss_of({2, 0})), std::log(2.0) + std::log(8.0)));
  CHECK(close(static_cast<real>(loss_of({0, 1})), std::log(4.0) - std::log(0.625)));
  CHECK(cross_entropy_weight(std::vector<std::int32_t>{2, 0}) == 2);
}

TEST_CASE("cross-entropy: ignored labels count nothing, neither in the loss nor in the weight") {
  CHECK(close(static_cast<real>(loss_of({-1, 0})), std::log(8.0)));
  CHECK(loss_of({-1, -1}) == 0);
  CHECK(close(static_cast<real>(loss_of({2, 255}, {.ignored_label = 255})), std::log(2.0)));
  CHECK(cross_entropy_weight(std::vector<std::int32_t>{-1, 0}) == 1);
  const Variable logits(easy_logits().value(), true);
  backward(cross_entropy_sum(logits, std::vector<std::int32_t>{-1, 0}));
  for (Index k = 0; k < 3; ++k) {
    CHECK(logits.gradient()[k] == 0);
    CHECK(logits.gradient()[3 + k] != 0);
  }
}

TEST_CASE("cross-entropy: class weights multiply the rows of their class") {
  const std::vector<real> weights{2, 10, real(0.5)};
  CHECK(close(static_cast<real>(loss_of({2, 0}, {.class_weights = weights})), 0.5 * std::log(2.0) + 2 * std::log(8.0)));
  CHECK(cross_entropy_weight(std::vector<std::int32_t>{2, 0, -1}, {.class_weights = weights}) == real(2.5));
}

TEST_CASE("cross-entropy: smoothing s moves a share s of the target to all classes evenly, with their weights") {
  const double all0 = std::log(4.0) + std::log(4.0) + std::log(2.0), all1 = std::log(8.0) - std::log(0.625) + std::log(4.0);
  CHECK(close(static_cast<real>(loss_of({2, 0}, {.smoothing = real(0.3)})),
              0.7 * (std::log(2.0) + std::log(8.0)) + 0.1 * (all0 + all1)));
  const std::vector<real> weights{2, 10, real(0.5)};
  const double weighted0 = 2 * std::log(4.0) + 10 * std::log(4.0) + 0.5 * std::log(2.0);
  CHECK(close(static_cast<real>(loss_of({2, -1}, {.class_weights = weights, .smoothing = real(0.3)})),
              0.7 * 0.5 * std::log(2.0) + 0.1 * weighted0));
}

TEST_CASE("cross-entropy: refusals name label, row, classes and shapes") {
  const Variable logits(Tensor::zeros({2, 3}));
  const auto error = [&](std::vector<std::int32_t> labels, const CrossEntropyOptions& options = {}) {
    return error_of([&] { cross_entropy_sum(logits, labels, options); });
  };
  CHECK(error({0, 3}) == "cross_entropy: label 3 of row 1 is not one of the 3 classes");
  CHECK(error({-2, 0}) == "cross_entropy: label -2 of row 0 is not one of the 3 classes");
  CHECK(error({-1, 0}, {.ignored_label = 255}) == "cross_entropy: label -1 of row 0 is not one of the 3 classes");
  CHECK(error({0}) == "cross_entropy: logits are [2,3] for 1 labels");
  const std::vector<real> two{1, 1};
  CHECK(error({0, 1}, {.class_weights = two}) == "cross_entropy: 2 class weights for 3 classes");
  CHECK(error({0, 1}, {.smoothing = real(1.5)}) == "cross_entropy: smoothing 1.5 is not in 0..1");
  CHECK(error_of([&] {
          cross_entropy_weight(std::vector<std::int32_t>{0, 2}, {.class_weights = two});
        }) == "cross_entropy: label 2 of row 1 is not one of the 2 classes");
}

TEST_CASE("squared error: the sum of squares and its mean, by hand") {
  const Variable x(Tensor({2, 2}, {1, 2, 3, 4}));
  const Tensor target({2, 2}, {1, 0, 6, 4});
  CHECK(squared_error_sum(x, target).value().item() == 13);
  CHECK(mean_squared_error(x, target).value().item() == real(3.25));
  CHECK(error_of([&] { squared_error_sum(x, Tensor({4})); }) == "squared_error: x is [2,2] but the target is [4]");
  CHECK(error_of([&] { mean_squared_error(x, Tensor({0})); }) == "mean_squared_error: of no values");
}

// ---- reductions

TEST_CASE("reductions: over everything and over each axis, by hand") {
  const Variable x(counting({2, 3, 2}));
  CHECK(sum(x).value().item() == 66);
  CHECK(mean(x).value().item() == real(5.5));
  CHECK(same_bits(sum(x, 0).value(), Tensor({3, 2}, {6, 8, 10, 12, 14, 16})));
  CHECK(same_bits(sum(x, 1).value(), Tensor({2, 2}, {6, 9, 24, 27})));
  CHECK(same_bits(mean(x, 2).value(), Tensor({2, 3}, {0.5, 2.5, 4.5, 6.5, 8.5, 10.5})));
  CHECK(same_bits(max(x, -2).value(), Tensor({2, 2}, {4, 5, 10, 11})));
  CHECK(sum(Tensor({0, 3})).value().item() == 0);
  CHECK(same_bits(sum(Tensor({0, 3}), 0).value(), Tensor::zeros({3})));
  CHECK(sum(Tensor({3}, {1, 2, 3}), 0).shape() == Shape{});
}

TEST_CASE("reductions: an axis that is not there and a mean of nothing are refused with the shape") {
  const Variable x(Tensor({3, 4}));
  for (const int axis : {2, -3, -4}) {
    const std::string expected = fmt::format("shape [3,4]: no axis {}", axis);
    CHECK(error_of([&] { sum(x, axis); }) == expected);
    CHECK(error_of([&] { mean(x, axis); }) == expected);
    CHECK(error_of([&] { max(x, axis); }) == expected);
  }
  CHECK(error_of([] { mean(Tensor({0, 3})); }) == "mean: of no values (shape [0,3])");
  CHECK(error_of([] { mean(Tensor({0, 3}), 0); }) == "mean: axis 0 of [0,3] is empty");
  CHECK(error_of([] { max(Tensor({2, 0}), 1); }) == "max: axis 1 of [2,0] is empty");
}

TEST_CASE("sums: 10,001 values of 0.1 round far less than when added in sequence") {
  const Tensor x = Tensor::full({10'001}, real(0.1));
  const double exact = 10'001 * double{real(0.1)};
  // A value passes through 256 additions of its lane, 4 of the lanes and 3 of the blocks; each errs by half an epsilon at most.
  const double bound = (256 + 4 + 3) / 2.0 * std::numeric_limits<real>::epsilon();
  CHECK(close(sum(x).value().item(), exact, bound));
  real sequence = 0;
  for (const real v : x.values()) sequence += v;
  CHECK_FALSE(close(sequence, exact, bound));
}

// ---- shapes

TEST_CASE("reshape and flatten share the values; permute moves them") {
  const Tensor x = counting({2, 3, 4});
  CHECK(reshape(x, {4, 6}).value().data() == x.data());
  CHECK(flatten(x).shape() == Shape{2, 12});
  CHECK(flatten(Tensor({3})).shape() == Shape{3, 1});
  CHECK(flatten(Tensor({0, 3, 2})).shape() == Shape{0, 6});
  const Tensor y = permute(x, {2, 0, 1}).value();
  REQUIRE(y.shape() == Shape{4, 2, 3});
  for (Index i = 0; i < 2; ++i)
    for (Index j = 0; j < 3; ++j)
      for (Index k = 0; k < 4; ++k) CHECK(y[(k * 2 + i) * 3 + j] == x[(i * 3 + j) * 4 + k]);
  CHECK(same_bits(permute(y, {1, 2, 0}).value(), x));
  CHECK(permute(Tensor::scalar(3), {}).value().item() == 3);
}

TEST_CASE("concat, slice and pad, by hand") {
  const Tensor a({2, 2}, {1, 2, 3, 4}), b({2, 1}, {5, 6});
  CHECK(same_bits(concat({a, b}, 1).value(), Tensor({2, 3}, {1, 2, 5, 3, 4, 6})));
  CHECK(same_bits(concat({a, a}, -2).value(), Tensor({4, 2}, {1, 2, 3, 4, 1, 2, 3, 4})));
  CHECK(same_bits(slice(counting({2, 4}), 1, 1, 3).value(), Tensor({2, 2}, {1, 2, 5, 6})));
  CHECK(same_bits(slice(counting({3, 2}), -2, 2, 3).value(), Tensor({1, 2}, {4, 5})));
  CHECK(same_bits(pad(a, {{1, 0}, {0, 1}}, 9).value(), Tensor({3, 3}, {9, 9, 9, 1, 2, 9, 3, 4, 9})));
  CHECK(same_bits(pad(Tensor({0, 1}), {{1, 2}, {0, 0}}, 7).value(), Tensor({3, 1}, {7, 7, 7})));
}

TEST_CASE("concat undoes slice, and slice undoes pad") {
  const Variable x(random_tensor({3, 5, 2}));
  CHECK(same_bits(concat({slice(x, 1, 0, 2), slice(x, 1, 2, 2), slice(x, 1, 2, 5)}, 1).value(), x.value()));
  CHECK(same_bits(slice(pad(x, {{0, 0}, {2, 1}, {0, 0}}), 1, 2, 7).value(), x.value()));
}

TEST_CASE("shape operations: every refusal names the shapes") {
  const Variable x(Tensor({2, 3}));
  CHECK(error_of([&] { reshape(x, {4}); }) == "reshape: [2,3] has 6 values, [4] needs 4");
  CHECK(error_of([] { flatten(Tensor::scalar(1)); }) == "flatten: a scalar has no batch axis");
  CHECK(error_of([&] { permute(x, {0, 0}); }) == "permute: 0,0 is no order of the axes of [2,3]");
  CHECK(error_of([&] { permute(x, {0}); }) == "permute: 0 is no order of the axes of [2,3]");
  CHECK(error_of([&] { permute(x, {0, 2}); }) == "permute: 0,2 is no order of the axes of [2,3]");
  CHECK(error_of([] { concat({}, 0); }) == "concat: of nothing");
  CHECK(error_of([&] { concat({x, Tensor({3, 3})}, 1); }) == "concat along axis 1: part 1 is [3,3], part 0 is [2,3]");
  CHECK(error_of([&] { concat({x, Tensor({2})}, 1); }) == "concat: part 1 is [2], part 0 is [2,3]");
  CHECK(error_of([&] { concat({x}, 2); }) == "concat: [2,3] has no axis 2");
  CHECK(error_of([&] { slice(x, 1, 2, 4); }) == "slice: [2,4) of axis 1 of [2,3]");
  CHECK(error_of([&] { slice(x, 1, 2, 1); }) == "slice: [2,1) of axis 1 of [2,3]");
  CHECK(error_of([&] { slice(x, -3, 0, 1); }) == "slice: [2,3] has no axis -3");
  CHECK(error_of([&] { pad(x, {{1, 1}}); }) == "pad: 1 paddings for [2,3]");
  CHECK(error_of([&] { pad(x, {{1, 1}, {-1, 0}}); }) == "pad: -1 before and 0 after axis 1; slice() cuts off");
}

}  // namespace
}  // namespace tandem
