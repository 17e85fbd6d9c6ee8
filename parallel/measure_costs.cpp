#include "parallel/measure_costs.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>

#include "core/kernels/elementwise.hpp"
#include "core/median.hpp"
#include "core/memory.hpp"
#include "parallel/collectives/links.hpp"
#include "parallel/collectives/shared_window.hpp"
#include "parallel/measure_splits.hpp"
#include "parallel/outline.hpp"

namespace tandem {
namespace {

using Clock = std::chrono::steady_clock;

Seconds timed(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// A layer without parameters has no gradients to add up.
Seconds median_or_0(const std::vector<Seconds>& times) { return times.empty() ? 0 : median(times); }

// --- the machine -----------------------------------------------------------------------------------------------------------------------

// What rank 0 knows, on every rank.
LinkProfile of_rank_0(const LinkProfile& links, const Communicator& world) {
  std::vector<LinkProfile::Point> points = links.points();
  std::uint64_t count = points.size();
  broadcast(std::span(&count, 1), 0, world);
  points.resize(count);
  broadcast_bytes(std::as_writable_bytes(std::span(points)), 0, world);
  return LinkProfile(std::move(points));
}

// The time of a sum in shared memory, taken apart as shared_window_allreduce_cost() puts it together: 2 message + (p-1)/p addition.
LinkProfile measure_shared_memory(const Communicator& node, const LinkProfile& links) {
  constexpr std::size_t longest = std::size_t{16} << 20;
  SharedWindow window(node, longest / sizeof(real));
  std::vector<LinkProfile::Point> points;
  for (std::size_t bytes = 64; bytes <= longest; bytes *= 4) {
    const int turns = bytes < 1 << 16 ? 10 : 1;
    std::vector<Seconds> times;
    for (int repetition = 0; repetition < 9; ++repetition) {
      std::ranges::fill(window.mine().first(bytes / sizeof(real)), real{1});  // as gradients are: written by the rank itself
      node.barrier();
      times.push_back(timed([&] {
        for (int turn = 0; turn < turns; ++turn) window.allreduce(0, bytes / sizeof(real));
      }) / turns);
    }
    const double p = node.size(), whole = max_over_ranks(median(times), node), addition = links.addition(bytes);
    points.push_back({.bytes = bytes, .message = std::max(0.0, (whole - (p - 1) / p * addition) / 2), .addition = addition});
  }
  return LinkProfile(std::move(points));
}

// --- the model -------------------------------------------------------------------------------------------------------------------------

// One layer, or the loss behind the last.
struct Samples {
  std::vector<Seconds> forward, backward, input, accumulate, update;
  double activation_bytes = 0, work_bytes = 0;
};

class LayerClock {
 public:
  LayerClock(Sequential& model, const Shape& sample, const Loss& loss, const ModelMeasurement& how)
      : model_(model), sample_(sample), loss_(loss), how_(how) {
    for (const auto& layer : model.children()) {
      parameters_.push_back(layer->parameters());
      optimizers_.push_back(make_optimizer(how.optimizer, parameters_.back(), 0));
      std::vector<Tensor>& sums = sums_.emplace_back();
      for (const Parameter& p : parameters_.back()) sums.push_back(Tensor::zeros(p.variable.shape()));
    }
    while (first_trained_ < parameters_.size() && parameters_[first_trained_].empty()) ++first_trained_;
  }

  void begin(std::int64_t rows) {
    samples_.assign(model_.size() + 1, {});
    x_ = Tensor::full(batch_shape(rows, sample_), real(0.5));
    for (Index i = 0; i < x_.size(); i += 3) x_[i] = real(-0.25);
    names_.resize(static_cast<std::size_t>(rows));
    std::iota(names_.begin(), names_.end(), std::int64_t{0});
    labels_.assign(static_cast<std::size_t>(rows), 0);
  }

  // Forward and backward of all layers. `cut`: gradients of weights are left for later.
  void pass(bool cut) {
    const std::size_t n = model_.size();
    std::vector<Variable> in(n + 1), out(n + 1);
    std::vector<DeferredGradients> later(n + 1);
    Tensor x = x_;
    for (std::size_t i = 0; i <= n; ++i) {
      // What no trained layer stands before needs no gradient, in training either.
      in[i] = Variable(x, i > first_trained_);
      const std::size_t before = memory_use().live;
      reset_memory_peak();
      const Seconds seconds = timed([&] { out[i] = i < n ? model_.children()[i]->run(in[i], context()) : loss_(in[i], labels_).sum; });
      const MemoryUse after = memory_use();
      if (!cut) note(i, seconds, static_cast<double>(after.live) - static_cast<double>(before), static_cast<double>(after.peak - after.live));
      x = out[i].value();
    }
    Tensor dy = Tensor::full(out[n].shape(), 1);
    for (std::size_t i = n + 1; i-- > 0;) {
      if (!out[i].needs_gradient()) continue;
      const std::size_t before = memory_use().live;
      reset_memory_peak();
      const BackwardOptions options{.deferred = cut ? &later[i] : nullptr, .not_deferred = {in[i]}};
      const Seconds seconds = timed([&] { backward(out[i], dy, options); });
      (cut ? samples_[i].input : samples_[i].backward).push_back(seconds);
      if (!cut) samples_[i].work_bytes = std::max(samples_[i].work_bytes, static_cast<double>(memory_use().peak - std::min(before, memory_use().peak)));
      dy = in[i].gradient();
      out[i] = {};
      if (!cut && i < n) add_up(i);
    }
    for (std::size_t i = n; cut && i-- > 0;) later[i].run();
    if (!cut) update();
    for (const auto& parameters : parameters_)
      for (Parameter p : parameters) p.variable.set_gradient({});
    for (Module* module : model_.modules()) {  // what batch normalisation has seen here does not count
      std::vector<real> dropped(static_cast<std::size_t>(module->statistics_size()));
      module->take_statistics(dropped);
    }
  }

  const std::vector<Samples>& samples() const { return samples_; }

 private:
  Context context() const { return {.training = true, .samples = names_}; }

  void note(std::size_t i, Seconds forward, double kept, double work) {
    samples_[i].forward.push_back(forward);
    samples_[i].activation_bytes = std::max(0.0, kept);
    samples_[i].work_bytes = std::max(samples_[i].work_bytes, work);
  }

  void add_up(std::size_t i) {
    samples_[i].accumulate.push_back(timed([&] {
      for (std::size_t k = 0; k < sums_[i].size(); ++k)
        if (const Tensor gradient = parameters_[i][k].variable.gradient(); gradient.defined()) add_to(sums_[i][k], gradient);
    }));
  }

  void update() {
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      for (std::size_t k = 0; k < sums_[i].size(); ++k) parameters_[i][k].variable.set_gradient(sums_[i][k]);
      samples_[i].update.push_back(timed([&] { optimizers_[i]->step(0, 1); }));
    }
    for (auto& sums : sums_)
      for (Tensor& sum : sums) sum.fill(0);
  }

  Sequential& model_;
  const Shape& sample_;
  const Loss& loss_;
  const ModelMeasurement& how_;
  std::vector<std::vector<Parameter>> parameters_;  // by layer
  std::vector<std::unique_ptr<Optimizer>> optimizers_;
  std::vector<std::vector<Tensor>> sums_;
  std::size_t first_trained_ = 0;
  Tensor x_;
  std::vector<std::int64_t> names_;
  std::vector<std::int32_t> labels_;
  std::vector<Samples> samples_;  // by layer, and of the loss
};

// Medians of this rank, means over the ranks.
LayerPoint point_of(const Samples& samples, double rows, const Communicator& world) {
  std::vector<double> values{median_or_0(samples.forward), median_or_0(samples.backward), median_or_0(samples.input), samples.activation_bytes, samples.work_bytes};
  sum_over_ranks(values, world);
  for (double& value : values) value /= world.size();
  const double input = std::min(values[1], values[2]);
  return {.rows = rows, .forward = values[0], .backward_input = input, .backward_weight = values[1] - input, .activation_bytes = values[3], .work_bytes = values[4]};
}

}  // namespace

MachineProfile profile_machine(const Communicator& world) {
  const Communicator node = world.split_by_node();
  const Communicator leaders = world.split(node.rank() == 0 ? 0 : 1, world.rank());
  MachineProfile machine{.ranks_per_node = static_cast<int>(max_over_ranks(node.size(), world)), .within = typical_host, .between = typical_network,
                         .memory = typical_host};
  // Of the first node, at whose head is rank 0.
  if (node.size() > 1) {
    machine.within = measure_links(node);
    machine.memory = measure_shared_memory(node, machine.within);
  }
  if (node.rank() == 0 && leaders.size() > 1) machine.between = measure_links(leaders);
  const bool several_nodes = sum_over_ranks(node.rank() == 0 ? 1 : 0, world) > 1;
  machine.within = of_rank_0(machine.within, world);
  machine.between = of_rank_0(machine.between, world);
  machine.memory = of_rank_0(machine.memory, world);
  if (machine.ranks_per_node == 1) machine.assumed.push_back(assumed_host);
  if (!several_nodes) machine.assumed.push_back(assumed_network);
  return machine;
}

ModelProfile profile_model(std::string name, Sequential& model, const Shape& sample, const Loss& loss, const ModelMeasurement& how, const Communicator& world,
                           double& slowdown) {
  require(!how.rows.empty() && how.repetitions > 0 && model.size() > 0, "profile: {} numbers of rows, {} repetitions, {} layers", how.rows.size(), how.repetitions,
          model.size());
  ModelProfile profile = outline(std::move(name), model, sample);
  profile.optimizer = how.optimizer;
  profile.moments = how.optimizer == "sgd" ? 1 : 2;
  profile_splits(profile, model, sample, how.rows[how.rows.size() / 2], how.repetitions, world);

  LayerClock clock(model, sample, loss, how);
  for (const std::int64_t rows : how.rows) {
    clock.begin(rows);
    clock.pass(false), clock.pass(true);  // memory pool, page faults
    clock.begin(rows);
    for (int repetition = 0; repetition < how.repetitions; ++repetition)
      for (const bool cut : {false, true}) {
        world.barrier();
        clock.pass(cut);
      }
    for (std::size_t i = 0; i <= model.size(); ++i) {
      LayerProfile& layer = i < model.size() ? profile.layers[i] : profile.loss;
      layer.points.push_back(point_of(clock.samples()[i], static_cast<double>(rows), world));
      std::vector<double> once{median_or_0(clock.samples()[i].accumulate), median_or_0(clock.samples()[i].update)};
      sum_over_ranks(once, world);
      layer.accumulate = once[0] / world.size();
      layer.update = once[1] / world.size();
    }
  }

  slowdown = 1;
  if (world.size() == 1) return profile;
  clock.begin(how.rows.back());
  std::vector<Seconds> busy, single;
  for (int repetition = 0; repetition < how.repetitions; ++repetition) {
    world.barrier();
    busy.push_back(timed([&] { clock.pass(false); }));
    world.barrier();
    on_first_ranks(1, world, [&] { single.push_back(timed([&] { clock.pass(false); })); });
  }
  double ratio = world.rank() == 0 ? median(busy) / median(single) : 0;
  broadcast(std::span(&ratio, 1), 0, world);
  slowdown = std::max(1.0, ratio);
  return profile;
}

}  // namespace tandem
