// The training loop's body: one optimiser step over one global batch, on any number of ranks.
//
//   my micro-batches, in the order      forward, backward; each gradient joins its parameter's fixed tree (pairwise_sum.hpp)
//   of a schedule (pipeline/):
//   during the last one's backward:     a parameter's sum is complete, its bucket's sum over ranks starts (data/exchange.hpp)
//   then:                               wait; update with the sum, divided once by the sum of weights and clipped on the way
//
// Serial training is the same code on the 1 x 1 x 1 x 1 grid, with the schedule of one stage: there is no second loop that could drift apart.
// On other grids (grid.hpp) the model is this rank's part of a whole: stages (pipeline/stage.hpp), or layers that are split (tensor/, spatial/).
//
// The gradient is   g = (sum over ranks and samples of grad loss_i) / (sum over ranks and samples of weight_i),
// never a mean of means, so that uneven shards, ignored labels and class weights count right. Loss, weights and the statistics of
// batch normalisation travel in the same reduction as the gradients.
//
// Same bits: for given M, batch size and seed, the weights after any number of steps are equal on 1, 2, 4, ... data-parallel ranks
// (powers of two that divide M), with the layers on any number of ranks, and on any number of threads. Not so where several stages share a
// weight, or a schedule from a file takes micro-batches backward out of order: then sums have another order.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "nn/data.hpp"
#include "nn/optimizer.hpp"
#include "parallel/data/gradient_buckets.hpp"
#include "parallel/grid.hpp"
#include "parallel/pairwise_sum.hpp"
#include "parallel/pipeline/executor.hpp"
#include "parallel/pipeline/stage.hpp"

namespace tandem {

// What a loss says of one micro-batch: the sum over its samples, what to divide by, and how many were right.
struct LossPart {
  Variable sum;
  real weight = 0;
  real correct = 0;
};
using Loss = std::function<LossPart(const Variable& output, std::span<const std::int32_t> labels)>;

// Cross-entropy with label smoothing on logits [n,k].
Loss classification_loss(real smoothing = 0);

struct StepResult {
  double loss = 0, weight = 0, correct = 0;  // sums over the global batch; loss / weight is the mean
  double gradient_norm = 0;                  // before clipping; 0 when clipping is off
};

// How the replicas of this model share the work of an update: stage 0 to 3 of data/exchange.hpp. Collective.
// UsageError for another stage, or for an allreduce algorithm that a stage above 0 does not ask for.
std::unique_ptr<GradientExchange> make_exchange(Module& model, const ProcessGrid& grid, int stage, GradientBuckets::Options options = {});

class Trainer {
 public:
  struct Options {
    std::int64_t micro_batches = 8;             // M
    std::uint64_t seed = 1;
    double clip = 0;                            // largest global gradient norm; 0: no clipping
    bool recompute = false;                     // activations again in the backward, instead of keeping them (pipeline/executor.hpp)
    std::int64_t check_replicas = 0;            // compare the replicas' parameters every so many steps (data/replicas.hpp); 0: never
    GradientBuckets::Options buckets = {};      // where the trainer makes the exchange itself
  };

  // `model`: this rank's part. All must outlive the trainer. Copies the first replica's parameters and buffers to the others. Collective.
  // UsageError if there are more data-parallel ranks than micro-batches: some rank would never have work; or if the schedule has two
  // micro-batches under way, or recomputes, where the exchange wants one pass at a time (stage 3).
  // `exchange`: from make_exchange(), and `optimizer` made from what it has this rank own. Without one, stage 0.
  Trainer(Module& model, Optimizer& optimizer, Loss loss, const ProcessGrid& grid, std::unique_ptr<GradientExchange> exchange, Options options);
  Trainer(Module& model, Optimizer& optimizer, Loss loss, const ProcessGrid& grid, Options options)
      : Trainer(model, optimizer, std::move(loss), grid, make_exchange(model, grid, 0, options.buckets), options) {}

  Range my_micro_batches() const { return mine_; }   // what the Loader should give this rank
  bool same_bits_as_serial() const;                  // whether the promise above covers this grid and algorithm

  // One step on this rank's share of a batch. Throws the same Error on every rank when the loss is not finite.
  StepResult step(const Batch& batch, double learning_rate);

  // Seconds in which this rank waited for others' gradients: communication that overlap did not hide.
  double waited() const { return exchange_->waited(); }
  GradientExchange& exchange() { return *exchange_; }
  const GradientExchange& exchange() const { return *exchange_; }

 private:
  class StepPass;

  void make_pipeline();
  void share_tied_values();
  double global_gradient_norm(double scale) const;
  std::size_t stage_of(int index) const;             // its place among pipeline_.stages

  // Where the sums of squares of a parameter's blocks stand among those of the whole model.
  struct Blocks {
    std::size_t begin = 0, count = 0;
  };

  Module& model_;
  Optimizer& optimizer_;
  Loss loss_;
  const ProcessGrid& grid_;
  Options options_;
  Range mine_;
  std::vector<Parameter> parameters_;
  std::vector<Module*> with_statistics_;
  std::unordered_map<Variable, std::size_t> slot_of_;
  std::unique_ptr<GradientExchange> exchange_;
  std::map<std::string, Blocks> blocks_of_;          // by name, of the whole model
  std::size_t blocks_ = 0;                           // all of them
  Pipeline pipeline_;
  std::vector<Action> program_;                      // of this rank, for one step
  std::vector<std::vector<std::size_t>> slots_of_;   // by this rank's stages: their parameters
  std::vector<PipelineStages::Tie> ties_;            // of the whole model
  bool in_order_ = true;                             // whether each stage's gradients come in the order of micro-batches
};

}  // namespace tandem
