// Scoring a model: each rank takes a contiguous part of the samples, and the counts are added.
#pragma once

#include "nn/data.hpp"
#include "nn/metrics.hpp"
#include "nn/module.hpp"
#include "parallel/mpi/communicator.hpp"

namespace tandem {

struct Score {
  ConfusionMatrix confusion;
  double loss = 0;  // mean cross-entropy per sample, without smoothing
};

// Over all of `data`, in evaluation mode, on all ranks of `comm`; the same result on each.
Score score(Module& model, const Dataset& data, const Communicator& comm);

// Class probabilities [samples.size(), classes] of some samples, on this rank alone.
Tensor probabilities(Module& model, const Dataset& data, std::span<const std::int64_t> samples);
// The same for network input [n,h,w,c].
Tensor probabilities(Module& model, const Tensor& x);

}  // namespace tandem
