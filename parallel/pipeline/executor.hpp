// Runs one rank's program of a schedule: the one place where micro-batches go through stages, in whatever order.
//
//     program of rank 0     0F0 0SEND_F0 0F1 0SEND_F1 0RECV_B0 0B0 0RECV_B1 0B1 0REDUCE_GRAD
//
//     F     x --> layers --> y        keeps y's graph until the backward; with recomputation keeps x alone
//     B     dx <-- layers <-- dy      hands out the gradients of weights as they come
//     I     dx alone                  the weights' part of the work is kept (DeferredGradients)
//     W     the part that was kept
//     SEND  begins a message and goes on; its memory is given back when it has left
//     RECV  waits for one, and lets other work (sums of gradients over replicas) move on meanwhile
//
// A stage that needs another stage of the same rank takes its value from memory: no message. Training on one rank is the schedule of one stage.
//
// Recomputation (activation checkpointing): F keeps its input and forgets the rest; the backward does F again, with the same Context, so the same
// random numbers, hence the same bits. It costs one more forward; a stage then holds the activations of one micro-batch instead of all live ones.
// Statistics of batch normalisation are taken at the first forward and dropped at the second. Source: Chen et al., "Training Deep Nets with
// Sublinear Memory Cost", arXiv:1604.06174, 2016.
#pragma once

#include <functional>
#include <vector>

#include "nn/module.hpp"
#include "parallel/mpi/communicator.hpp"
#include "parallel/pipeline/schedule.hpp"

namespace tandem {

// A stage that this rank runs.
struct Stage {
  int index = 0;                                                            // among all stages
  std::function<Variable(const Variable& x, const Context& context)> run;   // its layers, as one
  std::function<Shape(Index rows)> input;                                   // of what arrives
  std::vector<Module*> modules = {};                                        // in it, all of them
};

// The owner of a pass: what goes in, what is to be done with what comes out. `micro` counts this pipeline's micro-batches.
class Pass {
 public:
  virtual ~Pass() = default;
  virtual Index rows(int micro) const = 0;            // 0: an empty micro-batch, nothing is computed or sent for it
  virtual Tensor input(int micro) = 0;                // of the first stage
  virtual Context context(int micro) const = 0;
  virtual Variable loss(int micro, const Variable& output, bool again) = 0;   // of the last stage: one value. `again`: in a recomputation
  virtual void forward_done(const Stage& stage, int micro) = 0;               // not in a recomputation
  virtual void leaf_ready(const Stage& stage, const Variable& leaf) = 0;      // its gradient of this micro-batch is complete
  virtual void gradients_done(const Stage& stage, int micro) = 0;             // all of this micro-batch, also of an empty one
  virtual void progress() = 0;                                                // while this rank waits
};

struct Pipeline {
  std::vector<Stage> stages;              // of this rank
  std::vector<int> ranks_of_stages;       // of all
  const Communicator& comm;
  bool recompute = false;
  int rank_of(int stage) const { return ranks_of_stages.at(static_cast<std::size_t>(stage)); }
};

// `program`: this rank's, with transfers (transfers.hpp), of a schedule for `micros` micro-batches. Collective over the pipeline's ranks.
// Returns the most micro-batches that were live at once, as live_micro_batches() counts them.
int execute(const std::vector<Action>& program, int micros, const Pipeline& pipeline, Pass& pass);

}  // namespace tandem
