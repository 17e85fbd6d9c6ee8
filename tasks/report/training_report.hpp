// The page a training run ends with: how it learned, where it errs, and what ran where and how fast.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "nn/metrics.hpp"
#include "tasks/report/html.hpp"
#include "tasks/report/plot.hpp"

namespace tandem {

// Whatever was not measured stays NaN and is left out of the page.
inline constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

struct EpochRow {
  int epoch = 0;                                                             // from 1
  double train_loss = not_measured, validation_loss = not_measured;          // mean per image
  double train_accuracy = not_measured, validation_accuracy = not_measured;  // 0..1
  double images_per_second = not_measured;                                   // training, over all ranks
  double learning_rate = not_measured;                                       // at the end of the epoch
};

// A test image and what the model says about it.
struct SampleRow {
  std::string png{};  // the bytes of a PNG file
  int truth = 0, prediction = 0;
  double confidence = not_measured;  // probability of the predicted class, 0..1
};

// One rank over the whole training. Compute, communication and data are the seconds in which the rank did nothing else.
struct RankRow {
  int rank = 0;
  std::string host{};
  int threads = 1;
  std::int64_t images = 0;  // processed in training, all epochs
  double compute_seconds = not_measured, communication_seconds = not_measured, data_seconds = not_measured;
};

struct TrainingReport {
  std::string title{};                                              // "EuroSAT, 27,000 tiles"
  std::string summary{};                                            // a sentence or two: what was learned from what
  double seconds = not_measured, images_per_second = not_measured;  // the training alone
  std::string weights_hash{};                                       // 16 hexadecimal digits
  std::vector<EpochRow> epochs{};
  std::vector<std::string> classes{};
  std::vector<std::int64_t> confusion{};  // test images, k x k row-major; row = true class, column = predicted class
  std::vector<SampleRow> samples{};
  std::vector<RankRow> ranks{};
  std::string command{};      // as typed, to run it again
  std::vector<Fact> facts{};  // whatever else should be known: model, parameters, seed, micro-batches, machine
};

// The whole page as HTML text. The test accuracy shown is the confusion matrix's. Parts without data are left out.
// Errors: a confusion matrix that is not k x k, a sample of no class; those of svg(), such as gnuplot is not installed.
std::string training_report_page(const TrainingReport& report);

// The picture of a confusion matrix: counts in the cells, none for zero, coloured by the root of their share of the row.
// The root keeps the order and makes rare mistakes visible.
HeatMap confusion_map(const ConfusionMatrix& matrix, const std::vector<std::string>& classes);

}  // namespace tandem
