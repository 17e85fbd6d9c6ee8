// Training through every schedule against the serial run, parameter by parameter.
#include <doctest/doctest.h>

#include <bit>
#include <limits>

#include "core/ops.hpp"
#include "core/threads.hpp"
#include "parallel/pipeline/simulate.hpp"
#include "tests/parallel/grid_training.hpp"
#include "tests/parallel/random_schedule.hpp"

using namespace tandem;

namespace {

// A small U-Net with a head: blocks within blocks, whose inputs go past up to three cuts.
std::shared_ptr<Sequential> skip_net(std::uint64_t seed) {
  auto lowest = std::make_shared<Sequential>();
  lowest->add_named<MaxPool>("pool", Window::square(2, 2)).add_named<Conv2d>("middle", 4, 4).add_named<Upsample>("up");
  auto inner = std::make_shared<Sequential>();
  inner->add_named<Conv2d>("conv", 8, 8).add_named<BatchNorm>("norm", 8);
  auto lower = std::make_shared<Sequential>();
  lower->add_named<MaxPool>("pool", Window::square(2, 2))
      .add_named<Conv2d>("encode", 5, 4)
      .add_named<Skip>("past", lowest)
      .add_named<Residual>("block", inner)
      .add_named<Upsample>("up");
  auto net = std::make_shared<Sequential>();
  net->add_named<Conv2d>("encode", 3, 5)
      .add_named<Skip>("past", lower)
      .add_named<Conv2d>("decode", 13, 3)
      .add_named<Flatten>("flatten")
      .add_named<Linear>("head", 192, 4);
  initialise(*net, seed);
  return net;
}

int stages_of(const ScheduleChoice& schedule, int p) { return static_cast<int>(schedule.ranks_of_stages(p).size()); }

double largest_difference_of(const State& a, const State& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (Index j = 0; j < a[i].values.size(); ++j) largest = std::max(largest, static_cast<double>(std::abs(a[i].values[j] - b[i].values[j])));
  return largest;
}

}  // namespace

TEST_CASE("pipeline: every schedule, any number of micro-batches, with and without recomputation: the bits of the serial run") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  if (p > 4 && !std::getenv("TANDEM_SOAK")) return;
  for (const auto net : {GridNet::make, skip_net})
    for (const std::int64_t micro_batches : {1, 2, 3, 8}) {
      GridRun run{.micro_batches = micro_batches, .steps = 3, .clip = 0.5, .net = net};
      if (micro_batches == 8) run.samples = 21, run.batch = 7;  // fewer samples than micro-batches: one is empty
      const State serial = trained_alone(run, world);
      run.grid = {.pipeline = p};
      for (const std::string_view name : schedule_names())
        for (const bool recompute : {false, true}) {
          run.schedule = {.name = std::string(name)};
          run.recompute = recompute;
          if (stages_of(run.schedule, p) > GridNet::steps) continue;
          CAPTURE(micro_batches);
          CAPTURE(name);
          CAPTURE(recompute);
          check_same_bits(trained_on_grid(run, world), serial, world);
        }
    }
}

TEST_CASE("pipeline: replicas of pipelines, one or two threads: the bits of the serial run") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  if (p % 2 != 0 || p > 8 || !std::has_single_bit(static_cast<unsigned>(p))) return;
  GridRun run{.clip = 0.5, .rate = 0.01, .optimizer = "adam"};
  const State serial = trained_alone(run, world);
  run.grid = {.data = p / 2, .pipeline = 2};
  for (const std::string_view name : schedule_names())
    for (const int threads : {1, 2}) {
      CAPTURE(name);
      CAPTURE(threads);
      const int before = thread_count();
      set_thread_count(threads);
      run.schedule = {.name = std::string(name)};
      run.shard = threads;  // and sharding of stage 1 and 2
      check_same_bits(trained_on_grid(run, world), serial, world);
      set_thread_count(before);
    }
}

