// The process grid, and training on it: every scheme against the serial run, parameter by parameter.
#include "parallel/grid.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "parallel/collectives/collectives.hpp"
#include "tests/parallel/grid_training.hpp"

using namespace tandem;

namespace {

std::vector<int> ranks_of(const Communicator& part, const Communicator& world) {
  std::vector<int> ranks(static_cast<std::size_t>(world.size()), -1);
  std::vector<std::int64_t> marks(ranks.size(), 0);
  marks[static_cast<std::size_t>(world.rank())] = 1;
  sum_over_ranks(marks, part);
  std::vector<int> members;
  for (std::size_t r = 0; r < marks.size(); ++r)
    if (marks[r]) members.push_back(static_cast<int>(r));
  return members;
}

std::vector<GridShape> all_grids(int ranks) {
  std::vector<GridShape> grids;
  for (int data = 1; data <= ranks; ++data)
    for (int pipeline = 1; pipeline <= ranks; ++pipeline)
      for (int tensor = 1; tensor <= ranks; ++tensor)
        for (int spatial = 1; spatial <= ranks; ++spatial)
          if (data * pipeline * tensor * spatial == ranks) grids.push_back({data, pipeline, tensor, spatial});
  return grids;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  double largest = 0;
  for (Index i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(double{a[i]} - double{b[i]}));
  return largest;
}

void check_close(const State& state, const State& expected, const State& other, const Communicator& world) {
  if (world.rank() != 0) return;
  REQUIRE(state.size() == expected.size());
  double furthest = 0;
  for (std::size_t i = 0; i < state.size(); ++i) {
    CAPTURE(state[i].name);
    const Tensor& whole = expected[i].values;
    // The longest sum runs over the pixels of a batch, 10 * 8 * 8: as many roundings, of numbers not above the largest of the result or 1.
    const double tolerance = 640 * std::numeric_limits<real>::epsilon() * std::max(1.0, largest_difference(whole, Tensor::zeros(whole.shape())));
    CHECK(largest_difference(state[i].values, whole) <= tolerance);
    furthest = std::max(furthest, largest_difference(other[i].values, whole) / tolerance);
  }
  CHECK(furthest > 10);  // another training, which must not pass for the same
}

}  // namespace

TEST_CASE("grid: axes are named in any order, and data takes the ranks that are left") {
  CHECK(grid_shape("", 6) == GridShape{.data = 6});
  CHECK(grid_shape("tensor=2,data=3", 6) == GridShape{.data = 3, .tensor = 2});
  CHECK(grid_shape("pipeline=3", 12) == GridShape{.data = 4, .pipeline = 3});
  CHECK(grid_shape("data=2,pipeline=2,tensor=2,spatial=3", 24) == GridShape{2, 2, 2, 3});
  CHECK(to_string(GridShape{.data = 2, .spatial = 4}) == "data=2,spatial=4");
  CHECK(to_string(GridShape{}) == "serial");
}

TEST_CASE("grid: what cannot be is refused with the reason") {
  const auto refused = [](std::string_view text, int ranks) { return error_of([&] { grid_shape(text, ranks); }); };
  CHECK(refused("data=2,tensor=2", 3).find("2 x 1 x 2 x 1 (data, pipeline, tensor, spatial) are 4 ranks, but there are 3") != std::string::npos);
  CHECK(refused("tensor=2", 3).find("3 ranks are no multiple of 2; start it with -n 2") != std::string::npos);
  CHECK(refused("depth=2", 2).find("no axis 'depth'; there are data, pipeline, tensor and spatial") != std::string::npos);
  CHECK(refused("data", 2).find("data is ''; expected a number") != std::string::npos);
  CHECK(refused("data=two", 2).find("data is 'two'") != std::string::npos);
  CHECK(refused("data=0", 2).find("data is '0'") != std::string::npos);
  CHECK(refused("data=-1", 2).find("data is '-1'") != std::string::npos);
  CHECK(refused("pipeline=65536,tensor=65536", 2).find("pipeline is '65536'; expected a number of ranks from 1 to 2") != std::string::npos);
  CHECK(refused("data=99999999999", 2).find("data is '99999999999'") != std::string::npos);
  for (const char* const text : {"data=2,", ",data=2", "data=1,,tensor=2"}) CHECK(refused(text, 2).find("no axis ''") != std::string::npos);
  CHECK(refused("data=2,data=2", 4).find("data is named twice") != std::string::npos);
  const Communicator world = Communicator::world();
  CHECK_THROWS_AS(ProcessGrid(world, {.data = world.size() + 1}), UsageError);
}

