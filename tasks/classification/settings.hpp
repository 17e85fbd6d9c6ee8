// What a training run depends on. All of it is kept in the checkpoint, so that a resumed run is the same run.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace CLI {
class App;  // CLI11 is large: only files that declare options read it
}

namespace tandem {

struct TrainingSettings {
  std::string model = "resnet";
  std::int64_t epochs = 16;
  std::int64_t batch = 64;
  std::int64_t micro_batches = 8;
  std::string optimizer = "sgd";
  std::string schedule = "one-cycle";
  double learning_rate = 0;       // the peak; 0: what suits the model and the optimiser
  std::int64_t warm_up = 0;       // steps of linear warm-up before a schedule other than one-cycle
  double weight_decay = 5e-4;
  double smoothing = 0.1;
  double clip = 0;
  bool augment = true;
  std::int64_t shift = 4;
  double brightness = 0.1;
  std::uint64_t seed = 1;

  bool operator==(const TrainingSettings&) const = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TrainingSettings, model, epochs, batch, micro_batches, optimizer, schedule, learning_rate, warm_up,
                                   weight_decay, smoothing, clip, augment, shift, brightness, seed)

// Batch normalisation stands a rate at which the other models diverge within a few steps.
inline double peak_learning_rate(const TrainingSettings& s) {
  if (s.learning_rate > 0) return s.learning_rate;
  if (s.optimizer != "sgd") return 0.002;
  return s.model == "resnet" ? 0.15 : 0.02;
}

// Adds an option for each setting; what the user does not give keeps the value it has.
void add_options(CLI::App& app, TrainingSettings& s);

}  // namespace tandem
