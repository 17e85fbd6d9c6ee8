// What a training run depends on. All of it is kept in the checkpoint, so that a resumed run is the same run.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

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
inline void add_options(CLI::App& app, TrainingSettings& s) {
  app.add_option("--model", s.model, "resnet, cnn or mlp")->capture_default_str();
  app.add_option("--epochs", s.epochs, "passes over the training images")->capture_default_str()->check(CLI::Range(1, 100000));
  app.add_option("--batch", s.batch, "images in a step, over all ranks")->capture_default_str()->check(CLI::Range(1, 1 << 20));
  app.add_option("--micro-batches", s.micro_batches, "M: parts of a batch; fixes the bits of the result")
      ->capture_default_str()->check(CLI::Range(1, 4096));
  app.add_option("--optimizer", s.optimizer, "sgd (Nesterov, momentum 0.9), adam or adamw")->capture_default_str();
  app.add_option("--schedule", s.schedule, "one-cycle, cosine, step (a tenth after each third of the run) or constant")->capture_default_str();
  app.add_option("--learning-rate", s.learning_rate, "the largest of the schedule; 0: 0.15 for resnet, 0.02 for cnn and mlp, 0.002 with Adam")
      ->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_option("--warm-up", s.warm_up, "steps in which another schedule than one-cycle rises")
      ->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_option("--weight-decay", s.weight_decay, "pull of weights towards 0")->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_option("--smoothing", s.smoothing, "label smoothing")->capture_default_str()->check(CLI::Range(0.0, 1.0));
  app.add_option("--clip", s.clip, "largest norm of the whole gradient; 0: any")->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_flag("--augment,!--no-augment", s.augment, "show flipped, turned, shifted, brighter and darker views (on unless --no-augment)");
  app.add_option("--shift", s.shift, "augmentation: up to so many pixels")->capture_default_str()->check(CLI::Range(0, 1024));
  app.add_option("--brightness", s.brightness, "augmentation: factor 1 +- this")->capture_default_str()->check(CLI::Range(0.0, 0.99));
  app.add_option("--seed", s.seed, "of the start, the split, the order and the augmentation")->capture_default_str();
}

}  // namespace tandem
