// A finished serial model, taken over so that each rank runs it on its part of every image.
//
//   auto model = resnet({1024, 1024, 3}, 10);
//   const ImageSplit split(1024, 1024, {.rows = 4}, comm, total_stride(*model));
//   const std::optional<ImageSplit> output = spatial_parallel(*model, split);
//   model->forward(split.mine(images), context);      // on every rank: logits, the same on all, since `output` is nothing
//
// Layers that look beyond a pixel are replaced by ones that know how their input is split; parameters keep their names and values:
//
//   image, split                                                              whole values, the same on every rank
//   Conv2d  BatchNorm  MaxPool  AveragePool  Upsample  Relu ...    --->       Flatten (gathers the image), GlobalAveragePool, then
//   Sequential  Residual  Skip  of these                                      anything, as it was
//
// What becomes of the loss and the gradients: ops.hpp, "The rule of gradients".
#pragma once

#include <optional>

#include "nn/layers.hpp"
#include "parallel/spatial/ops.hpp"

namespace tandem {

// Replaces the layers below `model`, which is a Sequential, Residual or Skip, for images split as `input`. Gives the split of the
// model's output, or nothing if every rank gets the whole output. Parameters and buffers get new memory: make the optimiser afterwards.
//
// Errors, on every rank alike and before anything is replaced: a layer that cannot work on split images (Linear, Dropout, an unknown one),
// a part that would become empty or thinner than a halo, images joined by Residual or Skip that are split differently.
std::optional<ImageSplit> spatial_parallel(Module& model, const ImageSplit& input);

// The largest factor by which the model shrinks its images: cuts at its multiples stay cuts between whole pixels on every layer.
Index total_stride(const Module& model);

}  // namespace tandem
