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

// Every tensor of a checkpoint under its name in the file, sharing its memory. `optimizer` may be null.
std::vector<Buffer> checkpoint_state(const Module& model, const Optimizer* optimizer);

// Written whole or not at all. `optimizer` may be null: then the file serves for evaluation only.
void save_checkpoint(const std::filesystem::path& path, const Module& model, const Optimizer* optimizer, Metadata metadata);

// What the program wrote beside the tensors. Errors: not a checkpoint, cut off, damaged.
Metadata checkpoint_metadata(const std::filesystem::path& path);

// Puts the saved values in place and sets the optimiser's step. `optimizer` may be null. Of a tensor that is a slice or a
// stretch, that part is taken from the file's whole.
// Errors name the file and the first parameter that is missing, superfluous (unless the model is only a part) or of another shape.
enum class Extent { whole_model, part_of_model };
void load_checkpoint(const std::filesystem::path& path, Module& model, Optimizer* optimizer, Extent extent = Extent::whole_model);

}  // namespace tandem
