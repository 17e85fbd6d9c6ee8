// Whole models on split images, trained, against the same models in serial: every parameter and every buffer.
#include "parallel/spatial/spatial_parallel.hpp"

#include "nn/models.hpp"
#include "tests/parallel/pmpi_count.hpp"
#include "tests/parallel/spatial/support.hpp"

using namespace tandem;

namespace {

constexpr int steps = 3;

// One step of plain SGD: dL/dw is the sum over the ranks, `rate` holds the weight of the loss. Statistics are summed alike.
void step(Module& model, const Variable& loss, real rate, const Communicator* group) {
  backward(loss);
  for (Parameter& p : model.parameters()) {
    Tensor gradient = p.variable.gradient().clone();
    if (group) allreduce(gradient.values(), *group);
    for (Index i = 0; i < gradient.size(); ++i) p.variable.value()[i] -= rate * gradient[i];
    p.variable.set_gradient({});
  }
  for (Module* module : model.modules()) {
    if (module->statistics_size() == 0) continue;
    Tensor statistics({module->statistics_size()});
    module->take_statistics(statistics.values());
    if (group) allreduce(statistics.values(), *group);
    module->commit_statistics(statistics.values());
  }
}

using Make = std::function<std::shared_ptr<Sequential>()>;
using Target = std::vector<std::int32_t>;

Variable class_loss(const Variable& logits, const Target& labels) { return cross_entropy_sum(logits, labels); }

// Models that give one answer an image. `terms`: the longest sum behind a value, for the tolerance.
void check_classifier(const Make& make, const Shape& x, RankGrid grid, real rate, Index terms, const Communicator& world) {
  const Tensor images = random_tensor(x);
  Target labels;
  for (Index i = 0; i < x[0]; ++i) labels.push_back(static_cast<std::int32_t>(i % 3));
  const auto serial = make(), split_model = make();
  initialise(*serial, 1), initialise(*split_model, 1);
  const ImageSplit split(x[1], x[2], grid, world, std::min(total_stride(*serial), x[1] / grid.rows));
  CHECK_FALSE(spatial_parallel(*split_model, split).has_value());

  const Context context{.training = true};
  for (int i = 0; i < steps; ++i) {
    const Variable expected = serial->forward(images, context), logits = split_model->forward(split.mine(images), context);
    CHECK(close(logits.value(), expected.value(), terms));
    step(*serial, class_loss(expected, labels), rate, nullptr);
    step(*split_model, counted_once(class_loss(logits, labels), world), rate, &world);
  }
  const auto a = split_model->parameters(), b = serial->parameters();
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CAPTURE(b[i].name);
    CHECK(a[i].name == b[i].name);
    CHECK(close(a[i].variable.value(), b[i].variable.value(), terms));
  }
  const auto c = split_model->buffers(), d = serial->buffers();
  REQUIRE(c.size() == d.size());
  for (std::size_t i = 0; i < c.size(); ++i) {
    CAPTURE(d[i].name);
    CHECK(c[i].name == d[i].name);
    CHECK(close(c[i].values, d[i].values, terms));
  }
  const Context evaluation;
  CHECK(close(split_model->forward(split.mine(images), evaluation).value(), serial->forward(images, evaluation).value(), terms));
}

}  // namespace

TEST_CASE("spatial: a U-Net after three steps is the serial one, parameter by parameter") {
  const auto world = Communicator::world();
  for (const RankGrid grid : grids(world.size(), 4)) {
    CAPTURE(grid.rows);
    const Shape image{36, 40, 3};
    const Index height = image[0], width = image[1];
    const auto serial = unet(image, 2, 5), split_model = unet(image, 2, 5);
    initialise(*serial, 1), initialise(*split_model, 1);
    const Tensor x = random_tensor({2, height, width, 3}), target = random_tensor({2, height, width, 2}, 1);

    CHECK(total_stride(*serial) == 4);
    const ImageSplit split(height, width, grid, world, total_stride(*serial));
    const std::optional<ImageSplit> output = spatial_parallel(*split_model, split);
    REQUIRE(output.has_value());
    CHECK(*output == split);
    const real rate = real(0.05) / static_cast<real>(2 * height * width);
    for (int i = 0; i < steps; ++i) {
      const Variable y = split_model->forward(split.mine(x), {});
      step(*serial, squared_error_sum(serial->forward(x, {}), target), rate, nullptr);
      step(*split_model, squared_error_sum(y, output->mine(target)), rate, &world);
    }
    const auto a = split_model->parameters(), b = serial->parameters(), start = [&] {
      const auto fresh = unet(image, 2, 5);
      initialise(*fresh, 1);
      return fresh->parameters();
    }();
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      CAPTURE(b[i].name);
      CHECK(a[i].name == b[i].name);
      CHECK(close(a[i].variable.value(), b[i].variable.value(), 2 * height * width));  // a weight's gradient is a sum over all pixels
      CHECK_FALSE(close(start[i].variable.value(), b[i].variable.value(), 2 * height * width));  // and it has moved by more than that
    }
  }
}

