// Whole models, taken over in place, against the serial run.
#include "parallel/tensor/tensor_parallel.hpp"

#include "core/kernels/elementwise.hpp"
#include "nn/models.hpp"
#include "parallel/tensor/group_ops.hpp"
#include "tests/parallel/tensor/support.hpp"

using namespace tandem;

namespace {

constexpr Index batch = 6;
constexpr int classes = 11;

struct Model {
  std::string name;
  Shape image;
  double longest_sum;  // of those that another number of ranks cuts elsewhere: over the inputs of a layer, or the pixels of a batch
  std::shared_ptr<Sequential> make() const {
    return name == "mlp" ? mlp(image, {24, 17}, classes) : make_model(name, image, classes);
  }
};
const Model models[] = {{"mlp", {5, 4, 3}, 60}, {"cnn", {8, 8, 3}, 9 * 128}, {"resnet", {16, 16, 3}, 9 * 128}};

// For images [6,6,3]: layers without a partner, a residual body of one layer, dropout and flatten behind split channels.
std::shared_ptr<Sequential> stumbling_blocks() {
  auto net = std::make_shared<Sequential>(), body = std::make_shared<Sequential>();
  body->add<Conv2d>(9, 9).add<Relu>();
  net->add<Conv2d>(3, 9).add<BatchNorm>(9).add<Residual>(body).add<Sigmoid>().add<AveragePool>(Window::square(2, 2));
  net->add<Conv2d>(9, 10).add<Conv2d>(10, 8).add<BatchNorm>(8).add<Conv2d>(8, 9).add<Flatten>();
  net->add<Linear>(9 * 9, 12).add<Tanh>().add<Dropout>(0.5).add<Linear>(12, 10).add<LeakyRelu>().add<Linear>(10, 10);
  return net;
}

Tensor images(const Model& model, std::uint64_t step) {
  Shape shape{batch};
  for (const Index extent : model.image) shape.push_back(extent);
  return random_tensor(shape, 40 + step);
}
const std::vector<std::int32_t> labels{0, 7, 10, 3, 3, 5};
static_assert(batch == 6);

Variable loss_of(Module& model, const Tensor& x) {
  return scale(cross_entropy_sum(model.forward(x, {.training = true}), labels, {.smoothing = real(0.1)}), 1 / real(batch));
}

// Plain SGD, and the statistics of batch normalisation.
void step(Module& model, const Tensor& x) {
  backward(loss_of(model, x));
  for (Module* module : model.modules())
    if (std::vector<real> part(static_cast<std::size_t>(module->statistics_size())); !part.empty()) {
      module->take_statistics(part);
      module->commit_statistics(part);
    }
  for (Parameter& p : model.parameters()) {
    const Tensor g = p.variable.gradient();
    REQUIRE(g.defined());
    p.variable.value().copy_from(map(p.variable.value(), g, [](real w, real slope) { return w - real(0.05) * slope; }));
    p.variable.set_gradient({});
  }
}

}  // namespace

TEST_CASE("tensor parallel: after three steps every parameter and buffer is that of the serial run") {
  const Communicator world = Communicator::world();
  for (const Model& m : models) {
    CAPTURE(m.name);
    const auto serial = m.make(), split = m.make(), start = m.make();
    initialise(*serial, 1);
    initialise(*split, 1);
    initialise(*start, 1);
    tensor_parallel(*split, world);
    for (std::uint64_t i = 0; i < 3; ++i) {
      step(*serial, images(m, i));
      step(*split, images(m, i));
    }

    // Another order in a sum of L terms moves it by at most L epsilons of their size; in practice by a few, as roundings cancel. The
    // layers and the three steps hand that on and add to it, but a step takes only 0.05 of a gradient.
    const double relative = m.longest_sum * epsilon;
    const auto compare = [&](const auto& mine, const Tensor& expected, const Tensor& before) {
      CAPTURE(mine.name);
      const double tolerance = relative * std::max(1.0, largest_difference(expected, Tensor::zeros(expected.shape())));
      CHECK(largest_difference(gather_whole(mine, world), expected) <= tolerance);
      CHECK(largest_difference(before, expected) > 10 * tolerance);  // what was learnt is far larger than what is let through
    };
    const std::vector<Parameter> mine = split->parameters(), expected = serial->parameters(), before = start->parameters();
    REQUIRE(mine.size() == expected.size());
    for (std::size_t i = 0; i < mine.size(); ++i) {
      CHECK(mine[i].name == expected[i].name);
      compare(mine[i], expected[i].variable.value(), before[i].variable.value());
      if (!mine[i].slice) CHECK(agrees(mine[i].variable.value(), world));
    }
    const std::vector<Buffer> buffers = split->buffers(), expected_buffers = serial->buffers(), buffers_before = start->buffers();
    REQUIRE(buffers.size() == expected_buffers.size());
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      CHECK(buffers[i].name == expected_buffers[i].name);
      compare(buffers[i], expected_buffers[i].values, buffers_before[i].values);
      if (!buffers[i].slice) CHECK(agrees(buffers[i].values, world));
    }
    if (world.size() == 1) CHECK(weights_hash(*split) == weights_hash(*serial));
  }
}

