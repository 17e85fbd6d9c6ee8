#include "parallel/grid.hpp"

namespace tandem {
namespace {

GridShape place_of(int rank, const GridShape& shape) {
  GridShape place;
  place.tensor = rank % shape.tensor, rank /= shape.tensor;
  place.spatial = rank % shape.spatial, rank /= shape.spatial;
  place.data = rank % shape.data, place.pipeline = rank / shape.data;
  return place;
}

// The ranks that share all coordinates but those of `free`.
Communicator along(const Communicator& world, const GridShape& shape, const GridShape& place, std::initializer_list<int GridShape::*> free) {
  GridShape fixed = place;
  for (const auto axis : free) fixed.*axis = 0;
  const int colour = ((fixed.pipeline * shape.data + fixed.data) * shape.spatial + fixed.spatial) * shape.tensor + fixed.tensor;
  return world.split(colour, world.rank());
}

}  // namespace

ProcessGrid::ProcessGrid(const Communicator& world, GridShape shape)
    : world_(world),
      shape_(require_ranks(shape, world.size())),
      place_(place_of(world.rank(), shape)),
      data_(along(world, shape, place_, {&GridShape::data})),
      pipeline_(along(world, shape, place_, {&GridShape::pipeline})),
      tensor_(along(world, shape, place_, {&GridShape::tensor})),
      spatial_(along(world, shape, place_, {&GridShape::spatial})),
      replicas_(along(world, shape, place_, {&GridShape::data, &GridShape::spatial})),
      model_(along(world, shape, place_, {&GridShape::pipeline, &GridShape::tensor})) {}

}  // namespace tandem
