// Sharded data parallelism against the serial run: parameter by parameter, message by message, byte by byte.
#include "parallel/data/sharded.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "core/memory.hpp"
#include "tests/parallel/grid_training.hpp"
#include "tests/parallel/pmpi_count.hpp"

using namespace tandem;

namespace {

bool in_tree(int ranks, std::int64_t micro_batches = 8) { return std::has_single_bit(static_cast<unsigned>(ranks)) && micro_batches % ranks == 0; }

double largest_difference(const State& a, const State& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (Index j = 0; j < a[i].values.size(); ++j) largest = std::max(largest, std::abs(double{a[i].values[j]} - double{b[i].values[j]}));
  return largest;
}

// Parameters of several blocks of 4096 values and a rest, so that cuts lie inside them.
std::shared_ptr<Sequential> wide_net(std::uint64_t seed) {
  auto net = std::make_shared<Sequential>();
  net->add_named<Flatten>("flatten").add_named<Linear>("hidden", 192, 150).add_named<Tanh>("tanh").add_named<Linear>("deep", 150, 61);
  net->add_named<Tanh>("tanh2").add_named<Linear>("head", 61, 4);
  initialise(*net, seed);
  return net;
}

// A parameter beside the layers, which nothing uses.
class Beside : public Sequential {
 public:
  Beside() : unused_(add_parameter("unused", {5000}, constant_init(1))) {
    add_named<Flatten>("flatten").add_named<Linear>("head", 192, 4);
  }

 private:
  Variable unused_;
};
std::shared_ptr<Sequential> net_with_unused(std::uint64_t seed) {
  auto net = std::make_shared<Beside>();
  initialise(*net, seed);
  return net;
}

}  // namespace

TEST_CASE("sharded: every parameter, buffer and moment has the bits of the serial run, in every stage") {
  const Communicator world = Communicator::world();
  if (!in_tree(world.size())) return;
  const auto check = [&](GridRun run) {
    run.grid.data = world.size();
    const State serial = trained_alone(run, world);
    for (run.shard = 1; run.shard <= 3; ++run.shard) {
      CAPTURE(run.shard);
      check_same_bits(trained_on_grid(run, world), serial, world);
    }
  };
  for (const auto net : {GridNet::make, wide_net})
    for (const double clip : {0.0, 0.5}) {
      CAPTURE(clip);
      check({.clip = clip, .net = net});
      check({.clip = clip, .rate = 0.01, .optimizer = "adam", .net = net});
      check({.clip = clip, .rate = 0.01, .optimizer = "adamw", .net = net, .bucket_bytes = 1 << 20});
    }
  check({.samples = 5, .batch = 3});  // most micro-batches are empty: some ranks never run
}

TEST_CASE("sharded: any number of ranks comes close to the serial run, with uneven shares") {
  const Communicator world = Communicator::world();
  if (world.size() > 8) return;
  for (const auto net : {GridNet::make, wide_net}) {
    GridRun run{.grid = {.data = world.size()}, .steps = 4, .clip = 0.5, .net = net};
    const State serial = trained_alone(run, world);
    for (run.shard = 1; run.shard <= 3; ++run.shard) {
      CAPTURE(run.shard);
      // Another order of at most 8 + 8 additions a step moves a sum by some epsilons; four steps let that grow a little.
      CHECK(largest_difference(trained_on_grid(run, world), serial) < 1000 * std::numeric_limits<real>::epsilon());
    }
  }
}

TEST_CASE("sharded: with the layers on several ranks too, the bits are those of the serial run") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  for (int stages = 2; stages <= p; stages *= 2) {
    if (p % stages != 0 || !in_tree(p / stages)) continue;
    CAPTURE(stages);
    GridRun run{.grid = {.data = p / stages, .pipeline = stages}, .clip = 0.5, .rate = 0.01, .optimizer = "adam"};
    const State serial = trained_alone(run, world);
    for (run.shard = 1; run.shard <= 3; ++run.shard) {
      CAPTURE(run.shard);
      check_same_bits(trained_on_grid(run, world), serial, world);
    }
  }
}

