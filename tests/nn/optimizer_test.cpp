// Optimisers against steps worked out by hand, in double.
#include "nn/optimizer.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "core/ops.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

// A matrix and a bias of the same start and gradients: what differs between them is the weight decay.
struct Pair {
  Variable w{Tensor({1, 1}, {2}), true}, b{Tensor({1}, {2}), true};
  std::vector<Parameter> parameters() const { return {{"w", w, {}}, {"b", b, {}}}; }
  void give(real gradient) {
    w.set_gradient(Tensor({1, 1}, {gradient}));
    b.set_gradient(Tensor({1}, {gradient}));
  }
};
double value(const Variable& v) { return v.value()[0]; }
doctest::Approx nearly(double v) {
  return doctest::Approx(v).epsilon(16 * std::numeric_limits<real>::epsilon());
}  // some roundings

TEST_CASE("sgd: w <- w - l (g + d w); biases do not decay") {
  Pair p;
  Sgd sgd(p.parameters(), {.weight_decay = real(0.1)});
  p.give(3);
  sgd.step(0.5);
  CHECK(value(p.w) == nearly(2 - 0.5 * (3 + 0.1 * 2)));
  CHECK(value(p.b) == nearly(2 - 0.5 * 3));
  CHECK(sgd.steps() == 1);
  CHECK(sgd.state().empty());
}

TEST_CASE("sgd with momentum, and after Nesterov: three steps by hand, with another rate each") {
  for (const bool nesterov : {false, true}) {
    Pair p;
    Sgd sgd(p.parameters(), {.momentum = real(0.9), .weight_decay = real(0.1), .nesterov = nesterov});
    double w = 2, v = 0;
    for (const double rate : {0.5, 0.25, 0.125}) {
      const double g = 3 * rate;
      p.give(static_cast<real>(g));
      sgd.step(rate);
      const double slope = g + 0.1 * w;
      v = 0.9 * v + slope;
      w -= rate * (nesterov ? slope + 0.9 * v : v);
    }
    CHECK(value(p.w) == nearly(w));
    CHECK(value(p.w) != nearly(value(p.b)));
    REQUIRE(sgd.state().size() == 2);
    CHECK(sgd.state()[0].name == "momentum.w");
    CHECK(sgd.state()[0].values[0] == nearly(v));
  }
}

TEST_CASE("adam: the first step has the size of the rate, whatever the gradient's") {
  // With t = 1 the bias corrections make it g / (|g| + e).
  for (const real g : {real(1e-3), real(-20)}) {
    Pair p;
    Adam adam(p.parameters(), {});
    p.give(g);
    adam.step(0.01);
    CHECK(value(p.w) == nearly(2 - 0.01 * g / (std::abs(g) + 1e-8)));
  }
}

TEST_CASE("adam and adamw: three steps by hand; decay is added to g, or stands beside the step; biases do not decay") {
  for (const bool decoupled : {false, true}) {
    Pair p;
    Adam adam(p.parameters(), {.weight_decay = real(0.1), .decoupled = decoupled});
    double w = 2, m = 0, v = 0, b = 2, bm = 0, bv = 0;
    for (int t = 1; t <= 3; ++t) {
      const double g = 3 - t * 1.25, rate = 0.5 / t;
      p.give(static_cast<real>(g));
      adam.step(rate);
      const auto adam_step = [&](double slope, double& mean, double& square) {
        mean = 0.9 * mean + 0.1 * slope;
        square = 0.999 * square + 0.001 * slope * slope;
        return rate * mean / (1 - std::pow(0.9, t)) / (std::sqrt(square / (1 - std::pow(0.999, t))) + 1e-8);
      };
      const double step = adam_step(decoupled ? g : g + 0.1 * w, m, v);
      w = w - step - (decoupled ? rate * 0.1 * w : 0);
      b -= adam_step(g, bm, bv);
    }
    // 1 - 0.999 in float is 0.001 only to 5e-5 relative, and steps of size `rate` pass that on.
    CHECK(value(p.w) == doctest::Approx(w).epsilon(1e-4));
    CHECK(value(p.b) == doctest::Approx(b).epsilon(1e-4));
    CHECK(std::abs(w - b) > 1e-2);
    REQUIRE(adam.state().size() == 4);
    CHECK(adam.state()[0].name == "mean.w");
    CHECK(adam.state()[3].name == "square.b");
  }
}