TEST_CASE("spatial: a step of the U-Net sends the halos of its convolutions and nothing else; pools on aligned cuts need none") {
  const auto world = Communicator::world();
  for (const RankGrid grid : grids(world.size())) {
    const auto net = unet({32, 64, 3}, 2, 4);
    initialise(*net, 1);
    const ImageSplit split(32, 64, grid, world, 4), lower = split.after(Window::square(2, 2)), lowest = lower.after(Window::square(2, 2));
    spatial_parallel(*net, split);
    const Tensor x = split.mine(random_tensor({1, 32, 64, 3}));
    Traffic expected{};
    const auto halos = [&](const ImageSplit& at, Index channels, std::size_t times) {
      const Traffic once = halo_traffic(at, Window::square(3, 1, 1), 1, channels);
      expected.messages += times * once.messages, expected.bytes += times * once.bytes;
    };
    halos(split, 3, 1);  // of the image: no gradient goes back to it
    halos(lower, 4, 2), halos(lowest, 8, 2), halos(lower, 16, 2), halos(split, 8, 2);
    CHECK(traffic_of(world, [&] { backward(sum(net->forward(x, {}))); }) == expected);
  }
}

TEST_CASE("spatial: cnn and resnet, taken over, train as they do in serial") {
  const auto world = Communicator::world();
  for (const RankGrid grid : grids(world.size(), 4)) {
    CAPTURE(grid.rows);
    check_classifier([] { return cnn({32, 40, 2}, 3); }, {3, 32, 40, 2}, grid, real(0.001), 3 * 32 * 40, world);
    check_classifier([] { return resnet({64, 64, 3}, 3); }, {2, 64, 64, 3}, grid, real(0.02), 2 * 32 * 32, world);
  }
}

TEST_CASE("spatial: cuts that meet no stride train as well, where no two images are joined") {
  const auto world = Communicator::world();
  const auto make = [] {
    auto net = std::make_shared<Sequential>();
    net->add<Conv2d>(2, 4, ConvOptions{.kernel = 3, .stride = 2, .pad = 1, .bias = false})
        .add<BatchNorm>(4, Epilogue{.relu = true, .max_pool = true})
        .add<Conv2d>(4, 4, ConvOptions{.epilogue = {.relu = true}})
        .add<AveragePool>(Window::square(3, 1, 1))
        .add<Tanh>()
        .add<GlobalAveragePool>()
        .add<Linear>(4, 3);
    return net;
  };
  for (const RankGrid grid : grids(world.size(), 4)) {
    const Tensor images = random_tensor({2, 71, 67, 2});
    const auto serial = make(), mine = make();
    initialise(*serial, 1), initialise(*mine, 1);
    const ImageSplit split(71, 67, grid, world);
    spatial_parallel(*mine, split);
    const Context context{.training = true};
    const real rate = real(0.02);
    for (int i = 0; i < steps; ++i) {
      step(*serial, class_loss(serial->forward(images, context), {0, 2}), rate, nullptr);
      step(*mine, counted_once(class_loss(mine->forward(split.mine(images), context), {0, 2}), world), rate, &world);
    }
    const auto a = mine->parameters(), b = serial->parameters();
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(close(a[i].variable.value(), b[i].variable.value(), 2 * 36 * 34));
  }
}

TEST_CASE("spatial: what cannot be taken over is refused, and the model stays as it was") {
  const auto world = Communicator::world();
  const ImageSplit split(64, 64, {world.size(), 1}, world);
  Sequential dropped;
  dropped.add<Conv2d>(2, 3).add<Dropout>(0.5);
  const Module* const conv = dropped.children()[0].get();
  CHECK(error_of([&] { spatial_parallel(dropped, split); }).find("'1' cannot work on an image that is split") != std::string::npos);
  CHECK(dropped.children()[0].get() == conv);
  Sequential flat;
  flat.add<Linear>(2, 3);
  CHECK(error_of([&] { spatial_parallel(flat, split); }).find("'0'") != std::string::npos);
  Linear alone(2, 3);
  CHECK(error_of([&] { spatial_parallel(alone, split); }).find("put it into a Sequential") != std::string::npos);
  Sequential once;
  once.add<Conv2d>(2, 3);
  spatial_parallel(once, split);
  CHECK(error_of([&] { spatial_parallel(once, split); }).find("cannot work") != std::string::npos);
}
