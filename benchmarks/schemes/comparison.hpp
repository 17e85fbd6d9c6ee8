// What `compare` finds out, as values: written as table, JSON, CSV and page by others.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "benchmarks/schemes/training.hpp"

namespace tandem {

inline constexpr int hash_steps = 3;  // from the starting weights, before anything is timed

// One scheme: what was measured, what was predicted.
struct SchemeRow {
  Scheme scheme;
  std::string name;
  int ranks = 1;
  std::vector<double> step_seconds;   // by round
  double alone_share = 0;             // of the images/s that as many ranks reach that train each for itself
  Traffic traffic;                    // of a step
  SchemeMemory memory;
  Prediction predicted;
  Timeline measured;                  // of one step
  std::string hash;                   // of the weights after the first `hash_steps`
  bool same_bits = false;             // whether it promises those of the serial run
  double seconds_to_loss = 0;         // 0: not asked for, or not reached
  std::int64_t steps_to_loss = 0;

  double step() const { return median(step_seconds); }
  double images_per_second(std::int64_t batch) const { return static_cast<double>(batch) / step(); }
};

struct ScalingPoint {
  std::string kind;   // data or pipeline
  int ranks = 1;
  bool weak = false;  // whether the batch grows with the ranks
  double images_per_second = 0;
};

struct Comparison {
  std::string model, machine;
  std::int64_t batch = 0;
  int ranks = 1, threads = 1, rounds = 0;
  Scheme defaults;                     // of what a scheme's name leaves out
  std::vector<SchemeRow> rows;
  std::vector<ScalingPoint> scaling;
  double images_alone = 0;             // images/s of one rank that trains for itself while all others do so too
  double loss = 0;                     // the loss to reach, or 0

  double serial_seconds() const;       // of the serial row; NaN if there is none
};

std::string table_of(const Comparison& comparison);
nlohmann::json json_of(const Comparison& comparison);
std::string csv_of(const Comparison& comparison);

}  // namespace tandem
