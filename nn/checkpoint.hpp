// Checkpoints: everything a run needs to go on as if it had never stopped, in one safetensors file.
//
//   model.NAME                 parameters                 "step"        optimiser steps done = position in the order of samples
//   buffer.NAME                running statistics         ...           whatever the program adds: seed, M, model, classes
//   optimizer.NAME             moments                    (metadata: names to strings)
//
// The order of samples, augmentation and dropout are functions of (seed, step), so no generator state needs saving.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "nn/optimizer.hpp"

namespace tandem {

using Metadata = std::map<std::string, std::string>;

// Written whole or not at all. `optimizer` may be null: then the file serves for evaluation only.
void save_checkpoint(const std::filesystem::path& path, const Module& model, const Optimizer* optimizer, Metadata metadata);

// What the program wrote beside the tensors. Errors: not a checkpoint, cut off, damaged.
Metadata checkpoint_metadata(const std::filesystem::path& path);

// Puts the saved values in place and sets the optimiser's step. `optimizer` may be null.
// Errors name the file and the first parameter that is missing, superfluous or of another shape.
void load_checkpoint(const std::filesystem::path& path, Module& model, Optimizer* optimizer);

}  // namespace tandem