TEST_CASE("grid: the communicator of an axis holds the ranks that differ in it alone") {
  const Communicator world = Communicator::world();
  const int p = world.size(), r = world.rank();
  const ProcessGrid data(world);
  CHECK(data.only_data());
  CHECK(data.data().size() == p);
  CHECK(data.pipeline().size() == 1);
  if (p == 4) {
    const ProcessGrid grid(world, {.data = 2, .tensor = 2});
    CHECK(ranks_of(grid.tensor(), world) == (r < 2 ? std::vector{0, 1} : std::vector{2, 3}));
    CHECK(ranks_of(grid.data(), world) == (r % 2 == 0 ? std::vector{0, 2} : std::vector{1, 3}));
  }
  if (p == 8) {
    const ProcessGrid grid(world, {.data = 2, .pipeline = 2, .spatial = 2});
    const int stage = r / 4 * 4;
    CHECK(ranks_of(grid.replicas(), world) == std::vector{stage, stage + 1, stage + 2, stage + 3});
    CHECK(ranks_of(grid.spatial(), world) == std::vector{r / 2 * 2, r / 2 * 2 + 1});
    CHECK(ranks_of(grid.data(), world) == std::vector{stage + r % 2, stage + 2 + r % 2});
    CHECK(ranks_of(grid.model(), world) == std::vector{r % 4, r % 4 + 4});
    CHECK(grid.place().pipeline == r / 4);
  }
}

TEST_CASE("layer split: with the layers on any number of ranks, every parameter and buffer has the bits of the serial run") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  for (int stages = 1; stages <= p; ++stages) {
    const int data = p / stages;
    if (p % stages != 0 || !std::has_single_bit(static_cast<unsigned>(data)) || stages > GridNet::steps) continue;
    CAPTURE(stages);
    for (const double clip : {0.0, 0.5}) {
      const GridRun run{.grid = {.data = data, .pipeline = stages}, .clip = clip};
      check_same_bits(trained_on_grid(run, world), trained_alone(run, world), world);
    }
  }
}

TEST_CASE("any grid: everything a checkpoint holds is that of the serial run, as near as its sums' order allows") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  // Up to four ranks these are all pairs of axes; the full product of four axes takes 16 ranks and is run apart (tests/README.md).
  if (p > 4 && !std::getenv("TANDEM_SOAK")) return;
  for (const GridShape& grid : all_grids(p)) {
    CAPTURE(to_string(grid));
    // The head has four outputs, and the images have eight rows, of which the pools leave two.
    if (grid.tensor > 4 || grid.spatial > 2 || grid.pipeline > GridNet::steps || grid.data > 8) continue;
    for (const double clip : {0.0, 0.5}) {
      const GridRun run{.grid = grid, .steps = 3, .clip = clip, .rate = 0.02};
      const State serial = trained_alone(run, world);
      // The control: what clipping does, and that it counts each slice once, shows against the run without, or with half of it.
      GridRun another = run;
      another.clip = clip == 0 ? 0.5 : 0.25;
      const State other = trained_alone(another, world);
      check_close(trained_on_grid(run, world), serial, other, world);
    }
  }
}

TEST_CASE("any grid: what data-parallel ranks share out changes no bit, whatever the other axes are") {
  const Communicator world = Communicator::world();
  if (world.size() != 4) return;
  for (const GridShape& grid : {GridShape{.data = 2, .pipeline = 2}, GridShape{.data = 2, .tensor = 2}, GridShape{.data = 2, .spatial = 2}})
    for (const char* const optimizer : {"sgd", "adam"}) {
      CAPTURE(to_string(grid));
      CAPTURE(optimizer);
      GridRun run{.grid = grid, .steps = 3, .clip = 0.5, .rate = 0.002, .optimizer = optimizer};
      const State whole = trained_on_grid(run, world);
      for (run.shard = 1; run.shard <= 3; ++run.shard) {
        CAPTURE(run.shard);
        check_same_bits(trained_on_grid(run, world), whole, world);
      }
      run.shard = 1, run.clip = 0.25;
      const State other = trained_on_grid(run, world);
      if (world.rank() == 0) CHECK_FALSE(same(other, whole));
    }
}

TEST_CASE("any grid: a spatial axis wants parts as thick as what windows look at") {
  const Communicator world = Communicator::world();
  if (world.size() != 4) return;
  CHECK_THROWS_AS(trained_on_grid({.grid = {.spatial = 4}}, world), Error);
}

TEST_CASE("layer split: negative controls: another M, and layers that start elsewhere, end elsewhere") {
  const Communicator world = Communicator::world();
  if (world.size() != 2) return;
  const GridRun run{.grid = {.pipeline = 2}};
  const auto split = trained_on_grid(run, world);
  const State other_m = trained_alone({.micro_batches = 4}, world), other_seed = trained_alone({.seed = 2}, world);
  if (world.rank() != 0) return;
  CHECK_FALSE(same(split, other_m));
  CHECK_FALSE(same(split, other_seed));
}
