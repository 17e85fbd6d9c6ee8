// The graph and the walk over it, on operations so small that every gradient is known.
#include "core/autograd.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

Variable parameter(real value) { return {Tensor::scalar(value), true}; }
real value_of(const Variable& x) { return x.value().item(); }
real gradient_of(const Variable& x) { return x.gradient().item(); }

TEST_CASE("autograd: a leaf holds its value; an operation's result names the operation") {
  const Variable x = parameter(3), y = x * x;
  CHECK(x.is_leaf());
  CHECK(x.op() == "leaf");
  CHECK_FALSE(y.is_leaf());
  CHECK(y.op() == "multiply");
  CHECK(value_of(y) == 9);
  CHECK(y.needs_gradient());
  CHECK_FALSE(x.gradient().defined());
}

TEST_CASE("autograd: a value that is used twice gets the sum of both gradients") {
  const Variable x = parameter(3);
  backward(x * x + x);  // 2x + 1
  CHECK(gradient_of(x) == 7);
}

TEST_CASE("autograd: in a diamond the shared node is visited once, after both of its users") {
  //        +-- f --+
  //   x -- h       + -- y
  //        +-- g --+
  int visits = 0;
  Tensor arrived;
  const Variable x = parameter(2);
  const Variable h = record("h", x.value(), {{x, [&](const Tensor& dy) {
                                                ++visits;
                                                arrived = dy;
                                                return dy;
                                              }}});
  backward(scale(h, 3) + scale(h, 4));
  CHECK(visits == 1);
  CHECK(arrived.item() == 7);
  CHECK(gradient_of(x) == 7);
}

TEST_CASE("autograd: a ladder of 60 diamonds costs 60 visits, not 2^60") {
  const Variable x = parameter(1);
  Variable y = x;
  for (int i = 0; i < 60; ++i) y = scale(y + y, real(0.5));
  backward(y);
  CHECK(gradient_of(x) == 1);
}

TEST_CASE("autograd: gradients of two backward passes are added, until set_gradient() clears them") {
  Variable x = parameter(3);
  backward(scale(x, 2));
  backward(scale(x, 5));
  CHECK(gradient_of(x) == 7);
  x.set_gradient({});
  backward(scale(x, 5));
  CHECK(gradient_of(x) == 5);
}

TEST_CASE("autograd: gradients that share values are not changed through each other") {
  // The pullbacks of + return dy itself, so both leaves first name the same numbers.
  const Tensor dy({2}, {1, 2});
  const Variable a(Tensor({2}), true), b(Tensor({2}), true);
  backward(a + b, dy);
  backward(scale(a, 10), dy);
  CHECK(same_bits(a.gradient(), Tensor({2}, {11, 22})));
  CHECK(same_bits(b.gradient(), Tensor({2}, {1, 2})));
  CHECK(same_bits(dy, Tensor({2}, {1, 2})));

  const Tensor kept = a.gradient();
  backward(scale(a, 1), dy);
  CHECK(kept[0] == 11);  // whoever holds a gradient does not see it grow
  CHECK(a.gradient()[0] == 12);
}

TEST_CASE("autograd: backward with dy is linear in dy") {
  const Variable x(Tensor({2}, {3, 5}), true);
  backward(x * x, Tensor({2}, {1, -2}));
  CHECK(same_bits(x.gradient(), Tensor({2}, {6, -20})));
}

TEST_CASE("autograd: data gets no gradient, and an operation on data alone records nothing") {
  const Variable data(Tensor::scalar(4)), x = parameter(3);
  const Variable y = data * x;
  backward(y);
  CHECK(gradient_of(x) == 4);
  CHECK_FALSE(data.gradient().defined());
  CHECK_FALSE((data * data).needs_gradient());
  CHECK(error_of([&] { backward(data * data); }) == "backward: nothing behind this value ('multiply') needs a gradient");
}

