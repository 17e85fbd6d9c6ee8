// How layers divide where they are split: the part of their time that half a layer takes, and what must travel.
//
//     whole          column          row                 half an image
//     conv 64->64    conv 64->32     conv 32->64         conv 64->64
//     relu, pool     relu, pool      bias, relu, pool    relu, pool          t(half): measured on one rank, without a message
//
//     share = 2 (1 - t(half) / t(whole)),  within 0 and 1: 1 if half the layer takes half the time, 0 if it takes as long as the whole
#pragma once

#include "nn/layers.hpp"
#include "parallel/cost_profile.hpp"
#include "parallel/mpi/communicator.hpp"

namespace tandem {

// Fills in what `profile.layers`, an outline of `model`, says of tensor and spatial axes. All ranks measure at once, `rows` rows; medians of the
// repetitions, means over the ranks. The model and its values stay as they are. Collective.
void profile_splits(ModelProfile& profile, Sequential& model, const Shape& sample, std::int64_t rows, int repetitions, const Communicator& world);

}  // namespace tandem
