#include "nn/checkpoint.hpp"

#include "nn/safetensors.hpp"

namespace tandem {
namespace {

constexpr std::string_view kind = "tandem checkpoint 1";

// Every tensor of a checkpoint with its name in the file.
std::vector<Buffer> named_tensors(const Module& model, const Optimizer* optimizer) {
  std::vector<Buffer> all;
  for (const Parameter& p : model.parameters()) all.push_back({"model." + p.name, p.variable.value()});
  for (const Buffer& b : model.buffers()) all.push_back({"buffer." + b.name, b.values});
  if (optimizer)
    for (const Buffer& b : optimizer->state()) all.push_back({"optimizer." + b.name, b.values});
  return all;
}

TensorArchive read_checkpoint(const std::filesystem::path& path) {
  TensorArchive archive = read_safetensors(path);
  require(archive.metadata.contains("kind") && archive.metadata.at("kind") == kind, "{}: a safetensors file, but not a checkpoint of Tandem",
          path.string());
  return archive;
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const Module& model, const Optimizer* optimizer, Metadata metadata) {
  TensorArchive archive;
  for (Buffer& b : named_tensors(model, optimizer)) archive.tensors.emplace(std::move(b.name), std::move(b.values));
  archive.metadata = std::move(metadata);
  archive.metadata["kind"] = kind;
  archive.metadata["step"] = std::to_string(optimizer ? optimizer->steps() : 0);
  write_safetensors(path, archive);
}

Metadata checkpoint_metadata(const std::filesystem::path& path) { return read_checkpoint(path).metadata; }

void load_checkpoint(const std::filesystem::path& path, Module& model, Optimizer* optimizer) {
  TensorArchive archive = read_checkpoint(path);
  std::vector<Buffer> wanted = named_tensors(model, optimizer);

  // Check everything before changing anything.
  for (const Buffer& b : wanted) {
    const auto found = archive.tensors.find(b.name);
    require(found != archive.tensors.end(), "{}: holds no '{}'; it is a checkpoint of another model or optimiser", path.string(), b.name);
    require(found->second.shape() == b.values.shape(), "{}: '{}' is {}, the model wants {}", path.string(), b.name,
            found->second.shape(), b.values.shape());
  }
  for (const auto& [name, values] : archive.tensors)
    require((!optimizer && name.starts_with("optimizer.")) || std::ranges::count(wanted, name, &Buffer::name),
            "{}: holds '{}'; it is a checkpoint of another model or optimiser", path.string(), name);
  const std::string& step = archive.metadata["step"];
  require(!step.empty() && step.size() < 19 && step.find_first_not_of("0123456789") == std::string::npos, "{}: step '{}' is no number",
          path.string(), step);

  for (Buffer& b : wanted) b.values.copy_from(archive.tensors.at(b.name));
  if (optimizer) optimizer->set_steps(std::stoll(step));
}

}  // namespace tandem