TEST_CASE("autograd: an edge to data is dropped together with what it captured") {
  auto captured = std::make_shared<int>(1);
  const Variable data(Tensor::scalar(1)), x = parameter(1);
  const auto edge = [captured](const Variable& input) { return Edge{input, [captured](const Tensor& dy) { return dy; }}; };
  const Variable dropped = record("f", Tensor::scalar(1), {edge(data)});
  CHECK(captured.use_count() == 2);  // ours and the one in `edge`
  const Variable held = record("f", Tensor::scalar(1), {edge(x)});
  CHECK(captured.use_count() == 3);
}

TEST_CASE("autograd: what a pullback captured is moved into the graph, never copied") {
  struct CountsCopies {
    int* copies;
    explicit CountsCopies(int* count) : copies(count) {}
    CountsCopies(const CountsCopies& other) : copies(other.copies) { ++*copies; }
    CountsCopies(CountsCopies&&) = default;
  };
  int copies = 0;
  const Variable x = parameter(1);
  CountsCopies captured(&copies);  // const would forbid the closure to move it
  const Variable y = record("f", Tensor::scalar(1), {{x, [captured](const Tensor& dy) { return dy; }}});
  CHECK(copies == 1);  // the capture itself
  DeferredGradients deferred;
  backward(y, {.deferred = &deferred});
  deferred.run();
  CHECK(copies == 1);
  CHECK(gradient_of(x) == 1);
}

TEST_CASE("autograd: NoGradient records nothing, and ends with its scope") {
  const Variable x = parameter(3);
  {
    const NoGradient off;
    { const NoGradient nested; }
    CHECK_FALSE((x * x).needs_gradient());
    CHECK(value_of(x * x) == 9);
  }
  CHECK((x * x).needs_gradient());
}

// Deep enough to overflow any stack by recursion. ThreadSanitizer takes minutes for so many small allocations; it gets fewer.
#ifdef __SANITIZE_THREAD__
constexpr int deep = 20'000;
#else
constexpr int deep = 200'000;
#endif

TEST_CASE("autograd: a very deep graph is built, walked and freed without deep recursion") {
  const std::size_t live = memory_use().live;
  {
    const Variable x = parameter(1);
    Variable y = x;
    for (int i = 0; i < deep; ++i) y = y + x;  // two paths at each step: 2^deep walks if a node were visited per path
    backward(y);
    CHECK(gradient_of(x) == deep + 1);
  }
  {
    const Variable x = parameter(1);
    Variable y = x;
    for (int i = 0; i < deep; ++i) y = scale(y, 1);
    // dropped without backward()
  }
  CHECK(memory_use().live == live);
}

TEST_CASE("autograd: leaf_ready fires once per leaf, with the complete gradient") {
  const Variable a = parameter(2), b = parameter(3), unused = parameter(4);
  const Variable y = a * b + a * a + b;
  std::vector<std::pair<Variable, real>> fired;
  backward(y, {.leaf_ready = [&](const Variable& leaf) { fired.emplace_back(leaf, gradient_of(leaf)); }});
  CHECK(fired.size() == 2);
  CHECK(std::ranges::count(fired, std::pair{a, real(3 + 4)}) == 1);
  CHECK(std::ranges::count(fired, std::pair{b, real(2 + 1)}) == 1);
}

TEST_CASE("autograd: leaf_ready fires early: the last layer's weights are ready before the first layer is reached") {
  std::vector<std::string> events;
  const Variable x = parameter(1), w1 = parameter(2), w2 = parameter(3);
  const auto layer = [&](std::string name, const Variable& input, const Variable& w) {
    return record("layer", Tensor::scalar(1),
                  {{input, [](const Tensor& dy) { return dy; }}, {w, [&events, name](const Tensor& dy) {
                                                                    events.push_back("pull " + name);
                                                                    return dy;
                                                                  }}});
  };
  const Variable y = layer("w2", layer("w1", x, w1), w2);
  backward(y, {.leaf_ready = [&](const Variable& leaf) { events.push_back(leaf == w1 ? "w1" : leaf == w2 ? "w2" : "x"); }});
  CHECK(events == std::vector<std::string>{"pull w2", "w2", "x", "pull w1", "w1"});
}

