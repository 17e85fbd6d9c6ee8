// Layer split: a model whose steps (cut.hpp) lie on several ranks, one or more contiguous stages each.
//
//     rank 0: [ conv1 conv2 ] --> rank 1: [ conv3 conv4 ] --> rank 2: [ hidden head ] --> logits
//
//     two stages a rank, as an interleaved schedule has them ("chunks"):
//     rank 0: [ conv1 ] --> rank 1: [ conv2 ] --> rank 0: [ conv3 conv4 ] --> rank 1: [ hidden head ]
//
// What a rank has is a Module like any other. Its forward() is the naive scheme: it receives what the stage before sends (the first stage takes
// x), runs its steps, and sends the result on. So a model is evaluated wherever its layers lie. Training goes micro-batch by micro-batch through
// a schedule (executor.hpp).
#pragma once

#include "parallel/mpi/communicator.hpp"
#include "parallel/pipeline/cut.hpp"
#include "parallel/pipeline/partition.hpp"
#include "parallel/pipeline/schedule.hpp"

namespace tandem {

// Seconds of forward and backward of each step of `model` on a batch of this shape: the least of `repetitions`, on the slowest rank. Every
// rank runs all steps, at the same time, as in training. The same on every rank. Collective. It leaves no gradients or statistics behind.
std::vector<double> step_seconds(Module& model, const Shape& batch, const Communicator& comm, int repetitions = 3);

class PipelineStages final : public Module {
 public:
  struct Chunk {
    int stage = 0;
    std::vector<Step> steps = {};
    CarriedShapes input = {};            // of one sample, as it arrives
  };

  // Takes the steps of this rank's stages out of `model`, which is left without layers; the parameters keep their names. `sample`: the shape of
  // one input without the batch axis. `stages`: the steps of each stage. Which rank has which stage is for the schedule to say. `comm` must
  // outlive this. Errors: stages that do not cover all steps in order, or of another number than the schedule has.
  PipelineStages(Sequential& model, const Shape& sample, const std::vector<Range>& stages, const Communicator& comm, ScheduleChoice schedule = {});

  // A parameter that several stages use. The stage in which it stands owns it; each other one has a copy, whose gradient belongs to the owner's.
  struct Tie {
    Variable variable;
    int owner = 0;
    std::vector<int> users = {};         // the other stages
  };
  const std::vector<Tie>& ties() const { return ties_; }                           // of the whole model, in one order on every rank

  // x: the batch on every rank. The logits where the last stage lies, else a 0.
  Variable forward(const Variable& x, const Context& context) override;

  const std::vector<Chunk>& chunks() const { return chunks_; }                     // of this rank, by stage
  Variable run(const Chunk& chunk, const Variable& message, const Context& context) const;  // forward of one
  const ScheduleChoice& schedule() const { return schedule_; }
  const std::vector<int>& ranks_of_stages() const { return rank_of_; }

 private:
  int stages() const { return static_cast<int>(rank_of_.size()); }

  const Communicator& comm_;
  ScheduleChoice schedule_;
  std::vector<int> rank_of_;
  std::vector<Chunk> chunks_;
  std::vector<Tie> ties_;
};

// What runs as one, in order: the children of a model, and of stages the layers of their steps.
std::vector<std::shared_ptr<Module>> layers_of(const Module& part);

// Whether forward() of this rank's part gives the model's output: everywhere, unless it is the stages of a pipeline.
bool gives_output(const Module& part);

}  // namespace tandem
