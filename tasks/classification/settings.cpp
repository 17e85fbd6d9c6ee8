#include "tasks/classification/settings.hpp"

#include <CLI/CLI.hpp>

namespace tandem {

void add_options(CLI::App& app, TrainingSettings& s) {
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
