#include "parallel/pipeline/stage.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <numeric>
#include <typeinfo>

#include "core/error.hpp"
#include "parallel/collectives/collectives.hpp"
#include "parallel/pipeline/messages.hpp"

namespace tandem {
namespace {

// Forward and backward of one step.
double seconds_of(const Step& step, Carried& carried, const Context& context) {
  Carried leaves{.x = Variable(carried.x.value(), true)};
  for (const Variable& s : carried.saved) leaves.saved.emplace_back(s.value(), true);
  const auto begin = std::chrono::steady_clock::now();
  carried = run_steps({&step, 1}, std::move(leaves), context);
  if (const Variable& y = carried.x; y.needs_gradient() && !y.is_leaf()) backward(y, Tensor::full(y.shape(), 1));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void forget_statistics(Module& model) {
  for (Module* module : model.modules()) {
    std::vector<real> dropped(static_cast<std::size_t>(module->statistics_size()));
    module->take_statistics(dropped);
  }
}

// What one sample finds out on its way through all stages, forward and back.
struct Survey {
  std::vector<CarriedShapes> inputs;                // what arrives at each stage
  std::vector<std::vector<Variable>> used;          // parameters that each stage's output depends on
};
Survey survey(Module& model, std::span<const Step> steps, const std::vector<Range>& stages, const Shape& sample) {
  Survey found;
  Carried carried{.x = Variable(Tensor::zeros(batch_shape(1, sample)))};
  const std::vector<Parameter> parameters = model.parameters();
  for (const Range& stage : stages) {
    found.inputs.push_back(shapes_of(carried));
    const Variable message = Variable(pack(carried).value());
    carried = run_steps(steps.subspan(static_cast<std::size_t>(stage.begin), static_cast<std::size_t>(stage.size())),
                        unpack(message, found.inputs.back()), {});
    const Variable y = pack(carried);
    if (y.needs_gradient() && !y.is_leaf()) backward(y, Tensor::full(y.shape(), 1));
    std::vector<Variable>& used = found.used.emplace_back();
    for (const Parameter& p : parameters) {
      if (!p.variable.gradient().defined()) continue;
      used.push_back(p.variable);
      Variable(p.variable).set_gradient({});
    }
    carried = unpack(Variable(y.value()), shapes_of(carried));
  }
  return found;
}

// The stage in whose layers it stands.
int stage_of_parameter(std::span<const Step> steps, const std::vector<Range>& stages, const Variable& variable) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].kind != Step::Kind::layer) continue;
    for (const Parameter& p : steps[i].layer().parameters())
      if (p.variable == variable)
        return static_cast<int>(std::ranges::find_if(stages, [&](const Range& s) { return static_cast<std::int64_t>(i) < s.end; }) - stages.begin());
  }
  fail("pipeline: the model has a parameter {} outside its layers; put it into one", variable.shape());
}

// Deals the layers of a model out to stages. What lies within one stage stays in one piece; of what is cut, each rank rebuilds the boxes around
// its layers, so that their names stay.
class Dealer {
 public:
  // `chunk`: this rank's chunk of a stage, or null. `own`: adds a child to the root.
  Dealer(const std::vector<Range>& stages, std::function<PipelineStages::Chunk*(int stage)> chunk, std::function<void(NamedModule)> own)
      : stages_(stages), chunk_(std::move(chunk)), own_(std::move(own)) {}

  void deal(Module& root, Module& model) {
    boxes_[""] = &root;
    for (NamedModule& child : model.release_children()) take(std::move(child), "");
  }

 private:
  int stage_of(std::int64_t step) const {
    return static_cast<int>(std::ranges::find_if(stages_, [&](const Range& s) { return step < s.end; }) - stages_.begin());
  }

  void take(NamedModule node, const std::string& path) {
    Module& module = *node.module;
    const std::int64_t size = step_count(module);
    if (size == 0) return;
    const int first = stage_of(at_), last = stage_of(at_ + size - 1);
    if (first == last) {
      at_ += size;
      if (PipelineStages::Chunk* chunk = chunk_(first)) {
        Module& parent = box(path);
        chunk->steps.push_back({.kind = Step::Kind::layer, .parent = &parent, .child = parent.children().size()});
        put(parent, std::move(node));
      }
      return;
    }
    const Step::Kind joins = typeid(module) == typeid(Residual) ? Step::Kind::add : Step::Kind::concat;
    if (is_block(module)) mark(Step::Kind::save);
    const std::string inner = path.empty() ? node.name : path + "." + node.name;
    for (NamedModule& child : module.release_children()) take(std::move(child), inner);
    if (is_block(module)) mark(joins);
  }

  void mark(Step::Kind kind) {
    if (PipelineStages::Chunk* chunk = chunk_(stage_of(at_++))) chunk->steps.push_back({.kind = kind});
  }

  // The box of that path on this rank, made if it is not here yet.
  Module& box(const std::string& path) {
    if (const auto found = boxes_.find(path); found != boxes_.end()) return *found->second;
    const std::size_t dot = path.rfind('.');
    Module& parent = box(dot == std::string::npos ? "" : path.substr(0, dot));
    const auto made = std::make_shared<Sequential>();
    boxes_[path] = made.get();
    put(parent, {.name = dot == std::string::npos ? path : path.substr(dot + 1), .module = made});
    return *made;
  }

