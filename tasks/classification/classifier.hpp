// A trained model together with what is needed to use it: the classes it names, the images it expects, how to normalise them.
// One safetensors file holds all of it.
#pragma once

#include <filesystem>
#include <memory>

#include "nn/checkpoint.hpp"
#include "nn/models.hpp"
#include "tasks/classification/settings.hpp"
#include "tasks/imagery/split.hpp"

namespace tandem {

struct Classifier {
  TrainingSettings settings;
  std::vector<std::string> classes;
  Shape image;                    // [height,width,channels]
  ChannelStatistics statistics;   // of the training part
  std::string data;               // where it learned
  std::shared_ptr<Sequential> model = {};

  // Builds the model that `settings` names, with initial weights.
  void build();

  void save(const std::filesystem::path& path, const Optimizer& optimizer) const;
};

// What a checkpoint says of itself, with the model built and its weights loaded. Errors: as load_checkpoint.
Classifier load_classifier(const std::filesystem::path& path);

}  // namespace tandem