TEST_CASE("autograd: a leaf used by an early and a late operation is ready only after the early one") {
  const Variable w = parameter(2), v = parameter(5);
  const Variable y = w * (v * w);
  std::vector<real> gradients;
  backward(y, {.leaf_ready = [&](const Variable& leaf) {
             if (leaf == w) gradients.push_back(gradient_of(leaf));
           }});
  CHECK(gradients == std::vector<real>{20});  // both contributions of 10
}

TEST_CASE("autograd: the gradient of a leaf by itself is dy") {
  const Variable x = parameter(3);
  int fired = 0;
  backward(x, {.leaf_ready = [&](const Variable&) { ++fired; }});
  CHECK(gradient_of(x) == 1);
  CHECK(fired == 1);
}

TEST_CASE("autograd: deferred weight gradients are the immediate ones, and activations do not wait") {
  const auto network = [](const Variable& x, const Variable& W, const Variable& b) {
    return sum(linear(relu(linear(x, W, b)), W, b));
  };
  const Tensor input = random_tensor({4, 3}, 1), weights = random_tensor({3, 3}, 2), bias = random_tensor({3}, 3);
  const Variable x1(input, true), W1(weights, true), b1(bias, true);
  backward(network(x1, W1, b1));

  const Variable x2(input, true), W2(weights, true), b2(bias, true);
  DeferredGradients deferred;
  std::vector<Variable> fired;
  const LeafReady note = [&](const Variable& leaf) { fired.push_back(leaf); };
  backward(network(x2, W2, b2), {.leaf_ready = note, .deferred = &deferred, .not_deferred = {x2}});
  CHECK(same_bits(x2.gradient(), x1.gradient()));
  CHECK(fired == std::vector<Variable>{x2});
  CHECK_FALSE(W2.gradient().defined());
  CHECK_FALSE(b2.gradient().defined());
  CHECK_FALSE(deferred.empty());

  deferred.run(note);
  CHECK(same_bits(W2.gradient(), W1.gradient()));
  CHECK(same_bits(b2.gradient(), b1.gradient()));
  CHECK(fired.size() == 3);
  CHECK(std::ranges::count(fired, W2) == 1);
  CHECK(std::ranges::count(fired, b2) == 1);
  CHECK(deferred.empty());

  deferred.run(note);  // nothing is left
  CHECK(fired.size() == 3);
  CHECK(same_bits(W2.gradient(), W1.gradient()));
}

TEST_CASE("autograd: deferred gradients of several micro-batches run in the order in which they were put off") {
  const Variable w = parameter(1);
  DeferredGradients deferred;
  int fired = 0;
  for (const real factor : {2, 3}) backward(scale(w, factor), {.deferred = &deferred});
  deferred.run([&](const Variable& leaf) { CHECK(gradient_of(leaf) == (fired++ == 0 ? 2 : 5)); });
  CHECK(fired == 2);
}

TEST_CASE("autograd: a graph serves one backward; a second is an Error and changes nothing") {
  const Variable x = parameter(3), h = x * x, first = scale(h, 2), second = scale(h, 5);
  backward(first);
  CHECK(error_of([&] { backward(first); }) == "backward: the graph behind 'scale' was used up by an earlier backward");
  CHECK(error_of([&] { backward(second); }) == "backward: the graph behind 'multiply' was used up by an earlier backward");
  CHECK(gradient_of(x) == 12);
}