TEST_CASE("sharded: tied weights and unused parameters work in stages 1 and 2; stage 3 refuses them with the reason") {
  const Communicator world = Communicator::world();
  if (!in_tree(world.size())) return;
  for (const auto net : {tied_net, net_with_unused}) {
    GridRun run{.grid = {.data = world.size()}, .clip = 0.5, .rate = 0.001, .net = net};
    const State serial = trained_alone(run, world);
    for (run.shard = 1; run.shard <= 2; ++run.shard) check_same_bits(trained_on_grid(run, world), serial, world);
  }
  GridRun run{.grid = {.data = world.size()}, .shard = 3, .net = tied_net};
  const std::string tied = error_of([&] { trained_on_grid(run, world); });
  CHECK(tied.find("layer 'again' (sharded, stage 3: parameters of other layers are empty while it runs): linear: ") != std::string::npos);
  run.net = net_with_unused;
  CHECK(error_of([&] { trained_on_grid(run, world); }).find("'unused' belongs to no layer of the model") != std::string::npos);
}

namespace {

// Steps [first, last) in `shard`, from the file at `from` if it names one; the state then goes to the file `to`.
struct Leg {
  int shard;
  std::int64_t first, last;
  std::filesystem::path from, to;
};
void run_leg(const Leg& leg, const GridRun& run, const Communicator& world) {
  const ProcessGrid grid(world);
  const auto net = run.net(run.seed);
  auto exchange = make_exchange(*net, grid, leg.shard, {.bucket_bytes = run.bucket_bytes});
  const auto optimizer = make_optimizer(run.optimizer, exchange->owned(), real(1e-3));
  if (!leg.from.empty()) load_checkpoint(leg.from, *net, optimizer.get(), Extent::part_of_model);  // of the moments
  CHECK(optimizer->steps() == leg.first);
  Trainer trainer(*net, *optimizer, classification_loss(), grid, std::move(exchange), {.micro_batches = run.micro_batches, .seed = run.seed});
  const GridImages data(run.samples);
  Loader loader(data, Sampler(run.samples, run.batch, run.seed),
                {.first_step = leg.first, .steps = leg.last - leg.first, .micro_batches = run.micro_batches, .mine = trainer.my_micro_batches()});
  while (const auto batch = loader.next()) trainer.step(*batch, run.rate);

  trainer.exchange().make_whole();
  const auto whole = run.net(run.seed);
  const auto moments = make_optimizer(run.optimizer, whole->parameters(), 0);
  moments->set_steps(optimizer->steps());
  gather_state(owned_parts(checkpoint_state(*net, optimizer.get()), grid),
               world.rank() == 0 ? checkpoint_state(*whole, moments.get()) : State{}, world);
  on_rank_0(world, [&] { save_checkpoint(leg.to, *whole, moments.get(), {}); });
}

}  // namespace

TEST_CASE("sharded: a run that is saved in one stage goes on in another, and ends with the same bits") {
  const Communicator world = Communicator::world();
  if (!in_tree(world.size())) return;
  std::optional<Folder> folder;
  if (world.rank() == 0) folder.emplace();
  const std::filesystem::path path = broadcast_text(world.rank() == 0 ? folder->path.string() : "", 0, world);
  for (const auto net : {GridNet::make, wide_net}) {
    const GridRun run{.rate = 0.01, .optimizer = "adamw", .net = net};
    run_leg({.shard = 0, .first = 0, .last = 5, .from = {}, .to = path / "straight"}, run, world);
    std::filesystem::path last;
    for (const int shard : {3, 1, 0, 2, 3}) {  // a step in each
      const std::int64_t first = last.empty() ? 0 : std::stoll(last.filename().string());
      const std::filesystem::path next = path / std::to_string(first + 1);
      run_leg({.shard = shard, .first = first, .last = first + 1, .from = last, .to = next}, run, world);
      last = next;
    }
    if (world.rank() != 0) continue;
    const auto a = net(1), b = net(2);
    const auto moments_a = make_optimizer("adamw", a->parameters(), 0), moments_b = make_optimizer("adamw", b->parameters(), 0);
    load_checkpoint(path / "straight", *a, moments_a.get());
    load_checkpoint(last, *b, moments_b.get());
    check_same_bits(checkpoint_state(*a, moments_a.get()), checkpoint_state(*b, moments_b.get()), world);
  }
}

namespace {

// Sixteen layers of 65536 values, no more: no padding, every piece a power of two on 1, 2, 4 and 8 ranks, next to no activations.
struct EvenTraining {
  static constexpr Index width = 256, layers = 16, layer = width * width, values = layers * layer;

