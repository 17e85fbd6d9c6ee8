// From a serial model to this rank's part of it on a grid. Models are written once, for one process; this is where they are taken apart.
//
//     serial:  conv1 conv2 conv3 hidden head
//     1. pipeline: cut into stages of nearly equal measured time           conv1 conv2 | conv3 hidden head
//     2. spatial, tensor: layers are exchanged for split ones, which keep their names
//
// With a spatial axis every rank is given whole images and takes its band of them first.
#pragma once

#include "nn/layers.hpp"
#include "parallel/grid.hpp"

namespace tandem {

// `sample`: the shape of one input without the batch axis; `rows`: of a typical micro-batch, for measuring the layers. Takes `serial`
// apart unless the grid is data-parallel only; then the result is `serial` itself. `grid` must outlive the part. Collective.
// UsageError if the model has fewer layers than the pipeline has stages. Error if a layer cannot be split so.
std::shared_ptr<Module> place_on_grid(std::shared_ptr<Sequential> serial, const Shape& sample, Index rows, const ProcessGrid& grid);

}  // namespace tandem
