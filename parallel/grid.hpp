// The process grid: every rank has one place on four axes, and for each axis there is a communicator of the ranks that differ in it
// alone.
//
//   12 ranks as {.data = 2, .pipeline = 3, .tensor = 2}; a number is a rank of the world
//
//                   pipeline 0      pipeline 1      pipeline 2          tensor:    splits one layer; talks most, so neighbours
//     data 0       | 0 1 |    ->   | 4 5 |    ->   | 8  9 |             spatial:   splits one image
//     data 1       | 2 3 |    ->   | 6 7 |    ->   | 10 11|             data:      splits the batch
//                   ^ tensor 0 and 1                                    pipeline:  splits the layers; talks least
//
//     grid.data() of rank 5: {5, 7}      grid.pipeline(): {1, 5, 9}      grid.tensor(): {4, 5}
//
// rank = ((pipeline * D + data) * S + spatial) * T + tensor. Serial is the 1 x 1 x 1 x 1 grid.
#pragma once

#include "parallel/grid_shape.hpp"
#include "parallel/mpi/communicator.hpp"

namespace tandem {

class ProcessGrid {
 public:
  // Collective. UsageError if the shape's product is not world.size(). `world` must outlive the grid.
  ProcessGrid(const Communicator& world, GridShape shape);
  explicit ProcessGrid(const Communicator& world) : ProcessGrid(world, {.data = world.size()}) {}

  const GridShape& shape() const { return shape_; }
  const GridShape& place() const { return place_; }  // of this rank, each coordinate from 0

  const Communicator& world() const { return world_; }
  const Communicator& data() const { return data_; }
  const Communicator& pipeline() const { return pipeline_; }
  const Communicator& tensor() const { return tensor_; }
  const Communicator& spatial() const { return spatial_; }

  // data x spatial: the ranks that hold the same parameters and whose gradients are summed.
  const Communicator& replicas() const { return replicas_; }
  // pipeline x tensor: the ranks that together hold one copy of the model.
  const Communicator& model() const { return model_; }

  bool only_data() const { return shape_.size() == shape_.data; }

 private:
  const Communicator& world_;
  GridShape shape_, place_;
  Communicator data_, pipeline_, tensor_, spatial_, replicas_, model_;
};

}  // namespace tandem
