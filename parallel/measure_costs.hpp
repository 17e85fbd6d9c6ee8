// Measures what predictions are made from (cost_profile.hpp): links and layers, each by itself, never a scheme.
//
//     forward     [layer 0] [layer 1] [layer 2] [loss]        every rank runs all layers, all at the same time, and takes the time of each;
//     backward    [layer 0] [layer 1] [layer 2] [loss]        in the order of training, so that each finds in the caches what it will find then
//
// Backward runs twice: as a whole (B), and cut into the gradients of inputs (I), all layers, then of weights. backward_weight is B - I. Medians of
// the repetitions, means over the ranks. It leaves no gradients or statistics behind.
#pragma once

#include "nn/layers.hpp"
#include "parallel/cost_profile.hpp"
#include "parallel/mpi/communicator.hpp"
#include "parallel/trainer.hpp"

namespace tandem {

// Links between ranks of a node and between nodes, and memory that ranks share. What a job of this shape cannot measure has the time of a typical
// machine and is named in `assumed`. `slowdown` is left at 1: profile_model() knows. Collective; the same on every rank.
MachineProfile profile_machine(const Communicator& world);

struct ModelMeasurement {
  std::vector<std::int64_t> rows{1, 2, 4, 8, 16, 32};  // of micro-batches
  int repetitions = 5;
  std::string optimizer = "sgd";
};

// `model`: serial, its layers are its children. `slowdown`: set to the time of a pass with all ranks busy over that of rank 0 alone, at least 1. Its
// parameters are updated with the rate 0 and so keep their values. Collective; the same on every rank.
ModelProfile profile_model(std::string name, Sequential& model, const Shape& sample, const Loss& loss, const ModelMeasurement& how, const Communicator& world,
                           double& slowdown);

}  // namespace tandem
