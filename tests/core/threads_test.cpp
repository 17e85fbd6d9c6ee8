// for_blocks cuts by the work, not by the threads; so every threaded operation has the same bits on any number of threads.
#include "core/threads.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

TEST_CASE("threads: for_blocks covers [0,n) once, in blocks that do not depend on the threads") {
  for (const int threads : {1, 2, 3})
    for (const Index n : {0, 1, 9, 10, 11, 95}) {
      const Threads set(threads);
      std::vector<int> visits(static_cast<std::size_t>(n));
      std::vector<Index> begins(static_cast<std::size_t>((n + 9) / 10), -1);
      for_blocks(n, 10, [&](Index begin, Index end) {
        begins[static_cast<std::size_t>(begin / 10)] = begin;
        for (Index i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
      });
      for (const int v : visits) CHECK(v == 1);
      for (std::size_t b = 0; b < begins.size(); ++b) CHECK(begins[b] == static_cast<Index>(b) * 10);
    }
}

// Value and gradients of an operation, one after the other.
struct Threaded {
  std::string what;
  std::function<Variable(const std::vector<Variable>&)> f;
  std::vector<Shape> shapes;
};
std::vector<Tensor> outcome(const Threaded& row, int threads) {
  const Threads set(threads);
  std::vector<Variable> x;
  for (std::size_t i = 0; i < row.shapes.size(); ++i) x.emplace_back(random_tensor(row.shapes[i], i), true);
  const Variable y = row.f(x);
  backward(y, random_tensor(y.shape(), 99));
  std::vector<Tensor> all{y.value()};
  for (const Variable& v : x) all.push_back(v.gradient());
  return all;
}

using V = const std::vector<Variable>&;

TEST_CASE("threads: every threaded operation has the same bits on 1, 2 and 3 threads") {
  const std::vector<std::int32_t> labels(700, 3);
  const std::vector<std::uint64_t> streams{1, 2, 3, 4, 5};
  const std::vector<Threaded> rows{
      {"add", [](V v) { return v[0] + v[1]; }, {{300, 200}, {200}}},
      {"divide", [](V v) { return v[0] / v[1]; }, {{300, 200}, {300, 200}}},
      {"relu", [](V v) { return relu(v[0]); }, {{40'001}}},
      {"sigmoid", [](V v) { return sigmoid(v[0]); }, {{40'001}}},
      {"sum", [](V v) { return sum(v[0]); }, {{40'001}}},
      {"matmul", [](V v) { return matmul(v[0], v[1]); }, {{301, 77}, {77, 130}}},
      {"matmul_nt", [](V v) { return matmul_nt(v[0], v[1]); }, {{301, 77}, {130, 77}}},
      {"matmul_tn", [](V v) { return matmul_tn(v[0], v[1]); }, {{77, 301}, {77, 130}}},
      {"matmul_tt", [](V v) { return matmul_tt(v[0], v[1]); }, {{77, 301}, {130, 77}}},
      {"linear", [](V v) { return linear(v[0], v[1], v[2]); }, {{1100, 70}, {140, 70}, {140}}},
      {"conv2d",
       [](V v) { return conv2d(v[0], v[1], v[2], {.pad_h = 1, .pad_w = 1}); },
       {{5, 19, 17, 6}, {3, 3, 6, 40}, {40}}},
      {"conv2d, stride 2",
       [](V v) { return conv2d(v[0], v[1], v[2], Window::square(4, 2, 1)); },
       {{5, 18, 16, 3}, {4, 4, 3, 16}, {16}}},
      {"conv2d, winograd, relu and pool",
       [](V v) { return conv2d(v[0], v[1], v[2], Window::square(3, 1, 1), {.relu = true, .max_pool = true}); },
       {{5, 19, 17, 16}, {3, 3, 16, 48}, {48}}},
      {"max_pool", [](V v) { return max_pool(v[0], Window::square(3, 2, 1)); }, {{5, 17, 13, 6}}},
      {"average_pool", [](V v) { return average_pool(v[0], Window::square(3, 2, 1)); }, {{5, 17, 13, 6}}},
      {"global_average_pool", [](V v) { return global_average_pool(v[0]); }, {{5, 17, 13, 6}}},
      {"batch_norm", [](V v) { return batch_norm(v[0], v[1], v[2], real(1e-5), nullptr); }, {{5, 19, 17, 6}, {6}, {6}}},
      {"batch_norm, relu and pool",
       [](V v) { return batch_norm(v[0], v[1], v[2], real(1e-5), nullptr, {.relu = true, .max_pool = true}); },
       {{5, 19, 17, 6}, {6}, {6}}},
      {"dropout", [&](V v) { return dropout(v[0], 0.3, 1, streams); }, {{5, 9000}}},
      {"log_softmax", [](V v) { return log_softmax(v[0]); }, {{700, 10}}},
      {"cross_entropy", [&](V v) { return cross_entropy_sum(v[0], labels, {.smoothing = real(0.1)}); }, {{700, 10}}},
      {"squared_error", [](V v) { return squared_error_sum(v[0], Tensor::zeros({40'001})); }, {{40'001}}},
  };
  for (const Threaded& row : rows) {
    CAPTURE(row.what);
    const std::vector<Tensor> serial = outcome(row, 1);
    for (const int threads : {2, 3}) {
      const std::vector<Tensor> threaded = outcome(row, threads);
      for (std::size_t i = 0; i < serial.size(); ++i) CHECK(same_bits(serial[i], threaded[i]));
    }
  }
}

TEST_CASE("threads: negative control: these sums round, so another order of the rows gives other bits") {
  const Tensor x = random_tensor({1100, 3});
  Tensor reversed(x.shape());
  for (Index r = 0; r < 1100; ++r) std::copy_n(x.data() + r * 3, 3, reversed.data() + (1099 - r) * 3);
  CHECK_FALSE(same_bits(sum_rows(x), sum_rows(reversed)));
  CHECK(ordered_sum(x) != ordered_sum(reversed));
}

TEST_CASE("threads: sums do not depend on where the values stand in memory") {
  Scratch<real> area(5017);
  const Tensor x = random_tensor({5001});
  for (const std::size_t shift : {0, 1, 3, 15}) {
    std::ranges::copy(x.values(), area.data() + shift);
    const Tensor moved({5001}, std::shared_ptr<real>(std::shared_ptr<void>(), area.data() + shift));
    CHECK(ordered_sum(moved) == ordered_sum(x));
    CHECK(ordered_square_sum(moved) == ordered_square_sum(x));
  }
}

}  // namespace
}  // namespace tandem
