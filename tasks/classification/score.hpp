// Scoring a model: each data-parallel rank takes a contiguous part of the samples, and the counts are added.
#pragma once

#include "nn/data.hpp"
#include "nn/metrics.hpp"
#include "nn/module.hpp"
#include "parallel/grid.hpp"

namespace tandem {

struct Score {
  ConfusionMatrix confusion;
  double loss = 0;  // mean cross-entropy per sample, without smoothing
};

// Over all of `data`, in evaluation mode, on all ranks of the grid; the same result on each. `model`: this rank's part.
Score score(Module& model, const Dataset& data, const ProcessGrid& grid);

// Class probabilities [samples.size(), classes] of some samples, on this rank alone.
Tensor probabilities(Module& model, const Dataset& data, std::span<const std::int64_t> samples);
// The same for network input [n,h,w,c].
Tensor probabilities(Module& model, const Tensor& x);

}  // namespace tandem
