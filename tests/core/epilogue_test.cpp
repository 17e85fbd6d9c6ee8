// An epilogue is a shorter way to the same values: bit for bit, but for the sums of a normalisation before a pool.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "core/ops.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

// The epilogue as operations of their own.
Variable plain(Variable y, Epilogue epilogue) {
  if (epilogue.relu) y = relu(y);
  if (epilogue.max_pool) y = max_pool(y, Window::square(2, 2));
  return y;
}

using Operation = std::function<Variable(const std::vector<Variable>&, Epilogue)>;
struct Row {
  std::string what;
  Operation f;
  std::vector<Shape> shapes;
};

// Direct and Winograd, with and without bias, strips of rows and of images, even and odd sizes.
std::vector<Row> table() {
  using V = const std::vector<Variable>&;
  const auto conv = [](Window window) {
    return [window](V v, Epilogue e) { return conv2d(v[0], v[1], v.size() > 2 ? v[2] : Variable(), window, e); };
  };
  const auto norm = [](V v, Epilogue e) { return batch_norm(v[0], v[1], v[2], real(1e-5), nullptr, e); };
  const auto given = [](V v, Epilogue e) {
    return normalise(v[0], Tensor::full({v[1].value().size()}, real(0.2)), Tensor::full({v[1].value().size()}, real(0.7)),
                     v[1], v[2], real(1e-5), e);
  };
  const Window three = Window::square(3, 1, 1);
  return {
      {"direct", conv(three), {{3, 12, 10, 3}, {3, 3, 3, 20}, {20}}},
      {"direct, odd sizes", conv(three), {{2, 13, 7, 5}, {3, 3, 5, 33}, {33}}},
      {"direct, stride 2, many strips", conv(Window::square(4, 2, 1)), {{2, 90, 70, 3}, {4, 4, 3, 16}, {16}}},
      {"direct, many small images", conv(three), {{70, 3, 5, 2}, {3, 3, 2, 4}}},
      {"winograd", conv(three), {{3, 12, 10, 16}, {3, 3, 16, 48}, {48}}},
      {"winograd, odd sizes", conv(three), {{2, 13, 7, 32}, {3, 3, 32, 16}, {16}}},
      {"winograd, many strips", conv(three), {{2, 50, 70, 32}, {3, 3, 32, 32}}},
      {"batch_norm", norm, {{3, 12, 10, 20}, {20}, {20}}},
      {"batch_norm, odd sizes", norm, {{3, 13, 7, 17}, {17}, {17}}},
      {"batch_norm, wide", norm, {{1, 5, 700, 16}, {16}, {16}}},
      {"normalise", given, {{3, 12, 9, 20}, {20}, {20}}},
  };
}

// The result and the gradients of all inputs for a fixed dy.
std::vector<Tensor> run(const Row& row, const std::function<Variable(const std::vector<Variable>&)>& f) {
  std::vector<Variable> inputs;
  for (std::size_t i = 0; i < row.shapes.size(); ++i) inputs.emplace_back(random_tensor(row.shapes[i], i + 1), true);
  const Variable y = f(inputs);
  backward(y, random_tensor(y.shape(), 99));
  std::vector<Tensor> all{y.value()};
  for (const Variable& v : inputs) all.push_back(v.gradient());
  return all;
}

// Equal as numbers: a gradient that a relu stops may be 0 on one way and -0 on the other. With a tolerance, relative to the largest.
bool equal(const std::vector<Tensor>& a, const std::vector<Tensor>& b, real tolerance = 0) {
  return std::ranges::equal(a, b, [tolerance](const Tensor& s, const Tensor& t) {
    real largest = 0;
    for (const real v : t.values()) largest = std::max(largest, std::abs(v));
    return s.shape() == t.shape() && std::ranges::equal(s.values(), t.values(), [&](real u, real v) {
             return std::abs(u - v) <= tolerance * largest;
           });
  });
}

}  // namespace

