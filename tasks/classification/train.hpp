// Training a classifier from the first step to the last, and what there is to tell afterwards.
#pragma once

#include <functional>

#include "core/profile.hpp"
#include "nn/lr_schedule.hpp"
#include "parallel/trainer.hpp"
#include "tasks/classification/classifier.hpp"
#include "tasks/classification/labelled_data.hpp"
#include "tasks/classification/score.hpp"
#include "tasks/report/memory_report.hpp"
#include "tasks/report/training_report.hpp"

namespace tandem {

struct RunOptions {
  std::string checkpoint = {};       // written after each epoch; empty: never
  bool resume = false;               // go on from the checkpoint
  std::int64_t stop_after = 0;       // leave after so many epochs of this start, to be resumed later; 0: run to the end
  std::string grid = {};             // as grid_shape() takes it; empty: all ranks data-parallel
  std::string schedule = {};         // of the pipeline axis, as schedule_choice() takes it; empty: 1f1b, or naive where sharding of stage 3 wants it
  int chunks = 2;                    // stages a rank, of the interleaved schedule
  bool recompute = false;            // activations again in the backward, instead of keeping them
  int shard = 0;                     // stage of data/exchange.hpp: what the replicas share out
  std::int64_t check_replicas = 0;   // compare the replicas' parameters every so many steps; 0: never
  GradientBuckets::Options buckets = {};
  std::function<void(const EpochRow& row)> on_epoch = {};
  Profile* profile = nullptr;        // of the steps after the first two, in which the memory pool fills
};

struct TrainingResult {
  Classifier classifier;
  std::vector<EpochRow> epochs;      // of this start
  Score test;
  std::vector<RankRow> ranks;        // on rank 0
  double seconds = 0;                // training with validation, without reading data and testing
  double images_per_second = 0;      // training alone, over all ranks
  std::string grid, allreduce;
  int shard = 0;
  bool same_bits_as_serial = false;
  std::int64_t profiled_steps = 0;
  StepMemory memory;                 // of this rank, in the steps of the first epoch after the first two
};

// The learning rate of each of `steps` steps.
RateSchedule learning_rates(const TrainingSettings& settings, std::int64_t steps);

// Collective; the same result on every rank but for `ranks`. Errors are the same on every rank.
TrainingResult train(const LabelledData& data, const TrainingSettings& settings, const RunOptions& run, const Communicator& world);

}  // namespace tandem
