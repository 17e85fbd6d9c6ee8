// What each stage of a model costs under a scheme: the inputs of a simulated step, from the layers of a profile. The formulas: predict.hpp.
#pragma once

#include "nn/data.hpp"
#include "parallel/group_cost.hpp"
#include "parallel/pipeline/simulate.hpp"
#include "parallel/scheme.hpp"

namespace tandem {

// Some layers on one rank, for one micro-batch.
struct StageModel {
  Range layers;
  StageCost computing;            // in which the core works
  StageCost passing;              // more, in which it exchanges: split layers and images, sharded parameters, gradients
  double kept = 0, input = 0;     // bytes from forward to backward; of these, what came from the stage before
  double work = 0;                // more bytes while a layer runs
  std::size_t parameters = 0;     // values on this rank
  std::size_t largest_layer = 0;  // of these
  std::size_t output_values = 0;  // of a sample, passed on to the next stage
  Traffic traffic;                // of a step, of all ranks that have this stage, within their groups
};

class SchemeModel {
 public:
  // `profile` must outlive it.
  SchemeModel(const CostProfile& profile, const Scheme& scheme, std::int64_t batch);

  StageModel stage(Range layers);
  // Of a micro-batch with `sample` values each, from pipeline rank `from` to `to` and back.
  Hop hop(int from, int to, std::size_t sample) const;

  double rows() const { return rows_; }                  // of a micro-batch
  int micro_batches() const { return micro_batches_; }   // of a replica that has most
  int replicas() const { return replicas_.ranks(); }

 private:
  // The share that is left to a rank of a layer's time and activations; of its parameters.
  double part_of(const LayerProfile& layer) const;
  double parameters_of(const LayerProfile& layer) const;

  void add_layer(StageModel& stage, const LayerProfile& layer) const;
  void add_splits(StageModel& stage, const LayerProfile& layer);
  void add_gradient_sums(StageModel& stage);

  const CostProfile& profile_;
  Scheme scheme_;
  double rows_;
  int micro_batches_;
  GroupCost replicas_, tensor_, spatial_;
};

}  // namespace tandem
