#include "parallel/pipeline/stage.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>

#include "parallel/collectives/collectives.hpp"
#include "parallel/pipeline/messages.hpp"

namespace tandem {
namespace {

Shape without_rows(const Shape& batch) { return Shape(std::span(batch.begin() + 1, batch.end())); }

// What one sample has become after `layers` layers.
Shape shape_after(const Sequential& model, std::int64_t layers, const Shape& sample) {
  const NoGradient no_gradient;
  Variable x(Tensor::zeros(batch_shape(1, sample)));
  for (std::int64_t i = 0; i < layers; ++i) x = model.children()[static_cast<std::size_t>(i)]->forward(x, {});
  return without_rows(x.shape());
}

// Forward and backward of one layer.
double seconds_of(Module& layer, Tensor& x, const Context& context) {
  const auto begin = std::chrono::steady_clock::now();
  const Variable y = layer.forward(Variable(x, true), context);
  const Tensor result = y.value();
  if (y.needs_gradient()) backward(y, Tensor::full(y.shape(), 1));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  x = result;
  return seconds;
}

}  // namespace

std::vector<double> layer_seconds(Sequential& model, const Shape& batch, const Communicator& comm, int repetitions) {
  std::vector<double> seconds(model.size(), std::numeric_limits<double>::infinity());
  std::vector<std::int64_t> samples(static_cast<std::size_t>(batch[0]));
  std::iota(samples.begin(), samples.end(), std::int64_t{0});
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    Tensor x = Tensor::full(batch, real(0.5));
    for (std::size_t i = 0; i < model.size(); ++i)
      seconds[i] = std::min(seconds[i], seconds_of(*model.children()[i], x, {.training = true, .samples = samples}));
  }
  for (double& time : seconds) time = max_over_ranks(time, comm);

  for (Parameter& p : model.parameters()) p.variable.set_gradient({});
  for (Module* module : model.modules()) {  // what batch normalisation has seen here does not count
    std::vector<real> dropped(static_cast<std::size_t>(module->statistics_size()));
    module->take_statistics(dropped);
  }
  return seconds;
}

PipelineStage::PipelineStage(Sequential& model, const Shape& sample, const std::vector<Range>& stages, const Communicator& comm)
    : comm_(comm) {
  require(std::ssize(stages) == comm.size(), "pipeline: {} stages for {} ranks", stages.size(), comm.size());
  std::int64_t next = 0;
  for (const Range& stage : stages) {
    require(stage.begin == next && stage.end >= stage.begin, "pipeline: a stage of layers {} to {} after layer {}", stage.begin, stage.end, next);
    next = stage.end;
  }
  require(next == std::ssize(model.children()), "pipeline: the stages hold {} of {} layers", next, model.size());

  const Range mine = stages[static_cast<std::size_t>(comm.rank())];
  received_ = shape_after(model, mine.begin, sample);
  std::vector<NamedModule> layers = model.release_children();
  for (std::int64_t i = mine.begin; i < mine.end; ++i) {
    NamedModule& layer = layers[static_cast<std::size_t>(i)];
    add_child(std::move(layer.name), std::move(layer.module));
  }
}

Variable PipelineStage::forward(const Variable& x, const Context& context) {
  const int stage = comm_.rank(), stages = comm_.size();
  // A first stage without parameters takes part in backward() all the same: its successor sends it a gradient.
  Variable y = stage == 0 ? Variable(x.value(), parameters().empty()) : receive(batch_shape(x.shape()[0], received_), stage - 1, comm_);
  y = run_in_order(children(), y, context);
  return stage == stages - 1 ? y : send(y, stage + 1, comm_);
}

}  // namespace tandem
