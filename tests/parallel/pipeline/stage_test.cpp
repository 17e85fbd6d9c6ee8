#include "parallel/pipeline/stage.hpp"

#include <doctest/doctest.h>

#include "parallel/pipeline/messages.hpp"
#include "tests/parallel/grid_training.hpp"
#include "tests/parallel/pmpi_count.hpp"

using namespace tandem;

TEST_CASE("send and receive: the gradient comes back the way the value went") {
  const Communicator world = Communicator::world();
  const int p = world.size(), r = world.rank();
  // x is doubled on every rank: y = 2^p x, so dx = 2^p dy.
  const Variable x(whole_numbers({3, 4}, 1), true);
  const Variable in = r == 0 ? x : receive({3, 4}, r - 1, world);
  const Variable doubled = scale(in, 2);
  const Variable end = r < p - 1 ? send(doubled, r + 1, world) : sum(doubled * Variable(whole_numbers({3, 4}, 2)));
  backward(end);
  if (r == 0) {
    const Tensor weights = whole_numbers({3, 4}, 2);
    for (Index i = 0; i < x.value().size(); ++i) CHECK(x.gradient()[i] == weights[i] * static_cast<real>(1 << p));
  }
  if (r == p - 1) {
    Tensor expected = whole_numbers({3, 4}, 1);
    for (real& v : expected.values()) v *= static_cast<real>(1 << p);
    CHECK(same_bits(doubled.value(), expected));
  }
}

TEST_CASE("send and receive: without gradients nothing comes back") {
  const Communicator world = Communicator::world();
  const int p = world.size(), r = world.rank();
  const NoGradient no_gradient;
  const Traffic counted = traffic_of(world, [&] {
    if (r > 0) receive({5}, r - 1, world);
    if (r < p - 1) send(Variable(Tensor::zeros({5}), true), r + 1, world);
  });
  CHECK(counted == Traffic{static_cast<std::size_t>(p - 1), static_cast<std::size_t>(p - 1) * 5 * sizeof(real)});
}

TEST_CASE("stages: a step sends the boundary once forward and once backward for each micro-batch: 2(p-1)m messages, 2(p-1)B a bytes") {
  const Communicator world = Communicator::world();
  const int p = world.size(), r = world.rank();
  if (p > 6) return;
  constexpr Index B = 12, m = 4, width = 7;
  Sequential net;
  for (int i = 0; i < 6; ++i) net.add<Linear>(width, width);
  initialise(net, 1);
  PipelineStages stage(net, {width}, balanced_partition(std::vector<double>(6, 1), p), world);
  CHECK(net.size() == 0);
  CHECK(stage.chunks()[0].input == CarriedShapes{Shape{width}});
  const Traffic counted = traffic_of(world, [&] {
    for (Index i = 0; i < m; ++i) {
      const Variable y = stage.forward(random_tensor({B / m, width}), {.training = true});
      backward(r == p - 1 ? sum(y) : y);
    }
  });
  const auto others = static_cast<std::size_t>(p - 1);
  CHECK(counted == Traffic{2 * others * m, 2 * others * B * width * sizeof(real)});
}

TEST_CASE("stages: parameters keep their names, and every one is on one rank") {
  const Communicator world = Communicator::world();
  if (world.size() > GridNet::steps) return;
  const auto whole = GridNet::make(1), split = GridNet::make(1);
  PipelineStages stage(*split, {8, 8, 3}, balanced_partition(std::vector<double>(GridNet::steps, 1), world.size()), world);
  std::vector<std::string> mine, all;
  for (const Parameter& p : stage.parameters()) mine.push_back(p.name);
  for (const Parameter& p : whole->parameters()) all.push_back(p.name);
  std::ranges::sort(all);
  CHECK(union_over_ranks(mine, world) == all);
  CHECK(sum_over_ranks(static_cast<double>(mine.size()), world) == static_cast<double>(all.size()));
}

TEST_CASE("stages: cuts that lose a layer are refused") {
  const Communicator world = Communicator::world();
  if (world.size() != 2) return;
  const auto try_cut = [&](std::vector<Range> stages) { return error_of([&] { PipelineStages(*GridNet::make(1), {8, 8, 3}, stages, world); }); };
  CHECK(try_cut({{0, 3}, {4, 13}}) == "pipeline: a stage of steps 4 to 13 after step 3");
  CHECK(try_cut({{0, 3}, {3, 9}}) == "pipeline: the stages hold 9 of 13 steps");
  CHECK(try_cut({{0, 13}}) == "pipeline: 1 stages for a schedule of 2");
}

TEST_CASE("layer times: positive, the same on every rank, and they leave no trace in the model") {
  const Communicator world = Communicator::world();
  const auto net = GridNet::make(1), untouched = GridNet::make(1);
  const std::vector<double> times = step_seconds(*net, {4, 8, 8, 3}, world, 1);
  REQUIRE(times.size() == GridNet::steps);
  for (const double t : times) {
    CHECK(t > 0);
    CHECK(max_over_ranks(t, world) == t);
  }
  CHECK(weights_hash(*net) == weights_hash(*untouched));
  for (const Parameter& p : net->parameters()) CHECK_FALSE(p.variable.gradient().defined());
}
