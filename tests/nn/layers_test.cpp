// Layers: what they add to the operations of core: parameters, running statistics, and the difference of training and use.
#include "nn/layers.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support.hpp"

namespace tandem {
namespace {

constexpr Context training{.training = true}, evaluation{};

TEST_CASE("linear and convolution layers are their operations with their parameters") {
  Linear layer(3, 2);
  initialise(layer, 1);
  const Variable x(random_tensor({4, 3}));
  const auto p = layer.parameters();
  CHECK(same_bits(layer.forward(x, evaluation).value(), linear(x, p[0].variable, p[1].variable).value()));

  Conv2d conv(2, 5, {.kernel = 4, .stride = 2, .pad = 1});
  initialise(conv, 1);
  const Variable image(random_tensor({2, 6, 6, 2}));
  const auto q = conv.parameters();
  CHECK(q[0].variable.shape() == Shape{4, 4, 2, 5});
  CHECK(same_bits(conv.forward(image, evaluation).value(),
                  conv2d(image, q[0].variable, q[1].variable, Window::square(4, 2, 1)).value()));
  CHECK(Conv2d(2, 5, {.bias = false}).parameters().size() == 1);
}

TEST_CASE("a residual block adds its input to its body") {
  auto body = std::make_shared<Sequential>();
  body->add<Function>([](const Variable& x) { return scale(x, 3); });
  Residual block(body);
  CHECK(block.forward(Tensor({2}, {1, -2}), evaluation).value()[1] == -8);
}

TEST_CASE("a skip sets its input beside its body's output; upsampling copies each pixel") {
  auto body = std::make_shared<Sequential>();
  body->add<MaxPool>(Window::square(2, 2)).add<Upsample>();
  Skip past(body);
  const Tensor y = past.forward(Tensor({1, 2, 2, 1}, {1, 2, 3, 4}), evaluation).value();
  CHECK(same_bits(y, Tensor({1, 2, 2, 2}, {1, 4, 2, 4, 3, 4, 4, 4})));
  CHECK(same_bits(upsample(Variable(Tensor({1, 1, 2, 1}, {5, 6})), 3).value(),
                  Tensor({1, 3, 6, 1}, {5, 5, 5, 6, 6, 6, 5, 5, 5, 6, 6, 6, 5, 5, 5, 6, 6, 6})));
}

TEST_CASE("batch norm: training normalises by the batch, evaluation by the running statistics") {
  BatchNorm norm(1, {}, real(0.1), 0);
  initialise(norm, 1);
  const Variable x(Tensor({2, 1}, {2, 6}));
  CHECK(same_bits(norm.forward(x, evaluation).value(), x.value()));  // running mean 0, variance 1
  CHECK(same_bits(norm.forward(x, training).value(), Tensor({2, 1}, {-1, 1})));
  CHECK(same_bits(norm.forward(x, evaluation).value(), x.value()));  // training alone commits nothing

  norm.buffers()[0].values[0] = 4;
  norm.buffers()[1].values[0] = 4;
  CHECK(same_bits(norm.forward(x, evaluation).value(), Tensor({2, 1}, {-1, 1})));
}

TEST_CASE("batch norm: one commit of two micro-batches moves the running values to their means, weighted by rows") {
  BatchNorm norm(1, {}, real(0.25), 0);
  std::vector<real> part(static_cast<std::size_t>(norm.statistics_size())), sum(part.size());
  const auto run = [&](std::initializer_list<real> values) {
    norm.forward(Tensor({static_cast<Index>(values.size()), 1}, values), training);
    norm.take_statistics(part);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
  };
  run({1, 3});              // 2 rows, mean 2, variance with 1/(n-1): 2
  run({0, 0, 4, 4, 7, 9});  // 6 rows, mean 4, squares about it 16 + 16 + 0 + 0 + 9 + 25 = 66: 66/5
  norm.commit_statistics(sum);
  const double mean = (2 * 2.0 + 6 * 4.0) / 8, variance = (2 * 2.0 + 6 * 66.0 / 5) / 8;
  CHECK(norm.buffers()[0].values[0] == doctest::Approx(0.25 * mean).epsilon(1e-6));             // from 0; a few roundings
  CHECK(norm.buffers()[1].values[0] == doctest::Approx(0.75 + 0.25 * variance).epsilon(1e-6));  // from 1
  CHECK(norm.buffers()[0].values[0] !=
        doctest::Approx(0.25 * 3).epsilon(1e-6));  // negative control: the plain mean of means
}

TEST_CASE("batch norm: statistics are taken once; without data they are zero, and committing zero changes nothing") {
  BatchNorm norm(2);
  std::vector<real> part(5, -1);
  norm.take_statistics(part);  // before any forward
  CHECK(part == std::vector<real>(5, 0));
  norm.forward(random_tensor({3, 2}), training);
  norm.take_statistics(part);
  CHECK(part.back() == 3);
  norm.take_statistics(part);
  CHECK(part == std::vector<real>(5, 0));
  const std::uint64_t before = weights_hash(norm);
  norm.commit_statistics(part);
  CHECK(weights_hash(norm) == before);
}

TEST_CASE("batch norm: after many steps of the same batch, evaluation gives what training gives") {
  BatchNorm norm(3);
  initialise(norm, 1);
  // 200 rows: the unbiased variance of the running value and the batch's own differ by 1/200.
  const Variable x(random_tensor({200, 3}));
  std::vector<real> part(7);
  for (int step = 0; step < 300; ++step) {
    norm.forward(x, training);
    norm.take_statistics(part);
    norm.commit_statistics(part);
  }
  const Tensor trained = norm.forward(x, training).value(), used = norm.forward(x, evaluation).value();
  for (Index i = 0; i < used.size(); ++i) CHECK(used[i] == doctest::Approx(trained[i]).epsilon(0.005));
}

TEST_CASE("dropout: the identity in evaluation and with probability 0") {
  const std::vector<std::int64_t> samples{4, 5};
  const Context with{.training = true, .seed = 1, .step = 2, .samples = samples};
  const Variable x(random_tensor({2, 50}));
  CHECK(Dropout(0.5).forward(x, evaluation) == x);
  CHECK(Dropout(0).forward(x, with) == x);
  CHECK_FALSE(same_bits(Dropout(0.5).forward(x, with).value(), x.value()));
}

TEST_CASE("dropout: a mask depends on seed, sample, step and path, and on nothing else") {
  Sequential net;
  net.add<Dropout>(0.5).add_named<Sequential>("inner");
  Sequential alone, moved;
  alone.add<Dropout>(0.5);
  moved.add_named<Dropout>("elsewhere", 0.5);
  const auto mask = [](Module& model, std::vector<std::int64_t> samples, std::uint64_t seed = 1, std::int64_t step = 2) {
    const Index n = static_cast<Index>(samples.size());
    return model.forward(Tensor::full({n, 60}, 1), {.training = true, .seed = seed, .step = step, .samples = samples})
        .value();
  };
  const Tensor before = mask(alone, {7, 8, 9});
  CHECK(same_bits(mask(net, {7, 8, 9}), before));
  CHECK(same_bits(mask(alone, {8}), before.rows(1, 2)));  // cut into micro-batches
  CHECK(same_bits(mask(alone, {9, 7}).rows(0, 1), before.rows(2, 3)));
  CHECK_FALSE(same_bits(mask(alone, {7, 8, 9}, 2), before));
  CHECK_FALSE(same_bits(mask(alone, {7, 8, 9}, 1, 3), before));
  CHECK_FALSE(same_bits(mask(alone, {7, 8, 10}), before));
  CHECK_FALSE(same_bits(mask(moved, {7, 8, 9}), before));
}

TEST_CASE("dropout: in training the context must name the samples") {
  Sequential net;
  net.add_named<Dropout>("drop", 0.5);
  CHECK(error_of([&] {
          net.forward(Tensor({2, 3}), training);
        }) == "dropout 'drop': x is [2,3] but the context names 0 samples");
}

TEST_CASE("layers without parameters are their operations") {
  const Variable x(random_tensor({2, 4, 4, 3}));
  const auto same = [&](Module&& layer, const Variable& y) {
    CHECK(same_bits(layer.forward(x, training).value(), y.value()));
  };
  same(Relu(), relu(x));
  same(LeakyRelu(real(0.3)), leaky_relu(x, real(0.3)));
  same(Sigmoid(), sigmoid(x));
  same(Tanh(), tanh(x));
  same(Flatten(), flatten(x));
  same(MaxPool(Window::square(2, 2)), max_pool(x, Window::square(2, 2)));
  same(AveragePool(Window::square(2, 2)), average_pool(x, Window::square(2, 2)));
  same(GlobalAveragePool(), global_average_pool(x));
}

}  // namespace
}  // namespace tandem