TEST_CASE("optimisers: a missing gradient, or one of another shape, is named, and nothing is changed") {
  for (const char* const name : {"sgd", "adam", "adamw"}) {
    Pair p;
    const auto optimizer = make_optimizer(name, p.parameters(), 0);
    p.give(3);
    p.b.set_gradient({});
    CHECK(error_of([&] { optimizer->step(0.1); }) == "optimizer: parameter 'b' has no gradient");
    p.b.set_gradient(Tensor({2}));
    CHECK(error_of([&] { optimizer->step(0.1); }) == "optimizer: parameter 'b' is [1], its gradient [2]");
    CHECK(value(p.w) == 2);
    CHECK(optimizer->steps() == 0);
  }
  CHECK(error_of([] { make_optimizer("lion", {}, 0); }) == "there is no optimizer 'lion'; there are sgd, adam and adamw");
}

TEST_CASE("optimisers: the values of a large parameter move as each alone would, with the same bits on 1 and 2 threads") {
  constexpr Index n = 40'000;  // several blocks
  for (const char* const name : {"sgd", "adam", "adamw"}) {
    const auto trained = [&](int threads, Index begin, Index end) {
      const Threads set(threads);
      const Variable w(random_tensor({n, 1}, 1).rows(begin, end).clone(), true);
      const auto optimizer = make_optimizer(name, {{"w", w, {}}}, real(0.01));
      for (std::uint64_t step = 0; step < 3; ++step) {
        Variable(w).set_gradient(random_tensor({n, 1}, 2 + step).rows(begin, end));
        optimizer->step(0.1);
      }
      return w.value();
    };
    const Tensor all = trained(1, 0, n);
    CHECK(same_bits(trained(2, 0, n), all));
    CHECK(same_bits(trained(1, 20'001, 20'002), all.rows(20'001, 20'002)));
  }
}

TEST_CASE("clipping: the factor is limit / global norm if that norm is larger, else 1") {
  Pair p;
  p.w.set_gradient(Tensor({1, 1}, {3}));
  p.b.set_gradient(Tensor({1}, {-4}));
  CHECK(gradient_norm(p.parameters()) == 5);
  CHECK(clip_factor(5, 6) == 1);
  CHECK(clip_factor(5, 5) == 1);
  CHECK(clip_factor(5, 2.5) == 0.5);
}

TEST_CASE("optimisers: a gradient scale is as good as a scaled gradient") {
  const auto trained = [](std::string_view name, real gradient, double scale) {
    Pair p;
    const auto optimizer = make_optimizer(name, p.parameters(), real(0.25));
    for (int step = 0; step < 3; ++step) p.give(gradient), optimizer->step(0.5, scale);
    return std::pair{p.w.value()[0], p.b.value()[0]};
  };
  for (const char* name : {"sgd", "adam", "adamw"}) {
    CHECK(trained(name, 6, 0.5) == trained(name, 3, 1));
  }
  CHECK(trained("sgd", 6, 0.5) != trained("sgd", 3, 0.5));  // (Adam divides by the size of the gradient)
}

TEST_CASE("clipping: the norm does not depend on the order of the parameters, and squares do not overflow") {
  std::vector<Parameter> all;
  for (std::uint64_t i = 0; i < 5; ++i) {
    Variable w(Tensor({1000}), true);
    w.set_gradient(random_tensor({1000}, i));
    all.push_back({fmt::format("w{}", i), w, {}});
  }
  const double norm = gradient_norm(all);
  std::ranges::reverse(all);
  CHECK(gradient_norm(all) == norm);
  Pair p;
  p.give(real(1e30));
  CHECK(gradient_norm(p.parameters()) == doctest::Approx(std::sqrt(2.0) * 1e30));
}

TEST_CASE("clipping: refuses a limit of 0 and a missing gradient") {
  Pair p;
  CHECK(error_of([&] { gradient_norm(p.parameters()); }) == "clip: parameter 'w' has no gradient");
  CHECK(error_of([&] { clip_factor(1, 0); }) == "clip: the norm's limit is 0");
}

}  // namespace
}  // namespace tandem
