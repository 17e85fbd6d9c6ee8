// From a serial model to this rank's part of it on a grid. Models are written once, for one process; this is where they are taken apart.
//
//     serial:      conv1 conv2 conv3 hidden head
//     1. spatial   layers that look beyond a pixel are exchanged for ones that work on a band of the image
//     2. pipeline  the row is cut into stages of nearly equal measured time:   conv1 conv2 | conv3 hidden head
//     3. tensor    layers are exchanged for ones that are split over the group
//
// Parameters keep their names. With a spatial axis every rank is given whole images and takes its band of rows first. With a spatial and a
// tensor axis, convolutions are split by space only (the ranks of a tensor group compute the same), and the linear layers behind them by
// the tensor group; so the first is for large images, the second for wide layers.
#pragma once

#include "nn/data.hpp"
#include "nn/layers.hpp"
#include "parallel/grid.hpp"
#include "parallel/pipeline/schedule.hpp"

namespace tandem {

// `sample`: the shape of one input without the batch axis; `rows`: of a typical micro-batch, for measuring the layers; `schedule`: of the
// pipeline axis, which says how many stages there are and where; `layers`: of each stage, whole children of the model; if empty, the times decide, and they may
// also cut through a block. Takes `serial`
// apart unless the grid is data-parallel only; then the result is `serial` itself. `grid` must outlive the part. Collective.
// UsageError if the model has fewer layers than the pipeline has stages. Error if a layer cannot be split so.
std::shared_ptr<Module> place_on_grid(std::shared_ptr<Sequential> serial, const Shape& sample, Index rows, const ProcessGrid& grid,
                                      const ScheduleChoice& schedule = {}, const std::vector<Range>& layers = {});

}  // namespace tandem
