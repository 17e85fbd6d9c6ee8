#include "nn/checkpoint.hpp"

#include "nn/safetensors.hpp"

namespace tandem {
namespace {

constexpr std::string_view kind = "tandem checkpoint 1";

TensorArchive read_checkpoint(const std::filesystem::path& path) {
  TensorArchive archive = read_safetensors(path);
  require(archive.metadata.contains("kind") && archive.metadata.at("kind") == kind, "{}: a safetensors file, but not a checkpoint of Tandem",
          path.string());
  return archive;
}

}  // namespace

std::vector<Buffer> checkpoint_state(const Module& model, const Optimizer* optimizer) {
  std::vector<Buffer> all;
  for (const Parameter& p : model.parameters()) all.push_back({"model." + p.name, p.variable.value(), p.slice, p.stretch});
  for (const Buffer& b : model.buffers()) all.push_back({"buffer." + b.name, b.values, b.slice, b.stretch});
  if (optimizer)
    for (const Buffer& b : optimizer->state()) all.push_back({"optimizer." + b.name, b.values, b.slice, b.stretch});
  return all;
}

void save_checkpoint(const std::filesystem::path& path, const Module& model, const Optimizer* optimizer, Metadata metadata) {
  TensorArchive archive;
  for (Buffer& b : checkpoint_state(model, optimizer)) archive.tensors.emplace(std::move(b.name), std::move(b.values));
  archive.metadata = std::move(metadata);
  archive.metadata["kind"] = kind;
  archive.metadata["step"] = std::to_string(optimizer ? optimizer->steps() : 0);
  write_safetensors(path, archive);
}

Metadata checkpoint_metadata(const std::filesystem::path& path) { return read_checkpoint(path).metadata; }

void load_checkpoint(const std::filesystem::path& path, Module& model, Optimizer* optimizer, Extent extent) {
  TensorArchive archive = read_checkpoint(path);
  std::vector<Buffer> wanted = checkpoint_state(model, optimizer);

  // Check everything before changing anything.
  for (const Buffer& b : wanted) {
    const auto found = archive.tensors.find(b.name);
    require(found != archive.tensors.end(), "{}: holds no '{}'; it is a checkpoint of another model or optimiser", path.string(), b.name);
    const Shape shape = whole_shape(b);
    require(found->second.shape() == shape, "{}: '{}' is {}, the model wants {}", path.string(), b.name, found->second.shape(), shape);
  }
  for (const auto& [name, values] : archive.tensors)
    require(extent == Extent::part_of_model || (!optimizer && name.starts_with("optimizer.")) || std::ranges::count(wanted, name, &Buffer::name),
            "{}: holds '{}'; it is a checkpoint of another model or optimiser", path.string(), name);
  const std::string& step = archive.metadata["step"];
  require(!step.empty() && step.size() < 19 && step.find_first_not_of("0123456789") == std::string::npos, "{}: step '{}' is no number",
          path.string(), step);

  for (Buffer& b : wanted) take(b, archive.tensors.at(b.name));
  if (optimizer) optimizer->set_steps(std::stoll(step));
}

}  // namespace tandem
