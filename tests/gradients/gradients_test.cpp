// One table: every operation, over shapes that are usual, uneven, of size one and empty, against difference quotients.
#include "core/gradcheck.hpp"

#include <doctest/doctest.h>

using namespace tandem;

static_assert(real_is_double, "gradient checks mean little in float");

namespace {

struct Row {
  std::string what;
  DifferentiableFunction f;
  std::vector<Shape> shapes;
  double shift = 0;  // added to every input: keeps divisors away from zero
};

using V = const std::vector<Variable>&;

std::vector<Row> table() {
  std::vector<Row> rows{
      {"add", [](V v) { return v[0] + v[1]; }, {{4, 3}, {4, 3}}},
      {"add, a row repeats", [](V v) { return v[0] + v[1]; }, {{4, 3}, {3}}},
      {"add, both repeat", [](V v) { return v[0] + v[1]; }, {{4, 1, 5}, {3, 1}}},
      {"add, a scalar", [](V v) { return v[0] + v[1]; }, {{}, {2, 2}}},
      {"add, empty", [](V v) { return v[0] + v[1]; }, {{0, 3}, {3}}},
      {"add, the same twice", [](V v) { return v[0] + v[0]; }, {{3}}},
      {"subtract", [](V v) { return v[0] - v[1]; }, {{2, 1, 3}, {4, 1}}},
      {"multiply", [](V v) { return v[0] * v[1]; }, {{2, 3}, {2, 1}}},
      {"multiply, six axes", [](V v) { return v[0] * v[1]; }, {{1, 2, 1, 2, 1, 3}, {2, 1, 2, 2, 1, 1}}},
      {"multiply, one value and none", [](V v) { return v[0] * v[1]; }, {{1, 1}, {3, 0}}},
      {"square by multiply", [](V v) { return v[0] * v[0]; }, {{7}}},
      {"divide", [](V v) { return v[0] / v[1]; }, {{3, 4}, {4}}, 5},
      {"divide, both repeat", [](V v) { return v[0] / v[1]; }, {{2, 1}, {1, 3}}, 5},
      {"negate", [](V v) { return -v[0]; }, {{3}}},
      {"scale", [](V v) { return scale(v[0], 2.5); }, {{3, 2}}},
      {"relu", [](V v) { return relu(v[0]); }, {{5, 7}}},
      {"leaky_relu", [](V v) { return leaky_relu(v[0], 0.2); }, {{5, 7}}},
      {"sigmoid", [](V v) { return sigmoid(v[0]); }, {{5, 7}}},
      {"tanh", [](V v) { return tandem::tanh(v[0]); }, {{5, 7}}},
      {"sum", [](V v) { return sum(v[0]); }, {{3, 4}}},
      {"sum, empty", [](V v) { return sum(v[0]); }, {{0}}},
      {"mean", [](V v) { return mean(v[0]); }, {{3, 4}}},
      {"sum over the first axis", [](V v) { return sum(v[0], 0); }, {{3, 4, 2}}},
      {"sum over the middle axis", [](V v) { return sum(v[0], 1); }, {{3, 4, 2}}},
      {"sum over an empty axis", [](V v) { return sum(v[0], 1); }, {{3, 0, 2}}},
      {"mean over the last axis", [](V v) { return mean(v[0], -1); }, {{3, 4, 2}}},
      {"max over the middle axis", [](V v) { return tandem::max(v[0], 1); }, {{3, 4, 2}}},
      {"sum over an axis of one", [](V v) { return sum(v[0], 0); }, {{1, 3}}},
      {"sum over the only axis", [](V v) { return sum(v[0], 0); }, {{4}}},
      {"mean of one value", [](V v) { return mean(v[0]); }, {{}}},
      {"max over the last axis", [](V v) { return tandem::max(v[0], -1); }, {{3, 7}}},
      {"max with nothing beside the axis", [](V v) { return tandem::max(v[0], 1); }, {{0, 3}}},
      {"reshape", [](V v) { return reshape(v[0], {2, 6}); }, {{3, 4}}},
      {"flatten", [](V v) { return flatten(v[0]); }, {{2, 3, 4}}},
      {"permute", [](V v) { return permute(v[0], {2, 0, 1}); }, {{2, 3, 4}}},
      {"permute four axes", [](V v) { return permute(v[0], {0, 3, 1, 2}); }, {{2, 3, 1, 4}}},
      {"permute, empty", [](V v) { return permute(v[0], {1, 0}); }, {{0, 3}}},
      {"flatten, empty", [](V v) { return flatten(v[0]); }, {{0, 3, 2}}},
      {"concat of one part", [](V v) { return concat({v[0]}, -1); }, {{2, 3}}},
      {"concat", [](V v) { return concat({v[0], v[1], v[0]}, 1); }, {{2, 3, 2}, {2, 1, 2}}},
      {"concat with an empty part", [](V v) { return concat({v[0], v[1]}, 0); }, {{2, 3}, {0, 3}}},
      {"slice", [](V v) { return slice(v[0], 1, 1, 3); }, {{2, 4, 3}}},
      {"slice of nothing", [](V v) { return slice(v[0], -1, 2, 2); }, {{2, 3}}},
      {"pad", [](V v) { return pad(v[0], {{1, 0}, {0, 2}, {1, 1}}); }, {{2, 1, 3}}},
      {"slice of a scalar's row", [](V v) { return slice(v[0], 0, 0, 1); }, {{1}}},
      {"pad an empty axis", [](V v) { return pad(v[0], {{1, 2}, {0, 1}}); }, {{0, 2}}},
      {"log_softmax", [](V v) { return log_softmax(v[0]); }, {{3, 5}}},
      {"log_softmax of one class", [](V v) { return log_softmax(v[0]); }, {{3, 1}}},
      {"log_softmax of no rows", [](V v) { return log_softmax(v[0]); }, {{0, 3}}},
      {"squared_error_sum", [](V v) { return squared_error_sum(v[0], Tensor::full({3, 2}, 0.3)); }, {{3, 2}}},
      {"mean_squared_error", [](V v) { return mean_squared_error(v[0], Tensor::full({3, 2}, 0.3)); }, {{3, 2}}},
      {"global_average_pool", [](V v) { return global_average_pool(v[0]); }, {{2, 3, 4, 5}}},
      {"global_average_pool of one pixel", [](V v) { return global_average_pool(v[0]); }, {{2, 1, 1, 3}}},
      {"normalise", [](V v) {
         return normalise(v[0], Tensor::full({3}, 0.2), Tensor::full({3}, 0.7), v[1], v[2], 1e-5);
       }, {{2, 2, 2, 3}, {3}, {3}}},
      {"dropout", [](V v) {
         const std::vector<std::uint64_t> streams{3, 4, 9};
         return dropout(v[0], 0.4, 7, streams);
       }, {{3, 10}}},
      {"dropout of images", [](V v) {
         const std::vector<std::uint64_t> streams{3, 4};
         return dropout(v[0], 0.4, 7, streams);
       }, {{2, 3, 2, 2}}},
      {"a shared value with two users", [](V v) {
         const Variable h = tandem::tanh(v[0]);
         return h * sigmoid(h) + v[0];
       }, {{3, 3}}},
  };

  for (const auto& [m, k, n] : {std::array<Index, 3>{3, 4, 5}, {1, 1, 1}, {0, 3, 2}, {2, 0, 3}, {7, 2, 1}, {1, 9, 3}}) {
    const std::string size = fmt::format(" {}x{}x{}", m, k, n);
    rows.push_back({"matmul" + size, [](V v) { return matmul(v[0], v[1]); }, {{m, k}, {k, n}}});
    rows.push_back({"matmul_nt" + size, [](V v) { return matmul_nt(v[0], v[1]); }, {{m, k}, {n, k}}});
    rows.push_back({"matmul_tn" + size, [](V v) { return matmul_tn(v[0], v[1]); }, {{k, m}, {k, n}}});
    rows.push_back({"matmul_tt" + size, [](V v) { return matmul_tt(v[0], v[1]); }, {{k, m}, {n, k}}});
    rows.push_back({"linear" + size, [](V v) { return linear(v[0], v[1], v[2]); }, {{m, k}, {n, k}, {n}}});
    rows.push_back({"linear, relu" + size, [](V v) { return linear(v[0], v[1], v[2], {.relu = true}); }, {{m, k}, {n, k}, {n}}});
  }

  // Images, kernels, strides, paddings: [n,h,w,c] with W [kh,kw,c,out].
  struct Conv { Shape x, W; Window window; };
  for (const Conv& conv : std::vector<Conv>{
           {{2, 5, 5, 3}, {3, 3, 3, 4}, {.pad_h = 1, .pad_w = 1}},
           {{1, 6, 7, 2}, {3, 3, 2, 3}, {.stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1}},
           {{2, 4, 4, 3}, {1, 1, 3, 5}, {}},
           {{1, 4, 4, 3}, {1, 1, 3, 5}, {.stride_h = 2, .stride_w = 2}},
           {{1, 7, 5, 1}, {2, 4, 1, 2}, {.stride_h = 3, .stride_w = 1, .pad_h = 0, .pad_w = 2}},
           {{1, 8, 8, 3}, {4, 4, 3, 2}, {.stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1}},
           {{1, 1, 1, 1}, {1, 1, 1, 1}, {}},
           {{1, 1, 1, 2}, {3, 3, 2, 1}, {.pad_h = 1, .pad_w = 1}},
           {{0, 4, 4, 3}, {3, 3, 3, 2}, {.pad_h = 1, .pad_w = 1}},
           {{1, 4, 4, 0}, {3, 3, 0, 2}, {}},
           {{1, 4, 4, 2}, {3, 3, 2, 0}, {}},
           {{2, 8, 9, 2}, {2, 2, 2, 3}, {.stride_h = 3, .stride_w = 4}},                          // pixels that no window meets
           {{1, 3, 4, 2}, {2, 1, 2, 3}, {.stride_h = 2, .stride_w = 1, .pad_h = 3, .pad_w = 2}},  // windows that meet no pixel
           {{1, 2, 11, 1}, {2, 5, 1, 1}, {.stride_w = 5}},
           {{1, 3, 3, 2}, {5, 5, 2, 17}, {.pad_h = 2, .pad_w = 2}},
           // Winograd, which begins at 16 channels.
           {{2, 5, 4, 16}, {3, 3, 16, 24}, {.pad_h = 1, .pad_w = 1}},
           {{1, 3, 5, 24}, {3, 3, 24, 16}, {.pad_h = 2, .pad_w = 0}},
           {{1, 4, 4, 16}, {3, 3, 16, 16}, {}}}) {
    for (const Epilogue epilogue : {Epilogue{}, {.relu = true}, {.max_pool = true}, {.relu = true, .max_pool = true}}) {
      const Index least = 2;  // pixels that a pool needs
      const bool poolable = conv.x[1] + 2 * conv.window.pad_h - conv.W[0] >= (least - 1) * conv.window.stride_h &&
                            conv.x[2] + 2 * conv.window.pad_w - conv.W[1] >= (least - 1) * conv.window.stride_w;
      if (epilogue.max_pool && !poolable) continue;
      rows.push_back({fmt::format("conv2d {} * {}, relu {}, pool {}", conv.x, conv.W, epilogue.relu, epilogue.max_pool),
                      [w = conv.window, epilogue](V v) { return conv2d(v[0], v[1], v[2], w, epilogue); }, {conv.x, conv.W, {conv.W[3]}}});
    }
  }
  rows.push_back({"conv2d without bias", [](V v) { return conv2d(v[0], v[1], {}, {}); }, {{1, 3, 3, 2}, {2, 2, 2, 3}}});

  for (const auto& [x, window] : std::vector<std::pair<Shape, Window>>{
           {{2, 4, 4, 3}, Window::square(2, 2)}, {{1, 5, 7, 2}, Window::square(3, 2, 1)}, {{1, 3, 3, 1}, Window::square(2)},
           {{1, 1, 1, 1}, Window::square(1)},    {{0, 4, 4, 2}, Window::square(2, 2)},    {{1, 4, 6, 2}, {2, 3, 2, 1, 0, 1}},
           {{1, 7, 8, 2}, Window::square(2, 3)}, {{2, 3, 2, 0}, Window::square(2)},      {{1, 2, 3, 1}, {4, 3, 1, 1, 3, 2}}}) {
    rows.push_back({fmt::format("max_pool {}", x), [w = window](V v) { return max_pool(v[0], w); }, {x}});
    rows.push_back({fmt::format("average_pool {}", x), [w = window](V v) { return average_pool(v[0], w); }, {x}});
  }

  for (const auto& [x, factor] : std::vector<std::pair<Shape, Index>>{{{2, 3, 4, 5}, 2}, {{1, 2, 1, 3}, 3}, {{1, 1, 1, 1}, 1}, {{0, 2, 2, 1}, 2}})
    rows.push_back({fmt::format("upsample {} by {}", x, factor), [f = factor](V v) { return upsample(v[0], f); }, {x}});

  for (const Shape& x : {Shape{4, 3}, Shape{2, 3, 2, 5}, Shape{2, 1}, Shape{513, 2}, Shape{4, 0}})
    rows.push_back({fmt::format("batch_norm {}", x), [](V v) { return batch_norm(v[0], v[1], v[2], 1e-5, nullptr); },
                    {x, {x[-1]}, {x[-1]}}});
  for (const Epilogue epilogue : {Epilogue{.relu = true}, {.max_pool = true}, {.relu = true, .max_pool = true}}) {
    const std::string name = fmt::format(", relu {}, pool {}", epilogue.relu, epilogue.max_pool);
    rows.push_back({"batch_norm" + name, [=](V v) { return batch_norm(v[0], v[1], v[2], 1e-5, nullptr, epilogue); }, {{2, 5, 4, 3}, {3}, {3}}});
    rows.push_back({"normalise" + name, [=](V v) {
      return normalise(v[0], Tensor::full({3}, 0.2), Tensor::full({3}, 0.7), v[1], v[2], 1e-5, epilogue);
    }, {{2, 4, 5, 3}, {3}, {3}}});
  }

  static const std::vector<std::int32_t> labels{2, 0, -1, 1};
  static const std::vector<real> weights{0.5, 2, 1};
  for (const real smoothing : {0.0, 0.1, 1.0})
    for (const bool weighted : {false, true})
      rows.push_back({fmt::format("cross_entropy, smoothing {}, weighted {}", smoothing, weighted), [=](V v) {
                        return cross_entropy_sum(v[0], labels, {.class_weights = weighted ? std::span<const real>(weights) :
                                                                std::span<const real>(), .smoothing = smoothing});
                      }, {{4, 3}}});
  return rows;
}

GradientError check(const Row& row) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < row.shapes.size(); ++i) {
    Tensor x(row.shapes[i]);
    Random random(11, mix(hash(row.what), i));
    for (real& v : x.values()) v = random.normal() + row.shift;
    inputs.push_back(std::move(x));
  }
  return check_gradients(row.f, inputs);
}

}  // namespace

TEST_CASE("every operation's pullback is its derivative") {
  for (const Row& row : table()) {
    CAPTURE(row.what);
    const GradientError error = check(row);
    INFO(error.where);
    // Rounding and the third derivative leave about 1e-9; a wrong factor, sign or index leaves 1e-2 and more.
    CHECK(error.worst < 1e-7);
  }
}

TEST_CASE("a planted error is found") {
  const Row wrong{"a pullback that forgets a factor of 2", [](V v) {
                    const Tensor x = v[0].value();
                    return record("square", map(x, [](real u) { return u * u; }), {
                        {v[0], [x](const Tensor& dy) { return map(x, dy, [](real u, real d) { return u * d; }); }}});
                  }, {{3}}};
  CHECK(check(wrong).worst > 1e-2);
  CHECK(check(wrong).where.find("input 0") != std::string::npos);
}