TEST_CASE("epilogue: relu and pool within an operation give the bits of relu and pool after it, and the same gradients") {
  for (const Row& row : table())
    for (const Epilogue epilogue :
         {Epilogue{.relu = true}, Epilogue{.max_pool = true}, Epilogue{.relu = true, .max_pool = true}}) {
      CAPTURE(row.what);
      CAPTURE(epilogue.relu);
      CAPTURE(epilogue.max_pool);
      const auto fused = run(row, [&](const auto& v) { return row.f(v, epilogue); });
      const auto separate = run(row, [&](const auto& v) { return plain(row.f(v, {}), epilogue); });
      CHECK(same_bits(fused[0], separate[0]));
      // With a pool a normalisation adds dz in pieces of two rows of an image, without one in pieces of about 4096 values. So its sums
      // round differently, by some units in the last place of sums of a few hundred values.
      const bool other_order = epilogue.max_pool && row.what.find("norm") != std::string::npos;
      CHECK(equal(fused, separate, other_order ? 100 * std::numeric_limits<real>::epsilon() : 0));
    }
}

TEST_CASE("epilogue: linear with relu gives the bits of relu after linear, and the same gradients") {
  for (const auto& [n, in, out] : {std::array<Index, 3>{5, 7, 3}, {64, 784, 100}, {130, 600, 33}, {1, 1, 1}, {2, 0, 3}}) {
    const Row row{"linear",
                  [](const std::vector<Variable>& v, Epilogue e) { return linear(v[0], v[1], v[2], e); },
                  {{n, in}, {out, in}, {out}}};
    const auto fused = run(row, [&](const auto& v) { return row.f(v, {.relu = true}); });
    CHECK(same_bits(fused[0], run(row, [&](const auto& v) { return relu(row.f(v, {})); })[0]));
    CHECK(equal(fused, run(row, [&](const auto& v) { return relu(row.f(v, {})); })));
    CHECK_FALSE(equal(fused, run(row, [&](const auto& v) { return row.f(v, {}); })));
  }
}

TEST_CASE("epilogue: negative control: another epilogue gives another result") {
  const Row row = table()[4];
  const auto with = [&](Epilogue epilogue) { return run(row, [&](const auto& v) { return row.f(v, epilogue); }); };
  CHECK_FALSE(equal(with({.relu = true}), with({})));
  CHECK_FALSE(equal(with({.relu = true, .max_pool = true}), with({.max_pool = true})));
}

TEST_CASE("epilogue: NaN passes the relu and wins the pool") {
  for (const Index channels : {3, 16}) {
    Tensor x = random_tensor({1, 4, 4, channels}, 1);
    x[0] = std::numeric_limits<real>::quiet_NaN();
    const Variable W(random_tensor({3, 3, channels, channels}, 2));
    const Variable y = conv2d(x, W, {}, Window::square(3, 1, 1), {.relu = true, .max_pool = true});
    CHECK(std::isnan(y.value()[0]));
    CHECK_FALSE(std::isnan(y.value()[y.value().size() - 1]));
  }
}

TEST_CASE("epilogue: a result of one row has nothing to pool, which is said with the sizes") {
  const Variable x(Tensor::zeros({1, 3, 4, 2})), W(Tensor::zeros({3, 3, 2, 2})), two(Tensor::zeros({2}));
  CHECK(error_of([&] { conv2d(x, W, {}, {}, {.max_pool = true}); }) ==
        "conv2d: the result for x [1,3,4,2] and W [3,3,2,2] is 1x2, too small for a 2x2 pool");
  CHECK(error_of([&] {
          batch_norm(Tensor::zeros({4, 2}), two, two, 1, nullptr, {.max_pool = true});
        }) == "batch_norm: x is [4,2]; a 2x2 pool needs images [n,h,w,c] of at least 2x2 pixels");
}

}  // namespace tandem