  void put(Module& parent, NamedModule child) {
    if (&parent == boxes_[""])
      own_(std::move(child));
    else
      dynamic_cast<Sequential&>(parent).append(std::move(child.name), std::move(child.module));
  }

  const std::vector<Range>& stages_;
  std::function<PipelineStages::Chunk*(int stage)> chunk_;
  std::function<void(NamedModule)> own_;
  std::map<std::string, Module*> boxes_;  // by path
  std::int64_t at_ = 0;
};

}  // namespace

std::vector<double> step_seconds(Module& model, const Shape& batch, const Communicator& comm, int repetitions) {
  const std::vector<Step> steps = steps_of(model);
  std::vector<double> seconds(steps.size(), std::numeric_limits<double>::infinity());
  std::vector<std::int64_t> samples(static_cast<std::size_t>(batch[0]));
  std::iota(samples.begin(), samples.end(), std::int64_t{0});
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    Carried carried{.x = Variable(Tensor::full(batch, real(0.5)))};
    for (std::size_t i = 0; i < steps.size(); ++i)
      seconds[i] = std::min(seconds[i], seconds_of(steps[i], carried, {.training = true, .samples = samples}));
  }
  for (double& time : seconds) time = max_over_ranks(time, comm);
  for (Parameter& p : model.parameters()) p.variable.set_gradient({});
  forget_statistics(model);  // what batch normalisation has seen here does not count
  return seconds;
}

PipelineStages::PipelineStages(Sequential& model, const Shape& sample, const std::vector<Range>& stages, const Communicator& comm, ScheduleChoice schedule)
    : comm_(comm), schedule_(std::move(schedule)), rank_of_(schedule_.ranks_of_stages(comm.size())) {
  require(std::ssize(stages) == this->stages(), "pipeline: {} stages for a schedule of {}", stages.size(), this->stages());
  std::int64_t next = 0;
  for (const Range& stage : stages) {
    require(stage.begin == next && stage.end >= stage.begin, "pipeline: a stage of steps {} to {} after step {}", stage.begin, stage.end, next);
    next = stage.end;
  }
  const std::vector<Step> steps = steps_of(model);
  require(next == std::ssize(steps), "pipeline: the stages hold {} of {} steps", next, steps.size());

  const Survey surveyed = survey(model, steps, stages, sample);
  const std::vector<CarriedShapes>& inputs = surveyed.inputs;
  for (const Parameter& p : model.parameters()) {
    Tie tie{.variable = p.variable, .owner = stage_of_parameter(steps, stages, p.variable)};
    for (int s = 0; s < this->stages(); ++s)
      if (s != tie.owner && std::ranges::count(surveyed.used[static_cast<std::size_t>(s)], p.variable)) tie.users.push_back(s);
    if (!tie.users.empty()) ties_.push_back(std::move(tie));
  }
  for (int s = 0; s < this->stages(); ++s)
    if (rank_of_[static_cast<std::size_t>(s)] == comm.rank()) chunks_.push_back({.stage = s, .input = inputs[static_cast<std::size_t>(s)]});
  const auto chunk_of = [&](int s) -> Chunk* {
    const auto found = std::ranges::find(chunks_, s, &Chunk::stage);
    return found == chunks_.end() ? nullptr : &*found;
  };
  Dealer(stages, chunk_of, [&](NamedModule layer) { add_child(std::move(layer.name), std::move(layer.module)); }).deal(*this, model);
}

Variable PipelineStages::run(const Chunk& chunk, const Variable& message, const Context& context) const {
  return pack(run_steps(chunk.steps, unpack(message, chunk.input), context));
}

Variable PipelineStages::forward(const Variable& x, const Context& context) {
  Variable y(Tensor::scalar(0));
  for (const Chunk& chunk : chunks_) {
    const int s = chunk.stage, here = comm_.rank();
    const auto rank_of = [&](int stage) { return rank_of_[static_cast<std::size_t>(stage)]; };
    // A first stage without parameters takes part in backward() all the same: its successor sends it a gradient.
    if (s == 0)
      y = Variable(x.value(), parameters().empty());
    else if (rank_of(s - 1) != here)
      y = receive(message_shape(x.shape()[0], chunk.input), rank_of(s - 1), comm_);
    y = run(chunk, y, context);
    if (s + 1 < stages() && rank_of(s + 1) != here) y = send(y, rank_of(s + 1), comm_);
  }
  return y;
}

std::vector<std::shared_ptr<Module>> layers_of(const Module& part) {
  const auto* stages = dynamic_cast<const PipelineStages*>(&part);
  if (stages == nullptr) return part.children();
  std::vector<std::shared_ptr<Module>> layers;
  for (const PipelineStages::Chunk& chunk : stages->chunks())
    for (const Step& step : chunk.steps)
      if (step.kind == Step::Kind::layer) layers.push_back(step.parent->children()[step.child]);
  return layers;
}

bool gives_output(const Module& part) {
  const auto* stages = dynamic_cast<const PipelineStages*>(&part);
  return stages == nullptr || (!stages->chunks().empty() && stages->chunks().back().stage + 1 == std::ssize(stages->ranks_of_stages()));
}

}  // namespace tandem