  EvenTraining(int stage, std::int64_t micro_batches_a_rank, const Communicator& comm)
      : grid(comm), live_before(memory_use().live), net(make()), exchange(make_exchange(*net, grid, stage, {.bucket_bytes = layer * sizeof(real)})),
        optimizer(exchange->owned(), {}),
        trainer(*net, optimizer, classification_loss(), grid, std::move(exchange), {.micro_batches = micro_batches_a_rank * comm.size()}) {
    const std::int64_t first = trainer.my_micro_batches().begin;
    for (std::int64_t i = 0; i < micro_batches_a_rank; ++i) {
      batch.samples.push_back(first + i);
      batch.labels.push_back(static_cast<std::int32_t>(first + i));
      batch.micro_batches.push_back({i, i + 1});
    }
  }

  static std::shared_ptr<Sequential> make() {
    auto net = std::make_shared<Sequential>();
    for (Index i = 0; i < layers; ++i) net->add<Conv2d>(width, width, ConvOptions{.kernel = 1, .pad = 0, .bias = false});
    net->add<Flatten>();
    initialise(*net, 1);
    return net;
  }
  void step() {
    batch.x = Tensor::full({std::ssize(batch.samples), 1, 1, width}, real(0.5));
    trainer.step(batch, 1e-4);
    batch.x = {};
    ++batch.step;
  }

  ProcessGrid grid;
  std::size_t live_before;
  std::shared_ptr<Sequential> net;
  std::unique_ptr<GradientExchange> exchange;
  Adam optimizer;
  Trainer trainer;
  Batch batch;
};

}  // namespace

TEST_CASE("sharded: messages and bytes of a step are those of the formulas") {
  const Communicator world = Communicator::world();
  const auto p = static_cast<std::size_t>(world.size());
  const std::size_t rounds = std::has_single_bit(p) ? static_cast<std::size_t>(std::bit_width(p) - 1) : p - 1;  // of half an allreduce
  for (const std::size_t m : {1u, 2u})
    for (int stage = 1; stage <= 3; ++stage) {
      CAPTURE(m);
      CAPTURE(stage);
      EvenTraining training(stage, static_cast<std::int64_t>(m), world);
      training.step();
      const Traffic counted = traffic_of(world, [&] { training.step(); });
      const std::size_t halves = stage == 3 ? 2 * m + 1 : 2, totals = 3;  // loss, weight, correct: one small allreduce
      CHECK(counted.bytes == (p - 1) * (halves * EvenTraining::values + 2 * totals) * sizeof(real));
      CHECK(counted.messages == p * rounds * (halves * EvenTraining::layers + 2));
    }
}

TEST_CASE("sharded: memory between steps is that of the formulas, as the pool counts it") {
  const Communicator world = Communicator::world();
  const auto p = static_cast<std::size_t>(world.size());
  const std::size_t P = EvenTraining::values * sizeof(real);
  const auto law = [&](int stage) { return stage == 1 ? 2 * P + 2 * P / p : stage == 2 ? P + 3 * P / p : 4 * P / p; };
  std::size_t live[4] = {};
  for (int stage = 1; stage <= 3; ++stage) {
    CAPTURE(stage);
    EvenTraining training(stage, 1, world);
    training.step();
    training.step();
    reset_memory_peak();
    training.step();
    live[stage] = memory_use().live - training.live_before;
    const MemoryUse use = memory_use();
    const std::size_t peak = use.peak - use.peak_scratch - training.live_before;  // without work areas
    constexpr std::size_t small = 2048;  // the totals, and tensors of no values
    if (std::has_single_bit(p)) {
      CHECK(live[stage] >= law(stage));
      CHECK(live[stage] <= law(stage) + small);
    } else {
      // Cuts stand on the block next to where they should: a piece has up to 4096 values more. The pool's size classes round up by less than
      // a quarter.
      const std::size_t uneven = 4 * EvenTraining::layers * 4096 * sizeof(real);
      CHECK(live[stage] <= (law(stage) + uneven) * 5 / 4 + small);
    }
    // During the step of stage 2: at most three buckets of gradients (two under way, one being filled), and the gradient that backward has
    // just made; activations are a few rows.
    const std::size_t layer = EvenTraining::layer * sizeof(real), activations = 4 * EvenTraining::layers * EvenTraining::width * sizeof(real);
    if (std::has_single_bit(p) && stage == 2) CHECK(peak <= law(stage) + 4 * layer + activations + small);
  }
  // Negative controls: who keeps all gradients does not pass for stage 2, who keeps all parameters not for stage 3.
  if (p == 1) return;
  CHECK(live[1] > law(2) + EvenTraining::layer * sizeof(real));
  CHECK(live[2] > law(3) + EvenTraining::layer * sizeof(real));
}