TEST_CASE("tensor parallel: each rank keeps its share of the weights, and gathers to the model it was made from") {
  const Communicator world = Communicator::world();
  for (const Model& m : models) {
    CAPTURE(m.name);
    const auto serial = m.make(), split = m.make(), drawn = m.make();
    initialise(*serial, 1);
    initialise(*split, 1);
    tensor_parallel(*split, world);
    tensor_parallel(*drawn, world);
    initialise(*drawn, 1);  // split first, drawn afterwards: the same
    for (std::size_t i = 0; i < split->parameters().size(); ++i)
      CHECK(same_bits(split->parameters()[i].variable.value(), drawn->parameters()[i].variable.value()));
    for (std::size_t i = 0; i < split->parameters().size(); ++i)
      CHECK(same_bits(gather_whole(split->parameters()[i], world), serial->parameters()[i].variable.value()));

    Index split_count = 0, whole_count = 0;
    for (const Parameter& p : split->parameters()) (p.slice ? split_count : whole_count) += p.variable.value().size();
    if (world.size() > 1) {
      CHECK(split_count + whole_count < parameter_count(*serial));
      CHECK(whole_count < parameter_count(*serial) / 50);  // row biases and the norms behind them
      std::vector<std::int64_t> total{split_count};
      sum_over_ranks(total, world);
      CHECK(total[0] + whole_count == parameter_count(*serial));
    }
  }
}

TEST_CASE("tensor parallel: a step sends what the plan says, forward and backward") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  // Values per image in each allreduce and each gather, in the order of the layers; see the plan below.
  struct Expected { std::vector<Index> sums, gathers, backward_sums; };
  const std::vector<Expected> expected{
      {{17}, {classes}, {17}},
      {{8 * 8 * 32, 4 * 4 * 64, 2 * 2 * 128, classes}, {}, {4 * 4 * 32, 2 * 2 * 64, 128}},
      {{8 * 8 * 32, 4 * 4 * 32, 2 * 2 * 64, 128},                              // widen32 and the blocks' second convolutions
       {2 * 2 * 64, 128, classes},                                             // widen64, widen128, head
       {4 * 4 * 32, 4 * 4 * 32, 2 * 2 * 64, 2 * 2 * 64, 128, 128}}};           // three blocks, widen64, widen128, head
  for (std::size_t i = 0; i < 3; ++i) {
    CAPTURE(models[i].name);
    const auto model = models[i].make();
    initialise(*model, 1);
    tensor_parallel(*model, world);
    Traffic forward = nothing, back = nothing;
    for (const Index n : expected[i].sums) forward = forward + allreduce_traffic(p, bytes(batch * n));
    for (const Index n : expected[i].gathers) forward = forward + ring_allgather_traffic(p, bytes(batch * n));
    for (const Index n : expected[i].backward_sums) back = back + allreduce_traffic(p, bytes(batch * n));
    Variable loss;
    CHECK(traffic_of(world, [&] { loss = loss_of(*model, images(models[i], 0)); }) == forward);
    CHECK(traffic_of(world, [&] { backward(loss); }) == back);
  }
}

