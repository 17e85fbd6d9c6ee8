// Modules: names, order, initial values and fingerprints.
#include "nn/module.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "nn/layers.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

std::vector<std::string> names_of(const auto& listed) {
  std::vector<std::string> names;
  for (const auto& item : listed) names.push_back(item.name);
  return names;
}
Tensor parameter(const Module& model, const std::string& name) {
  for (const Parameter& p : model.parameters())
    if (p.name == name) return p.variable.value();
  fail("no parameter '{}'", name);
}

// Linear 4-3, batch norm, then a residual block with two layers of its own.
std::shared_ptr<Sequential> nested(std::string head = "head") {
  auto body = std::make_shared<Sequential>();
  body->add<Linear>(3, 3).add<Relu>().add_named<Linear>("last", 3, 3);
  auto net = std::make_shared<Sequential>();
  net->add<Linear>(4, 3).add_named<BatchNorm>("norm", 3).add_named<Residual>("block", body);
  net->add_named<Linear>(std::move(head), 3, 2);
  return net;
}

TEST_CASE("module: parameters are listed depth first in the order of adding, their names joined by dots") {
  const auto net = nested();
  CHECK(names_of(net->parameters()) ==
        std::vector<std::string>{"0.weight", "0.bias", "norm.gamma", "norm.beta", "block.body.0.weight", "block.body.0.bias",
                                 "block.body.last.weight", "block.body.last.bias", "head.weight", "head.bias"});
  CHECK(names_of(net->buffers()) == std::vector<std::string>{"norm.running_mean", "norm.running_variance"});
  CHECK(parameter_count(*net) == (4 * 3 + 3) + 2 * 3 + 2 * (3 * 3 + 3) + (3 * 2 + 2));
}

TEST_CASE("module: each part knows its path, also when the whole is assembled from inside out") {
  const auto net = nested();
  std::vector<std::string> paths;
  for (const Module* m : net->modules()) paths.push_back(m->path());
  CHECK(paths == std::vector<std::string>{"", "0", "norm", "block", "block.body", "block.body.0", "block.body.1",
                                          "block.body.last", "head"});
}

TEST_CASE("module: listed parameters are the module's own, not copies") {
  const auto net = nested();
  parameter(*net, "head.bias")[1] = 7;
  CHECK(parameter(*net, "head.bias")[1] == 7);
  CHECK(net->forward(Tensor::zeros({1, 4}), {}).value()[1] == 7);
}

TEST_CASE("module: a child that is exchanged hands its name and place on, and is free again") {
  const auto net = nested();
  const auto old = net->children()[3];
  const auto wider = std::make_shared<Linear>(3, 5);
  net->replace_child(3, wider);
  CHECK(wider->path() == "head");
  CHECK(parameter(*net, "head.weight").shape() == Shape{5, 3});
  CHECK(old->path() == "");
  Sequential other;
  CHECK_NOTHROW(other.append("elsewhere", old));

  CHECK(error_of([&] { net->replace_child(0, wider); }).find("already stands elsewhere as 'head'") != std::string::npos);
  CHECK(error_of([&] { net->replace_child(4, std::make_shared<Relu>()); }).find("no child 4 among 4") != std::string::npos);
  CHECK_NOTHROW(net->replace_child(3, wider));  // by itself: nothing happens
  CHECK(wider->path() == "head");
}

TEST_CASE("module: a slice of a parameter starts as that part of the whole") {
  struct Part : Module {
    Part(Shape shape, std::optional<Slice> slice) { add_parameter("weight", shape, he_normal(), slice); }
    Variable forward(const Variable& x, const Context&) override { return x; }
  };
  Part whole({5, 6}, {}), rows({2, 6}, Slice{.axis = 0, .begin = 3, .whole = 5}), columns({5, 1}, Slice{.axis = 1, .begin = 2, .whole = 6});
  for (Part* part : {&whole, &rows, &columns}) initialise(*part, 7);
  const Tensor W = parameter(whole, "weight");
  CHECK(same_bits(parameter(rows, "weight"), W.rows(3, 5)));
  for (Index i = 0; i < 5; ++i) CHECK(parameter(columns, "weight")[i] == W[i * 6 + 2]);

  Part own({2, 6}, {});  // the control: drawn as a matrix of its own it would start elsewhere
  initialise(own, 7);
  CHECK_FALSE(same_bits(parameter(own, "weight"), W.rows(3, 5)));
}