namespace {

// Forgets to tell the others.
class Unpublished final : public ShardedExchange {
 public:
  using ShardedExchange::ShardedExchange;

 private:
  void send_values() override {}
};

}  // namespace

TEST_CASE("sharded: negative controls: pieces that are not published, another M, another stage with another seed") {
  const Communicator world = Communicator::world();
  if (world.size() == 1 || !in_tree(world.size())) return;
  const ProcessGrid grid(world);
  const auto net = wide_net(1);
  auto exchange = std::make_unique<Unpublished>(*net, 3, grid.replicas(), ShardedExchange::Options{.stage = 1});
  Sgd optimizer(exchange->owned(), {});
  Trainer trainer(*net, optimizer, classification_loss(), grid, std::move(exchange), {.check_replicas = 1});
  const GridImages data(8);
  Loader loader(data, Sampler(8, 8, 1), {.steps = 1, .micro_batches = 8, .mine = trainer.my_micro_batches()});
  const auto batch = loader.next();
  CHECK(error_of([&] { trainer.step(*batch, 0.05); }).find("replicas differ after step 0: value") != std::string::npos);

  const GridRun run{.grid = {.data = world.size()}, .shard = 2};
  const State state = trained_on_grid(run, world), other_m = trained_alone({.micro_batches = 16, .shard = 2}, world),
              other_seed = trained_alone({.seed = 2, .shard = 2}, world);
  if (world.rank() != 0) return;
  CHECK_FALSE(same(state, other_m));
  CHECK_FALSE(same(state, other_seed));
}

TEST_CASE("sharded: cuts lie between parameters or on their blocks; what ranks own covers every parameter once, also where some own nothing") {
  const Communicator world = Communicator::world();
  for (int stage = 1; stage <= 3; ++stage) {
    const auto net = wide_net(1);
    const ProcessGrid grid(world);
    const auto exchange = make_exchange(*net, grid, stage);
    const std::vector<Parameter> parameters = net->parameters();
    std::vector<std::int64_t> owned(parameters.size(), 0);
    for (const Parameter& p : exchange->owned()) {
      REQUIRE(p.stretch);
      const auto whole = std::ranges::find(parameters, p.name, &Parameter::name);
      REQUIRE(whole->variable.shape() == p.stretch->of);
      CHECK(p.stretch->begin % 4096 == 0);
      CHECK((p.variable.shape().rank() >= 2) == (p.stretch->of.rank() >= 2));  // so weight decay acts on the same
      owned[static_cast<std::size_t>(whole - parameters.begin())] += p.variable.value().size();
    }
    sum_over_ranks(owned, world);
    for (std::size_t i = 0; i < owned.size(); ++i) CHECK(owned[i] == parameters[i].variable.value().size());
  }
  const auto tiny = std::make_shared<Sequential>();
  tiny->add<Linear>(3, 2);
  const ProcessGrid grid(world);
  const auto exchange = make_exchange(*tiny, grid, 1);
  std::int64_t owners = exchange->owned().empty() ? 0 : 1;
  sum_over_ranks(std::span(&owners, 1), world);
  CHECK(owners <= 2);  // two parameters
}

TEST_CASE("sharded: what cannot work is refused, with what to do") {
  const Communicator world = Communicator::world();
  const ProcessGrid grid(world);
  const auto net = wide_net(1);
  CHECK_THROWS_WITH_AS(make_exchange(*net, grid, 4), doctest::Contains("no sharding of stage 4; there are 0 (none), 1, 2 and 3"), UsageError);
  CHECK_THROWS_WITH_AS(make_exchange(*net, grid, 2, {.algorithm = "ring"}), doctest::Contains("leave it at auto"), UsageError);

  auto exchange = make_exchange(*net, grid, 3);
  Sgd optimizer(exchange->owned(), {});
  Trainer trainer(*net, optimizer, classification_loss(), grid, std::move(exchange), {});
  const GridImages data(8);
  Loader loader(data, Sampler(8, 8, 1), {.steps = 1, .micro_batches = 8, .mine = trainer.my_micro_batches()});
  trainer.step(*loader.next(), 0.05);
  const Variable x(Tensor::zeros({1, 8, 8, 3}));
  CHECK_THROWS_WITH_AS(net->forward(x, {}), doctest::Contains("outside of a training step; call make_whole() first"), Error);
  trainer.exchange().make_whole();
  CHECK(net->forward(x, {}).shape() == Shape{1, 4});
}