TEST_CASE("tensor parallel: the plan") {
  CHECK(describe(plan_tensor_parallel(*models[0].make())) == "hidden1 column, hidden2 row, head column+");
  CHECK(describe(plan_tensor_parallel(*models[1].make())) ==
        "conv1 column, conv2 row, conv3 column, conv4 row, conv5 column, conv6 row, hidden column, head row");
  CHECK(describe(plan_tensor_parallel(*models[2].make())) ==
        "stem.conv column, stem.norm split, widen32.conv row, "
        "block32.body.first.conv column, block32.body.first.norm split, block32.body.second.conv row, "
        "widen64.conv column, widen64.norm split+, "
        "block64.body.first.conv column, block64.body.first.norm split, block64.body.second.conv row, "
        "widen128.conv column, widen128.norm split+, "
        "block128.body.first.conv column, block128.body.first.norm split, block128.body.second.conv row, head column+");

  // Flatten, Dropout and both ends of a Residual need the whole.
  CHECK(describe(plan_tensor_parallel(*stumbling_blocks())) ==
        "0 column, 1 split+, 2.body.0 column+, 5 column, 6 row, 8 column+, 10 column+, 13 column, 15 row");
}

TEST_CASE("tensor parallel: whatever stands between the layers, one pass gives the result and the gradients of the serial run") {
  const Communicator world = Communicator::world();
  const auto serial = stumbling_blocks(), split = stumbling_blocks();
  initialise(*serial, 4);
  initialise(*split, 4);
  tensor_parallel(*split, world);
  const std::vector<std::int64_t> samples{3, 9, 4, 1};
  const Context context{.training = true, .seed = 8, .step = 2, .samples = samples};
  const Tensor x = random_tensor({4, 6, 6, 3}), dy = random_tensor({4, 10}, 2);
  const Variable y = serial->forward(x, context), z = split->forward(x, context);
  const double tolerance = 4 * 36 * epsilon;  // the longest sum: a batch of pixels; its terms and the results are about 1, or 10
  CHECK(largest_difference(z.value(), y.value()) <= tolerance);
  backward(y, dy);
  backward(z, dy);
  for (std::size_t i = 0; i < serial->parameters().size(); ++i) {
    const Parameter mine = split->parameters()[i], whole = serial->parameters()[i];
    CAPTURE(mine.name);
    CHECK(largest_difference(gather_whole(mine.variable.gradient(), mine.slice, world), whole.variable.gradient()) <= 10 * tolerance);
    if (!mine.slice) CHECK(agrees(mine.variable.gradient(), world));
  }
}

TEST_CASE("tensor parallel: what cannot be split is refused by name, and the model left as it was") {
  const Communicator world = Communicator::world();
  Linear alone(3, 3);
  CHECK_THROWS_WITH_AS(plan_tensor_parallel(alone), doctest::Contains("Sequential"), Error);
  if (world.size() == 1) return;
  const auto net = mlp({4, 4, 3}, {16, 12}, world.size() - 1);
  initialise(*net, 1);
  const std::uint64_t before = weights_hash(*net);
  CHECK_THROWS_WITH_AS(tensor_parallel(*net, world), doctest::Contains("'head': column linear"), Error);
  CHECK(weights_hash(*net) == before);
}

TEST_CASE("tensor parallel: inside a group of some ranks") {
  const Communicator world = Communicator::world();
  // Halves of the job, as two groups of a data x tensor grid: each computes its own batch, without a message to the other.
  const Communicator group = world.split(world.rank() % 2, world.rank());
  const auto serial = models[0].make(), split = models[0].make();
  initialise(*serial, 1);
  initialise(*split, 1);
  tensor_parallel(*split, group);
  const Tensor x = images(models[0], static_cast<std::uint64_t>(world.rank() % 2));
  step(*serial, x);
  step(*split, x);
  for (std::size_t i = 0; i < serial->parameters().size(); ++i)
    CHECK(largest_difference(gather_whole(split->parameters()[i], group), serial->parameters()[i].variable.value()) <=
          models[0].longest_sum * epsilon);
}
