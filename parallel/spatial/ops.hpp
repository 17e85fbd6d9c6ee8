// Operations on images that are split over ranks. Each gives exactly the rank's part of what the operation of the same name in
// core/ops.hpp gives for the whole image, up to the order in which sums are added.
//
//   operation             looks at neighbours                  sums over the ranks
//   conv2d                halo of its window                   -
//   max/average pool      halo, none if aligned                -
//   upsample, concat      -                                    -
//   batch_norm            -                                    forward 2 c values, backward 2 c
//   global_average_pool   -                                    forward n c values, backward n c
//   whole                 -                                    forward and backward n H W c values
//
// Elementwise operations (relu, +, ...) work on the parts as they are; so does a loss by pixels, of which each rank has its pixels' part.
//
// The rule of gradients. The loss of the job is the *sum* of the ranks' losses, and every operation here is its exact adjoint on all ranks
// together. So after backward() of each rank's own loss, on all ranks,
//
//     dL/dw  =  sum over the ranks of their gradients of w          for every parameter w, wherever it stands.
//
// The loss must be counted once. A loss by pixels is: each rank adds its own. Behind global_average_pool() or whole() every rank has the same
// values; there rank 0 counts the loss and the others none of it (counted_once). They still run backward, since gradients travel.
// Tensor parallelism keeps another book: there every rank has the same loss and the same gradient of it, so its sum over the group hands
// gradients on as they are (tensor/group_ops.hpp), where ours must add them up again.
#pragma once

#include <span>
#include <vector>

#include "parallel/spatial/halo.hpp"

namespace tandem {

// A rank's part [n, my rows, my columns, c] of images, and how these are split.
struct SplitImage {
  Variable part;
  ImageSplit split;
};

// The halo, then the ordinary kernel without padding. Only x's own pixels and the halo's lines are kept for backward. The epilogue's pool is
// fused where windows of 2x2 meet no cut, else it follows as an operation.
SplitImage conv2d(const SplitImage& x, const Variable& W, const Variable& b, Window window = {}, Epilogue epilogue = {});
SplitImage max_pool(const SplitImage& x, const Window& window);
SplitImage average_pool(const SplitImage& x, const Window& window);
SplitImage upsample(const SplitImage& x, Index factor = 2);
SplitImage concat(const std::vector<SplitImage>& parts);  // of channels; equal splits, else Error

// The batch that x is a part of, for core's batch_norm: all pixels of all ranks.
SharedBatch shared_batch(const SplitImage& x);

// To values that every rank has whole.
Variable global_average_pool(const SplitImage& x);  // [n,c]
Variable whole(const SplitImage& x);                // [n,H,W,c]

// The loss on rank 0, nothing on the others.
Variable counted_once(const Variable& loss, const Communicator& comm);

}  // namespace tandem