TEST_CASE("pipeline: any legal schedule from a file runs, wherever its stages lie; in order of micro-batches it gives the bits of the serial run") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  if (p > 4) return;
  for (const auto net : {GridNet::make, skip_net}) {
    GridRun run{.micro_batches = 4, .steps = 2, .net = net};
    const State serial = trained_alone(run, world);
    run.grid = {.pipeline = p};
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      CAPTURE(seed);
      Random random(17, seed);
      const Schedule drawn = random_schedule(p, p + static_cast<int>(seed % 4), 4, random, true);
      run.schedule.given = parse_schedule(to_csv(drawn));
      run.recompute = seed % 2 == 1;
      check_same_bits(trained_on_grid(run, world), serial, world);
    }
  }
}

TEST_CASE("pipeline: a schedule that adds gradients in another order runs too, and comes as near as that allows") {
  const Communicator world = Communicator::world();
  if (world.size() != 2) return;
  GridRun run{.micro_batches = 4, .steps = 2};
  const State serial = trained_alone(run, world), other = trained_alone({.steps = 2, .seed = 2}, world);
  run.grid = {.pipeline = 2};
  run.schedule.given = parse_schedule("0F0,0F1,0F2,0F3,0B0,0B2,0B1,0B3\n1F0,1F1,1F2,1F3,1B0,1B2,1B1,1B3\n");
  const State permuted = trained_on_grid(run, world);
  if (world.rank() != 0) return;
  CHECK(largest_difference_of(permuted, serial) < 100 * std::numeric_limits<real>::epsilon());  // three additions of numbers below 1, two steps
  CHECK(largest_difference_of(permuted, serial) > 0);
  CHECK(largest_difference_of(other, serial) > 1e-2);
}

TEST_CASE("pipeline: weights that several stages use get the sum of all gradients, once, and stay equal") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  if (p > 4) return;
  for (const double clip : {0.0, 0.5}) {
    GridRun run{.steps = 4, .clip = clip, .rate = 0.001, .net = tied_net};
    const State serial = trained_alone(run, world);
    run.rate = 0;
    const State start = trained_alone(run, world);
    run.rate = 0.001;
    run.grid = {.pipeline = p};
    for (const std::string_view name : {"naive", "1f1b", "zb-h1"}) {
      CAPTURE(name);
      run.schedule = {.name = std::string(name)};
      const State split = trained_on_grid(run, world);
      if (world.rank() != 0) continue;
      // The sum over micro-batches of one use, then over uses, in place of the other order: 24 additions of numbers of the size of the step.
      CHECK(largest_difference_of(split, serial) < 24 * 4 * std::numeric_limits<real>::epsilon());
      CHECK(largest_difference_of(start, serial) > 1e-4);  // the control: what training does shows
    }
  }
}

TEST_CASE("pipeline: what cannot be is refused with the reason") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  if (p != 2) return;
  const auto refused = [&](GridRun run) {
    run.grid = {.pipeline = 2};
    return error_of([&] { trained_on_grid(run, world); });
  };
  CHECK(refused({.schedule = {.name = "2f2b"}}) == "there is no schedule '2f2b'; there are naive, gpipe, 1f1b, interleaved, zb-h1");
  CHECK(refused({.schedule = {.given = gpipe(3, 8)}}) == "the schedule is for 3 ranks, the pipeline axis has 2");
  CHECK(refused({.schedule = {.given = gpipe(2, 4)}}) == "the schedule is for 4 micro-batches, this pipeline runs 8");
  CHECK(refused({.micro_batches = 2, .schedule = {.given = parse_schedule("0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n")}})
            .starts_with("schedule: deadlock: these ranks wait for ever:\n  rank 0 stands at 0B0, which needs 1B0 of rank 1"));
  CHECK(refused({.micro_batches = 1, .schedule = {.given = parse_schedule("\n0F0,0B0\n")}}) == "the schedule gives rank 0 nothing to do");
  CHECK(refused({.shard = 3, .recompute = true}).starts_with("sharding of stage 3 counts the passes"));
  CHECK(refused({.shard = 3, .schedule = {.given = gpipe(2, 8)}}).starts_with("sharding of stage 3 brings layers together pass by pass"));
}
