// The trainer on grids with a tensor axis: clipping, moments, batch statistics and checkpoints of slices.
#include "tests/parallel/grid_training.hpp"
#include "tests/parallel/tensor/support.hpp"

using namespace tandem;

namespace {

void check_close(const State& state, const State& expected, const State& other, const Communicator& world) {
  if (world.rank() != 0) return;
  REQUIRE(state.size() == expected.size());
  double furthest = 0;
  for (std::size_t i = 0; i < state.size(); ++i) {
    CAPTURE(state[i].name);
    const Tensor& whole = expected[i].values;
    // The longest sum runs over the pixels of a batch, 10 * 8 * 8.
    const double tolerance = 640 * epsilon * std::max(1.0, largest_difference(whole, Tensor::zeros(whole.shape())));
    CHECK(largest_difference(state[i].values, whole) <= tolerance);
    furthest = std::max(furthest, largest_difference(other[i].values, whole) / tolerance);
  }
  CHECK(furthest > 10);  // another training, which must not pass for the same
}

}  // namespace

TEST_CASE("tensor grid: trained with split layers, everything a checkpoint holds is that of the serial run") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  if (p > 4) return;  // the net's head has four outputs
  std::vector<GridShape> grids{{.tensor = p}};
  if (p == 4) grids.insert(grids.end(), {{.data = 2, .tensor = 2}, {.pipeline = 2, .tensor = 2}});
  for (const GridShape& grid : grids)
    for (const double clip : {0.0, 0.5}) {
      CAPTURE(to_string(grid));
      CAPTURE(clip);
      const GridRun run{.grid = grid, .clip = clip};
      // What clipping does, and that it counts each slice once, shows against the run without, or with half of it.
      const State other = trained_alone({.clip = clip == 0 ? 0.5 : 0.25}, world);
      check_close(trained_on_grid(run, world), trained_alone(run, world), other, world);
    }
}
