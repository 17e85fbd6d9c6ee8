#include "parallel/outline.hpp"

#include <algorithm>
#include <numeric>

#include "core/memory.hpp"
#include "core/profile.hpp"

namespace tandem {
namespace {

// What a layer exchanges if images are split by rows: halos of its convolutions, and the whole image where it ends.
void outline_split(LayerProfile& layer, Module& child, const Shape& input) {
  if (dynamic_cast<Flatten*>(&child) || dynamic_cast<GlobalAveragePool*>(&child)) {
    layer.spatial_gathered = dynamic_cast<Flatten*>(&child) ? count_of(input.size() / input[0]) : layer.output_values;
    return;
  }
  layer.spatial_share = 1;
  for (const Module* module : child.modules())
    if (const auto* conv = dynamic_cast<const Conv2d*>(module)) layer.halo_values += count_of((conv->options().kernel - 1) * input[2] * conv->in());
}

void drop_statistics(Sequential& model) {
  for (Module* module : model.modules()) {
    std::vector<real> dropped(count_of(module->statistics_size()));
    module->take_statistics(dropped);
  }
}

}  // namespace

ModelProfile outline(std::string name, Sequential& model, const Shape& sample) {
  ModelProfile profile{.name = std::move(name), .value_bytes = sizeof(real), .sample_values = count_of(sample.size()), .loss = {.name = "loss"}};
  const NoGradient no_gradient;
  Variable x(Tensor::zeros(batch_shape(1, sample)));
  bool images = sample.rank() == 3;
  for (const auto& child : model.children()) {
    const Shape input = x.shape();
    x = child->forward(x, {});
    LayerProfile layer{.name = child->path(), .output_values = count_of(x.value().size())};
    for (const Parameter& p : child->parameters()) layer.parameters.push_back(count_of(p.variable.value().size()));
    for (const Module* module : child->modules()) layer.statistics += count_of(module->statistics_size());
    if (images) outline_split(layer, *child, input);
    images = images && layer.spatial_gathered == 0;
    profile.layers.push_back(std::move(layer));
  }
  return profile;
}

ModelProfile described_model(std::string name, Sequential& model, const Shape& sample, const CoreSpeed& core) {
  ModelProfile profile = outline(std::move(name), model, sample);
  constexpr Index rows = 2;
  constexpr Seconds call = 2e-6;  // of a layer, however small
  std::vector<std::int64_t> samples(rows);
  std::iota(samples.begin(), samples.end(), std::int64_t{0});
  Tensor x = Tensor::full(batch_shape(rows, sample), real(0.5));
  bool trained_before = false;
  for (std::size_t i = 0; i < model.size(); ++i) {
    LayerProfile& layer = profile.layers[i];
    const std::size_t before = memory_use().live;
    Profile books;
    Variable y;
    {
      const Profiling profiling(&books);
      y = model.children()[i]->forward(Variable(x, true), {.training = true, .samples = samples});
    }
    const double kept = static_cast<double>(memory_use().live - std::min(before, memory_use().live)) / rows;
    Cost cost;
    for (const ProfileRow& row : books.rows()) cost += row.forward;
    const Seconds each = std::max(cost.operations / core.operations, cost.bytes / core.bytes) / rows;
    const bool trained = layer.parameter_count() > 0;
    for (const double n : {1.0, 1024.0})
      layer.points.push_back({.rows = n, .forward = call + n * each, .backward_input = trained_before ? call + n * each : 0,
                              .backward_weight = trained ? call + n * each : 0, .activation_bytes = n * kept, .work_bytes = n * kept});
    const double bytes = static_cast<double>(layer.parameter_count() * sizeof(real));
    layer.accumulate = 3 * bytes / core.bytes;  // read two, write one
    layer.update = 5 * bytes / core.bytes;      // read gradient, momentum and parameter, write the last two
    trained_before = trained_before || trained;
    x = y.value();
  }
  profile.loss.points = {{.rows = 1, .forward = call, .backward_input = call}};
  drop_statistics(model);
  return profile;
}

}  // namespace tandem
