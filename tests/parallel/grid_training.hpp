// Trains one small network on any grid, and brings its parts together on rank 0 for comparison.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/ops.hpp"
#include "nn/checkpoint.hpp"
#include "nn/layers.hpp"
#include "parallel/place.hpp"
#include "parallel/state.hpp"
#include "parallel/trainer.hpp"
#include "tests/support.hpp"

namespace tandem {

// 8x8 images of random numbers, labels by their sum.
class GridImages : public Dataset {
 public:
  explicit GridImages(std::int64_t samples) : samples_(samples) {}
  std::int64_t size() const override { return samples_; }
  Shape sample_shape() const override { return {8, 8, 3}; }
  int classes() const override { return 4; }
  void load(std::span<const std::int64_t> samples, std::int64_t, Tensor& x, std::span<std::int32_t> labels) const override {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      Random random(11, static_cast<std::uint64_t>(samples[i]));
      const auto row = static_cast<Index>(i);
      Tensor image = x.rows(row, row + 1);
      for (real& v : image.values()) v = static_cast<real>(random.normal());
      labels[i] = static_cast<std::int32_t>(samples[i] % classes());
    }
  }

 private:
  std::int64_t samples_;
};

// Convolution, batch norm, a residual block, pooling, dropout, linear layers: what the schemes must each deal with.
struct GridNet {
  static constexpr int steps = 13;  // 10 layers, of which the block counts four
  static std::shared_ptr<Sequential> make(std::uint64_t seed) {
    auto body = std::make_shared<Sequential>();
    body->add_named<Conv2d>("conv", 6, 6).add_named<BatchNorm>("norm", 6, Epilogue{.relu = true});
    auto net = std::make_shared<Sequential>();
    net->add_named<Conv2d>("conv1", 3, 6, ConvOptions{.epilogue = {.relu = true}})
        .add_named<BatchNorm>("norm1", 6)
        .add_named<Residual>("block", body)
        .add_named<MaxPool>("pool", Window::square(2, 2))
        .add_named<Conv2d>("conv2", 6, 10, ConvOptions{.epilogue = {.relu = true, .max_pool = true}})
        .add_named<Flatten>("flatten")
        .add_named<Linear>("hidden", 2 * 2 * 10, 14)
        .add_named<Tanh>("tanh")
        .add_named<Dropout>("dropout", 0.25)
        .add_named<Linear>("head", 14, 4);
    initialise(*net, seed);
    return net;
  }
};

// The second layer, and the one before the head, use the weights of the first.
inline std::shared_ptr<Sequential> tied_net(std::uint64_t seed) {
  auto net = std::make_shared<Sequential>();
  net->add_named<Flatten>("flatten").add_named<Linear>("first", 192, 192);
  const Variable W = net->parameters()[0].variable, b = net->parameters()[1].variable;
  const auto again = [W, b](const Variable& x) { return linear(x, W, b); };
  net->add_named<Function>("again", again).add_named<Tanh>("tanh").add_named<Linear>("own", 192, 192).add_named<Function>("once_more", again);
  net->add_named<Linear>("head", 192, 4);
  initialise(*net, seed);
  return net;
}

struct GridRun {
  GridShape grid = {};
  std::int64_t samples = 37, batch = 10, micro_batches = 8;  // the last batch has 7 samples: one micro-batch is empty
  std::int64_t steps = 5;
  std::uint64_t seed = 1;
  double clip = 0, rate = 0.05;
  std::string optimizer = "sgd";
  std::int64_t check_replicas = 1;
  int shard = 0;  // stage
  std::shared_ptr<Sequential> (*net)(std::uint64_t seed) = GridNet::make;
  std::size_t bucket_bytes = 256;
  ScheduleChoice schedule = {};
  bool recompute = false;
};

// Name and values of everything a checkpoint would hold, whole, on rank 0.
using State = std::vector<Buffer>;

inline State trained_on_grid(const GridRun& run, const Communicator& world) {
  const ProcessGrid grid(world, run.grid);
  const GridImages data(run.samples);
  const auto whole = run.net(run.seed);
  const auto whole_optimizer = make_optimizer(run.optimizer, whole->parameters(), real(1e-3));

  ScheduleChoice schedule = run.schedule;
  if (run.shard == 3) schedule.name = "naive";  // which sharding of stage 3 wants
  const std::shared_ptr<Module> part = place_on_grid(run.net(run.seed), data.sample_shape(), 2, grid, schedule);
  auto exchange = make_exchange(*part, grid, run.shard, {.bucket_bytes = run.bucket_bytes});
  const auto optimizer = make_optimizer(run.optimizer, exchange->owned(), real(1e-3));
  Trainer trainer(*part, *optimizer, classification_loss(), grid, std::move(exchange),
                  {.micro_batches = run.micro_batches, .seed = run.seed, .clip = run.clip, .recompute = run.recompute, .check_replicas = run.check_replicas});
  Loader loader(data, Sampler(run.samples, run.batch, run.seed),
                {.steps = run.steps, .micro_batches = run.micro_batches, .mine = trainer.my_micro_batches()});
  while (const auto batch = loader.next()) trainer.step(*batch, run.rate);

  trainer.exchange().make_whole();
  State state = world.rank() == 0 ? checkpoint_state(*whole, whole_optimizer.get()) : State{};
  gather_state(owned_parts(checkpoint_state(*part, optimizer.get()), grid), state, world);
  return state;
}

// The same on one rank, for all ranks.
inline State trained_alone(GridRun run, const Communicator& world) {
  const Communicator alone = world.split(world.rank(), 0);
  run.grid = {};
  return trained_on_grid(run, alone);
}

inline void check_same_bits(const State& state, const State& expected, const Communicator& world) {
  if (world.rank() != 0) return;
  REQUIRE(state.size() == expected.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    CAPTURE(state[i].name);
    CHECK(same_bits(state[i].values, expected[i].values));
  }
}

inline bool same(const State& state, const State& expected) {
  return std::ranges::equal(state, expected, [](const Buffer& a, const Buffer& b) { return same_bits(a.values, b.values); });
}

}  // namespace tandem