TEST_CASE("module: names that would be ambiguous, and a part in two places, are refused") {
  Sequential net;
  net.add_named<Relu>("a");
  CHECK(error_of([&] { net.add_named<Relu>("a"); }) == "module: two children are named 'a'");
  CHECK(error_of([&] { net.add_named<Relu>("a.b"); }) == "module: a child cannot be named 'a.b'");
  CHECK(error_of([&] { net.add_named<Relu>(""); }) == "module: a child cannot be named ''");
  CHECK(error_of([&] { net.append("b", nullptr); }) == "module: child 'b' is null");
  const auto shared = std::make_shared<Linear>(2, 2);
  net.append("first", shared);
  CHECK(error_of([&] { net.append("second", shared); }) ==
        "module: child 'second' already stands elsewhere as 'first'; its parameters would be listed twice");
  CHECK(net.size() == 2);

  struct Twice : Module {
    Twice() {
      add_parameter("w", {1}, constant_init(0));
      add_parameter("w", {1}, constant_init(0));
    }
    Variable forward(const Variable& x, const Context&) override { return x; }
  };
  CHECK(error_of([] { Twice(); }) == "module: two parameters are named 'w'");
}

TEST_CASE("initialise: the values depend on seed and name alone, not on the rest of the model") {
  const auto a = nested(), b = nested();
  initialise(*a, 1);
  initialise(*b, 1);
  CHECK(weights_hash(*a) == weights_hash(*b));

  Sequential other;  // another model, but also with a parameter "head.weight" of this shape
  other.add_named<Linear>("head", 3, 2);
  initialise(other, 1);
  CHECK(same_bits(parameter(other, "head.weight"), parameter(*a, "head.weight")));

  initialise(*b, 2);
  CHECK_FALSE(same_bits(parameter(*b, "head.weight"), parameter(*a, "head.weight")));
  const auto renamed = nested("tail");
  initialise(*renamed, 1);
  CHECK_FALSE(same_bits(parameter(*renamed, "tail.weight"), parameter(*a, "head.weight")));
  CHECK_FALSE(same_bits(parameter(*a, "block.body.0.weight"), parameter(*a, "block.body.last.weight")));
  initialise(*b, 1);  // again from the start
  CHECK(weights_hash(*a) == weights_hash(*b));
}

TEST_CASE("initialise: He's normal has variance 2 / fan_in, Glorot's uniform 2 / (fan_in + fan_out), biases are 0") {
  const auto variance = [](const Tensor& w) {
    double sum = 0, squares = 0;
    for (const real v : w.values()) sum += v, squares += double{v} * v;
    const auto n = static_cast<double>(w.size());
    return squares / n - (sum / n) * (sum / n);
  };
  Sequential net;
  net.add_named<Linear>("he", 200, 300).add_named<Linear>("glorot", 200, 300, glorot_uniform());
  net.add_named<Conv2d>("conv", 40, 60, ConvOptions{.kernel = 5});
  initialise(net, 3);
  // 60,000 values: the relative deviation of a variance is sqrt(2/60000) = 0.6 %, of a uniform one less.
  CHECK(variance(parameter(net, "he.weight")) == doctest::Approx(2.0 / 200).epsilon(0.03));
  CHECK(variance(parameter(net, "glorot.weight")) == doctest::Approx(2.0 / 500).epsilon(0.03));
  CHECK(variance(parameter(net, "conv.weight")) == doctest::Approx(2.0 / (5 * 5 * 40)).epsilon(0.03));
  for (const real b : parameter(net, "he.bias").values()) CHECK(b == 0);
  CHECK(error_of([] { fan({2, 3, 4}); }) == "init: weights [2,3,4]; expected [out,in] or [kh,kw,in,out]");
}

TEST_CASE("weights_hash: one changed bit of a parameter or a buffer changes it; changed back it is the same") {
  const auto net = nested();
  initialise(*net, 1);
  const std::uint64_t before = weights_hash(*net);
  const auto flip = [](Tensor values, Index i) { reinterpret_cast<unsigned char*>(values.data() + i)[0] ^= 1; };
  for (const Parameter& p : net->parameters()) {
    CAPTURE(p.name);
    flip(p.variable.value(), p.variable.value().size() - 1);
    CHECK(weights_hash(*net) != before);
    flip(p.variable.value(), p.variable.value().size() - 1);
  }
  for (const Buffer& b : net->buffers()) {
    CAPTURE(b.name);
    flip(b.values, 0);
    CHECK(weights_hash(*net) != before);
    flip(b.values, 0);
  }
  CHECK(weights_hash(*net) == before);
}

TEST_CASE("weights_hash: combined in name order: the order of adding does not matter, the names do") {
  const auto pair = [](const char* first, real a, const char* second, real b) {
    Sequential net;
    net.add_named<Linear>(first, 2, 2, constant_init(a)).add_named<Linear>(second, 2, 2, constant_init(b));
    initialise(net, 1);
    return weights_hash(net);
  };
  CHECK(pair("x", 1, "y", 2) == pair("y", 2, "x", 1));
  CHECK(pair("x", 1, "y", 2) != pair("x", 2, "y", 1));
  CHECK(pair("x", 1, "y", 2) != pair("x", 1, "z", 2));
  CHECK(hex(0xabc) == "0000000000000abc");
}

}  // namespace
}  // namespace tandem