TEST_CASE("autograd: backward gives memory back as it goes") {
  constexpr Index n = 1 << 16;
  constexpr std::size_t bytes = n * sizeof(real);
  const std::size_t before = memory_use().live;
  const Variable x(Tensor::full({n}, 1), true);
  std::vector<std::size_t> live;
  Variable y = x;
  for (int i = 0; i < 10; ++i) {
    const Variable h = y;
    y = record("watch", map(h.value(), [](real v) { return v; }), {{h, [&live, kept = h.value()](const Tensor& dy) {
                                                                      live.push_back(memory_use().live);
                                                                      return dy;
                                                                    }}});
  }
  CHECK(memory_use().live == before + 11 * bytes);
  backward(y, Tensor::full({n}, 1));
  CHECK(live.size() == 10);
  // We hold the last result. From the second operation on, each has given its result back before the next one is reached.
  CHECK(live[1] == live[0]);
  for (std::size_t i = 2; i < live.size(); ++i) CHECK(live[i] == live[i - 1] - bytes);
  CHECK(memory_use().live == before + 3 * bytes);  // x, its gradient, the last result
}

TEST_CASE("autograd: a wrong dy, a wrong pullback and a result of many values are refused with their shapes") {
  const Variable x(Tensor({2, 3}), true);
  CHECK(error_of([&] { backward(relu(x)); }) == "backward: the result is [2,3], not one value; give its gradient dy");
  CHECK(error_of([&] { backward(relu(x), Tensor({3, 2})); }) == "backward: dy is [3,2] but y is [2,3]");
  const auto wrong = [&] { return record("twist", Tensor({6}), {{x, [](const Tensor& dy) { return dy; }}}); };
  CHECK(error_of([&] { backward(wrong(), Tensor({6})); }) == "backward: twist gave a gradient [6] for an input [2,3]");
  DeferredGradients deferred;
  backward(wrong(), Tensor({6}), {.deferred = &deferred});
  CHECK(error_of([&] { deferred.run(); }) == "backward: twist gave a gradient [6] for an input [2,3]");
}

TEST_CASE("autograd: after a backward that failed, the same leaves serve another graph") {
  const Variable a = parameter(2), b = parameter(3);
  int fired = 0;
  const BackwardOptions options{.leaf_ready = [&](const Variable&) { ++fired; }};
  const auto broken = [](const Variable& x) {
    return record("broken", Tensor::scalar(1), {{x, [](const Tensor&) -> Tensor { fail("no derivative"); }}});
  };
  // The error comes while edges to both leaves wait: those of `broken`, behind it, and beside it.
  CHECK(error_of([&] { backward((a * b) * broken(a * b), options); }) == "no derivative");
  CHECK(fired == 0);
  const Variable used = a * b;
  backward(scale(used, 1));
  CHECK(error_of([&] { backward(a * used, options); }).starts_with("backward: the graph behind 'multiply' was used up"));
  CHECK(fired == 0);
  backward(a * b, options);
  CHECK(fired == 2);
}

TEST_CASE("autograd: a backward within a pullback may meet the leaves of the outer one") {
  const Variable w = parameter(3), x = parameter(2);
  const Variable again = record("again", Tensor::scalar(6), {{x, [&](const Tensor& dy) {
    const Variable inner(Tensor::scalar(2), true);
    backward(w * inner, dy);  // computes the operation once more, as recomputation does
    return inner.gradient();
  }}});
  std::vector<std::pair<Variable, real>> fired;
  backward(w * again, {.leaf_ready = [&](const Variable& leaf) { fired.emplace_back(leaf, gradient_of(leaf)); }});
  CHECK(gradient_of(x) == 9);
  CHECK(gradient_of(w) == 6 + 6);  // d/dw of w (w x), in two parts
}

TEST_CASE("autograd: a variable that holds nothing says so") {
  const Variable nothing;
  const std::string expected = "autograd: this variable holds nothing";
  CHECK(error_of([&] { return nothing.value().size(); }) == expected);
  CHECK(error_of([&] { return nothing.gradient().size(); }) == expected);
  CHECK(error_of([&] { return nothing.needs_gradient(); }) == expected);
  CHECK(error_of([&] { relu(nothing); }) == expected);
  CHECK(error_of([&] { backward(nothing); }) == expected);
}

}  // namespace
}  // namespace tandem
