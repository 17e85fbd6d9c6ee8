#include "parallel/stage_model.hpp"

#include <algorithm>
#include <cmath>

#include "parallel/data/buckets.hpp"

namespace tandem {
namespace {

constexpr Index loss_totals = 3;                            // loss, weight, right answers
constexpr StageCost nothing{0, 0, 0, 0, 0, 0};

std::size_t rounded(double count) { return static_cast<std::size_t>(std::llround(count)); }

}  // namespace

SchemeModel::SchemeModel(const CostProfile& profile, const Scheme& scheme, std::int64_t batch)
    : profile_(profile),
      scheme_(scheme),
      rows_(static_cast<double>(batch) / scheme.micro_batches),
      micro_batches_(scheme.micro_batches_of_a_rank()),
      replicas_(scheme.grid.data * scheme.grid.spatial, scheme.grid.tensor, profile.machine, profile.model.value_bytes),
      tensor_(scheme.grid.tensor, 1, profile.machine, profile.model.value_bytes),
      spatial_(scheme.grid.spatial, scheme.grid.tensor, profile.machine, profile.model.value_bytes) {}

double SchemeModel::parameters_of(const LayerProfile& layer) const {
  if (layer.tensor_parameters == 0) return 1;
  const double split = static_cast<double>(layer.tensor_parameters) / static_cast<double>(layer.parameter_count());
  return 1 - split + split / scheme_.grid.tensor;
}

double SchemeModel::part_of(const LayerProfile& layer) const {
  return (1 - layer.tensor_share + layer.tensor_share / scheme_.grid.tensor) * (1 - layer.spatial_share + layer.spatial_share / scheme_.grid.spatial);
}

StageModel SchemeModel::stage(Range layers) {
  const auto& all = profile_.model.layers;
  StageModel stage{.layers = layers, .computing = nothing, .passing = nothing};
  for (std::int64_t i = layers.begin; i < layers.end; ++i) {
    add_layer(stage, all[static_cast<std::size_t>(i)]);
    add_splits(stage, all[static_cast<std::size_t>(i)]);
  }
  if (layers.end == std::ssize(all)) add_layer(stage, profile_.model.loss);
  const auto behind = [&](std::int64_t layer) {
    const LayerProfile& l = all[static_cast<std::size_t>(layer)];
    return l.output_values / static_cast<std::size_t>(l.spatial_share > 0 ? scheme_.grid.spatial : 1);
  };
  stage.output_values = behind(layers.end - 1);
  if (layers.begin > 0) stage.input = rows_ * static_cast<double>(behind(layers.begin - 1) * profile_.model.value_bytes);
  stage.kept += stage.input;
  if (replicas() > 1) add_gradient_sums(stage);
  return stage;
}

void SchemeModel::add_layer(StageModel& stage, const LayerProfile& layer) const {
  const LayerPoint at = layer.at(rows_);
  const double part = part_of(layer), held = parameters_of(layer);
  stage.computing.forward += part * at.forward;
  stage.computing.backward_input += part * at.backward_input;
  stage.computing.backward_weight += part * at.backward_weight + held * layer.accumulate * (micro_batches_ - 1) / micro_batches_;
  if (scheme_.recompute) stage.computing.recompute += part * at.forward;
  stage.computing.update += held * layer.update / (scheme_.shard > 0 ? replicas() : 1);
  stage.kept += part * at.activation_bytes;
  stage.work = std::max(stage.work, part * at.work_bytes);
  const std::size_t parameters = rounded(held * static_cast<double>(layer.parameter_count()));
  stage.parameters += parameters;
  stage.largest_layer = std::max(stage.largest_layer, parameters);
}

// In the middle of a layer: sums over the tensor group; halos from two neighbours at once; an image that comes together.
void SchemeModel::add_splits(StageModel& stage, const LayerProfile& layer) {
  const auto of_micro_batch = [&](std::size_t sample) { return rounded(rows_ * static_cast<double>(sample)); };
  const auto passes = static_cast<std::size_t>(scheme_.micro_batches);
  const auto sum = [&](GroupCost& group, std::size_t sample, int groups, double StageCost::*when) {
    const std::size_t values = of_micro_batch(sample);
    if (group.ranks() == 1 || values == 0) return;
    stage.passing.*when += group.allreduce(values);
    stage.traffic += passes * static_cast<std::size_t>(groups) * group.allreduce_traffic(values);
  };
  sum(tensor_, layer.tensor_forward_summed, scheme_.grid.spatial, &StageCost::forward);
  sum(tensor_, layer.tensor_backward_summed, scheme_.grid.spatial, &StageCost::backward_input);
  sum(spatial_, layer.spatial_gathered, scheme_.grid.tensor, &StageCost::forward);
  if (const std::size_t gathered = of_micro_batch(layer.tensor_forward_gathered); tensor_.ranks() > 1 && gathered > 0) {
    stage.passing.forward += tensor_.ring_gather(gathered);
    stage.traffic += passes * static_cast<std::size_t>(scheme_.grid.spatial) * tensor_.ring_gather_traffic(gathered);
  }
  if (const std::size_t halo = of_micro_batch(layer.halo_values); spatial_.ranks() > 1 && halo > 0) {
    stage.passing.forward += spatial_.message(halo / 2);
    stage.passing.backward_input += spatial_.message(halo / 2);
    const auto cuts = static_cast<std::size_t>(spatial_.ranks() - 1);
    stage.traffic += passes * static_cast<std::size_t>(scheme_.grid.tensor) *
                     Traffic{.messages = 4 * cuts, .bytes = 2 * cuts * halo * profile_.model.value_bytes};
  }
}

// The sums over the replicas, as data/exchange.hpp does them: bucket by bucket, from the last layer to the first.
void SchemeModel::add_gradient_sums(StageModel& stage) {
  const auto groups = static_cast<std::size_t>(scheme_.grid.tensor);
  std::vector<Shape> shapes;     // of the parameters, in order, then of the totals
  std::vector<Seconds> ready;    // when the last backward has each gradient, counted from its end: none is later than 0
  Buckets by_layer;
  Index totals = loss_totals;
  Seconds to_the_end = 0, copies = 0;
  for (std::int64_t i = stage.layers.begin; i < stage.layers.end; ++i) {
    const LayerProfile& layer = profile_.model.layers[static_cast<std::size_t>(i)];
    std::vector<std::size_t> slots;
    for (const std::size_t whole : layer.parameters) {
      slots.insert(slots.begin(), shapes.size());
      shapes.push_back({static_cast<Index>(rounded(parameters_of(layer) * static_cast<double>(whole)))});
      ready.push_back(-to_the_end);
    }
    if (!slots.empty()) by_layer.insert(by_layer.begin(), std::move(slots));
    const LayerPoint at = layer.at(rows_);
    to_the_end += part_of(layer) * (at.backward_input + at.backward_weight);
    copies += parameters_of(layer) * layer.accumulate;
    totals += static_cast<Index>(layer.statistics);
  }
  const Buckets sharded = scheme_.shard == 3 ? by_layer : buckets_by_size(shapes, usual_bucket_bytes);
  shapes.push_back({totals});
  ready.push_back(-to_the_end);
  const BucketLayout layout(shapes, scheme_.shard == 0 ? buckets_by_size(shapes, usual_bucket_bytes) : sharded);

  Seconds end = -to_the_end, all_sums = 0;
  for (std::size_t b = 0; b < layout.slots.size(); ++b) {
    const std::size_t size = layout.sizes[b];
    const Seconds sum = scheme_.shard == 0 ? replicas_.sum(size) : replicas_.reduce_scatter(size);
    Seconds full = -to_the_end;
    for (const std::size_t slot : layout.slots[b]) full = std::max(full, ready[slot]);
    end = std::max(full, end) + sum;
    all_sums += sum;
    stage.traffic += groups * (scheme_.shard == 0 ? replicas_.sum_traffic(size) : replicas_.half_traffic(size));
    if (scheme_.shard == 1 || scheme_.shard == 2) {
      stage.passing.reduce += replicas_.allgather(size);
      stage.traffic += groups * replicas_.half_traffic(size);
    } else if (scheme_.shard == 3) {
      stage.passing.forward += replicas_.allgather(size);
      stage.passing.backward_input += replicas_.allgather(size);
      stage.traffic += 2 * static_cast<std::size_t>(micro_batches_) * groups * replicas_.half_traffic(size);
    }
  }
  if (scheme_.shard > 0) {
    all_sums += replicas_.allreduce(static_cast<std::size_t>(totals));
    stage.traffic += groups * replicas_.whole_traffic(static_cast<std::size_t>(totals));
  }
  stage.computing.update += copies;  // of gradients to where they are summed
  stage.passing.reduce += replicas_.on_one_node() ? all_sums : std::max(0.0, end);
}

Hop SchemeModel::hop(int from, int to, std::size_t sample) const {
  const MachineProfile& machine = profile_.machine;
  const int ranks = scheme_.grid.data * scheme_.grid.spatial * scheme_.grid.tensor;  // of a stage
  int crossing = 0, most = 0;  // messages of this hop that leave a node at once
  for (int i = 0, node = -1; i < ranks; ++i) {
    const int a = (from * ranks + i) / machine.ranks_per_node, b = (to * ranks + i) / machine.ranks_per_node;
    if (a != node) crossing = 0, node = a;
    if (a != b) most = std::max(most, ++crossing);
  }
  const std::size_t bytes = rounded(rows_ * static_cast<double>(sample)) * profile_.model.value_bytes;
  if (most > 0) return {.delay = shared_by(most, machine.between).message(bytes)};
  const Seconds latency = machine.within.message(0);
  return {.delay = latency, .busy = std::max(0.0, machine.within.message(bytes) - latency)};
}

}  // namespace tandem
