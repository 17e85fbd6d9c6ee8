// Layer split: a model whose layers lie on several ranks, one contiguous stage each.
//
//     rank 0: [ conv1 conv2 ] --> rank 1: [ conv3 conv4 ] --> rank 2: [ hidden head ] --> logits
//
// A stage is a Module like any other. Its forward() receives what the stage before sends (the first stage takes x), runs its layers,
// and sends the result on (the last stage returns it). What forward() returns is where backward() begins: the last stage's loss, or the
// 0 that send() gives. So the training loop does not know on how many ranks the layers lie.
#pragma once

#include "nn/layers.hpp"
#include "parallel/mpi/communicator.hpp"
#include "parallel/pipeline/partition.hpp"

namespace tandem {

// Seconds of forward and backward of each layer of `model` on a batch of this shape: the least of `repetitions`, on the slowest rank. Every
// rank runs all layers, at the same time, as in training. The same on every rank. Collective. It leaves no gradients or statistics behind.
std::vector<double> layer_seconds(Sequential& model, const Shape& batch, const Communicator& comm, int repetitions = 3);

class PipelineStage final : public Module {
 public:
  // Takes the layers of stage comm.rank() out of `model`, which is left without layers; the parameters keep their names. `sample`: the
  // shape of one input without the batch axis. `stages`: the layers of each stage, one for each rank of `comm`, which must outlive this.
  // Errors: stages that do not cover all layers in order.
  PipelineStage(Sequential& model, const Shape& sample, const std::vector<Range>& stages, const Communicator& comm);

  Variable forward(const Variable& x, const Context& context) override;

  const Shape& boundary() const { return received_; }  // shape of what one sample is when it arrives here, without the batch axis

 private:
  const Communicator& comm_;
  Shape received_;
};

}  // namespace tandem
