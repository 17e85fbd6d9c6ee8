#include "parallel/predict.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "core/error.hpp"
#include "parallel/collectives/algorithms.hpp"
#include "parallel/data/buckets.hpp"
#include "parallel/pipeline/partition.hpp"
#include "parallel/pipeline/transfers.hpp"
#include "parallel/stage_model.hpp"

namespace tandem {
namespace {

StageCost sum(const StageCost& a, double times_a, const StageCost& b, double times_b) {
  const auto of = [&](double StageCost::*x) { return times_a * (a.*x) + times_b * (b.*x); };
  return {.forward = of(&StageCost::forward), .backward_input = of(&StageCost::backward_input), .backward_weight = of(&StageCost::backward_weight),
          .recompute = of(&StageCost::recompute), .reduce = of(&StageCost::reduce), .update = of(&StageCost::update)};
}

// Recomputation repeats what a forward exchanges, too.
StageCost passing_of(const StageModel& stage, bool recompute) {
  StageCost passing = stage.passing;
  if (recompute) passing.recompute = passing.forward;
  return passing;
}

// By how much faster a rank computes than in the profile, where all cores of the node were busy, if `busy` are.
double relief(const MachineProfile& machine, double busy) {
  if (machine.ranks_per_node == 1) return 1;
  const double share = std::clamp((busy - 1) / (machine.ranks_per_node - 1), 0.0, 1.0);
  return (1 + (machine.slowdown - 1) * share) / machine.slowdown;
}

// The most bytes that a rank keeps at a time, walking through its program.
double most_kept(const std::vector<Action>& program, const std::vector<StageModel>& stages, bool recompute) {
  double now = 0, most = 0, work = 0;
  for (const Action& a : program) {
    const StageModel& stage = stages[static_cast<std::size_t>(a.stage)];
    const double waiting = recompute ? stage.input : stage.kept;
    work = std::max(work, stage.work);
    if (a.op == Op::F) most = std::max(most, now + stage.kept), now += waiting;
    if (a.op == Op::B || a.op == Op::I) most = std::max(most, now - waiting + stage.kept);
    if (a.op == Op::B || a.op == Op::W) now -= waiting;
  }
  return most + work;
}

// Of one pipeline rank with `parameters` values, the largest of its layers of `largest_layer`.
MemoryNeed memory_of(double parameters, double largest_layer, const SchemeModel& model, const Scheme& scheme, const ModelProfile& profile) {
  const double value = static_cast<double>(profile.value_bytes), whole = parameters * value, piece = whole / model.replicas();
  // Sums of the fixed tree that wait: one for each binary digit of what came before the last micro-batch.
  const int waiting = std::bit_width(static_cast<unsigned>(model.micro_batches() - 1));
  const bool sharded = model.replicas() > 1;
  MemoryNeed need{.parameters = whole, .gradients = whole, .moments = profile.moments * whole, .passing = waiting * whole};
  if (!sharded) {
    need.passing -= std::min(need.passing, whole);  // the tree's last sum is the gradient
    return need;
  }
  constexpr double buckets_under_way = 3;
  if (scheme.shard >= 1) need.moments = profile.moments * piece;
  const double under_way = scheme.shard == 2 ? buckets_under_way * static_cast<double>(usual_bucket_bytes) : 2 * largest_layer * value;
  if (scheme.shard >= 2) need.gradients = piece, need.passing += std::min(whole, under_way);
  if (scheme.shard >= 3) need.parameters = piece, need.passing += largest_layer * value;
  return need;
}

// Activations and their gradients, of the pipeline of one replica, whose micro-batches are `mine` of the batch's.
Traffic pipeline_traffic(const Schedule& schedule, const std::vector<StageModel>& stages, Range mine, const Scheme& scheme, std::int64_t batch) {
  Traffic values;
  for (const auto& program : with_transfers(schedule).programs)
    for (const Action& a : program) {
      if (a.op != Op::send_F && a.op != Op::send_B) continue;
      const StageModel& before = stages[static_cast<std::size_t>(a.op == Op::send_F ? a.stage : a.stage - 1)];
      const Range rows = part(batch, mine.begin + a.micro, scheme.micro_batches);
      if (rows.size() == 0) continue;  // nothing is sent for an empty micro-batch
      values += {.messages = 1, .bytes = static_cast<std::size_t>(rows.size()) * before.output_values};
    }
  return values;
}

}  // namespace

Schedule schedule_of(const Scheme& scheme, int micro_batches) {
  return scheme.schedule_choice().of(scheme.grid.pipeline, micro_batches);
}

std::vector<Range> stages_of(const ModelProfile& model, const Scheme& scheme, std::int64_t batch) {
  std::vector<double> seconds;
  for (const LayerProfile& layer : model.layers) {
    const LayerPoint at = layer.at(static_cast<double>(batch) / scheme.micro_batches);
    seconds.push_back(at.forward + at.backward_input + at.backward_weight);
  }
  return balanced_partition(seconds, scheme.grid.pipeline * scheme.chunks);
}

Prediction predict(const CostProfile& profile, const Scheme& scheme, std::int64_t batch) {
  return predict(profile, scheme, batch, stages_of(profile.model, scheme, batch));
}

Prediction predict(const CostProfile& profile, const Scheme& scheme, std::int64_t batch, const std::vector<Range>& cut) {
  check(scheme);
  if (batch < 1) throw UsageError(fmt::format("predict: a batch of {} rows", batch));
  const ModelProfile& layers = profile.model;
  SchemeModel model(profile, scheme, batch);
  const Schedule schedule = schedule_of(scheme, model.micro_batches());
  const std::vector<int> rank_of = ranks_of_stages(schedule);
  require(std::ssize(cut) == schedule.stages, "predict: {} stages of layers for a schedule of {}", cut.size(), schedule.stages);

  std::vector<StageModel> stages;
  CostModel costs{.stages = {}, .hops = {}}, free{.stages = {}, .hops = {Hop{}}};
  for (const Range& range : cut) stages.push_back(model.stage(range));
  for (std::size_t s = 0; s + 1 < stages.size(); ++s) costs.hops.push_back(model.hop(rank_of[s], rank_of[s + 1], stages[s].output_values));
  if (costs.hops.empty()) costs.hops.emplace_back();
  const auto set_costs = [&](double speed) {
    costs.stages.clear(), free.stages.clear();
    for (const StageModel& stage : stages) {
      costs.stages.push_back(sum(stage.computing, speed, passing_of(stage, scheme.recompute), 1));
      free.stages.push_back(sum(stage.computing, speed, stage.passing, 0));
    }
  };

  // The fewer ranks of a node compute at a time, the faster each of them. How many do is known after a first walk.
  const MachineProfile& machine = profile.machine;
  const auto busy = static_cast<double>(std::min<std::int64_t>(machine.ranks_per_node, scheme.grid.size()));
  set_costs(relief(machine, busy));
  Prediction result{.stages = cut, .timeline = simulate(schedule, costs)};
  if (machine.slowdown > 1) {
    set_costs(relief(machine, std::max(1.0, busy * (1 - result.timeline.idle_share()))));
    result.timeline = simulate(schedule, costs);
  }
  result.step = result.timeline.makespan();
  result.images_per_second = static_cast<double>(batch) / result.step;
  const Timeline unhindered = simulate(schedule, free);
  result.exposed_communication = std::max(0.0, result.step - unhindered.makespan());
  result.computing = unhindered.makespan() * (1 - unhindered.idle_share());
  result.bubble = std::max(0.0, result.step - result.exposed_communication - result.computing);
  result.idle_share = result.step > 0 ? 1 - result.computing / result.step : 0;

  // Every replica's pipeline, and what the groups exchange within each stage.
  const int copies = scheme.grid.spatial * scheme.grid.tensor;
  for (int replica = 0; replica < scheme.grid.data; ++replica) {
    const Range mine = part(scheme.micro_batches, replica, scheme.grid.data);
    const Schedule own = schedule_of(scheme, static_cast<int>(mine.size()));
    Traffic sent = pipeline_traffic(own, stages, mine, scheme, batch);
    sent.bytes *= layers.value_bytes;
    result.traffic += static_cast<std::size_t>(copies) * sent;
  }
  for (const StageModel& stage : stages) result.traffic += stage.traffic;
  if (scheme.grid.pipeline > 1)  // the last stage tells the others the totals
    result.traffic += static_cast<std::size_t>(scheme.grid.data * copies) * broadcast_traffic(scheme.grid.pipeline, 3 * layers.value_bytes);

  for (int rank = 0; rank < scheme.grid.pipeline; ++rank) {
    double parameters = 0, largest_layer = 0;
    for (std::size_t s = 0; s < stages.size(); ++s)
      if (rank_of[s] == rank) {
        parameters += static_cast<double>(stages[s].parameters);
        largest_layer = std::max(largest_layer, static_cast<double>(stages[s].largest_layer));
      }
    MemoryNeed need = memory_of(parameters, largest_layer, model, scheme, layers);
    need.activations = most_kept(schedule.programs[static_cast<std::size_t>(rank)], stages, scheme.recompute);
    if (need.total() > result.memory.total()) result.memory = need;
  }
  return result;
}

}  // namespace tandem
