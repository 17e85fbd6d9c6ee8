// Takes over a finished serial model: pairs of layers become column and row, the rest stays as it is.
//
//   cnn          conv1   conv2   conv3   conv4   conv5   conv6   flatten   hidden   head
//   becomes      column  row     column  row     column  row               column   row
//   activation  whole  split   whole  split   whole  split   whole   whole    split   whole
//
// The plan is a list, made by one walk in the order of computation; carrying it out only follows the list. The walk knows whether
// the activation is whole or split:
//
//   Conv2d, Linear                          whole: becomes column, and splits it       split: becomes row, and makes it whole
//   BatchNorm                               whole: stays                               split: becomes SplitBatchNorm
//   Relu and its like, pooling              stay: they treat each channel alone
//   Residual's ends, the model's end,       need it whole: the last layer with parameters gathers its result
//   Flatten, Dropout, any other layer
//
// So a layer without a partner becomes column with a gather. Flatten needs the whole because it interleaves pixels and channels,
// Dropout because it draws by position; a layer that the walk does not know is computed whole, by every rank alike.
#pragma once

#include <string>
#include <vector>

#include "parallel/tensor/slices.hpp"

namespace tandem {

enum class TensorRole { column, row, split_norm };

struct TensorAssignment {
  Module* parent;      // whose child number `child` is exchanged
  std::size_t child;
  TensorRole role;
  Layout result;       // of its activation; a row's is always whole
};

// Error: the model is neither Sequential, Residual nor a pipeline's stage, so the walk does not know in which order its parts compute.
std::vector<TensorAssignment> plan_tensor_parallel(Module& model);
std::string describe(const std::vector<TensorAssignment>& plan);  // "conv1 column, conv2 row, ..."; "column+": gathers

// Exchanges the layers in place. Every rank of the group must hold the same model with the same values; each keeps its part of them,
// under the same names, and of batch normalisation's running statistics. Collect parameters() for the optimiser afterwards.
// A group of one changes nothing. No message. `group` must outlive the model.
//
// Error, before anything is changed: a layer with fewer channels than ranks, by name. A class derived from Sequential or Residual must
// keep its forward().
void tensor_parallel(Module& model, const Communicator& group);

}  // namespace tandem
