#include "nn/optimizer.hpp"

#include <algorithm>
#include <cmath>

#include "core/kernels/elementwise.hpp"

namespace tandem {

void Optimizer::step(double learning_rate, double gradient_scale) {
  // Check everything before changing anything.
  for (const Parameter& p : parameters_) {
    require(p.variable.gradient().defined(), "optimizer: parameter '{}' has no gradient", p.name);
    require(p.variable.gradient().shape() == p.variable.shape(), "optimizer: parameter '{}' is {}, its gradient {}", p.name,
            p.variable.shape(), p.variable.gradient().shape());
  }
  ++steps_;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& p = parameters_[i];
    update(i, p.variable.value(), p.variable.gradient(),
           {.learning_rate = static_cast<real>(learning_rate),
            .gradient_scale = static_cast<real>(gradient_scale),
            .decays = p.variable.shape().rank() >= 2});
  }
}

std::vector<Tensor> Optimizer::add_state(const std::string& name) {
  std::vector<Tensor> tensors;
  for (const Parameter& p : parameters_) {
    tensors.push_back(Tensor::zeros(p.variable.shape()));
    state_.push_back({name + "." + p.name, tensors.back(), p.slice, p.stretch});
  }
  return tensors;
}

Sgd::Sgd(std::vector<Parameter> parameters, Options options) : Optimizer(std::move(parameters)), options_(options) {
  if (options.momentum != 0) velocity_ = add_state("momentum");
}

// The loops of an update have three or four arrays. `__restrict` says that they do not overlap: a compiler that must ask first makes
// no vector loop of so many.

void Sgd::update(std::size_t i, Tensor& w, const Tensor& g, const Rates& rates) {
  const real m = options_.momentum, rate = rates.learning_rate, scale = rates.gradient_scale;
  const real decay = rates.decays ? options_.weight_decay : 0;
  const auto plain = [=](real* __restrict weight, const real* __restrict gradient, Index n) {
    for (Index j = 0; j < n; ++j) weight[j] -= rate * (scale * gradient[j] + decay * weight[j]);
  };
  const auto with_momentum = [=, nesterov = options_.nesterov](real* __restrict weight, const real* __restrict gradient,
                                                               real* __restrict velocity, Index n) {
    for (Index j = 0; j < n; ++j) {
      const real slope = scale * gradient[j] + decay * weight[j];
      const real v = velocity[j] = m * velocity[j] + slope;
      weight[j] -= rate * (nesterov ? slope + m * v : v);
    }
  };
  real* const velocity = velocity_.empty() ? nullptr : velocity_[i].data();
  for_blocks(w.size(), elementwise_block, [&](Index begin, Index end) {
    if (velocity)
      with_momentum(w.data() + begin, g.data() + begin, velocity + begin, end - begin);
    else
      plain(w.data() + begin, g.data() + begin, end - begin);
  });
}

Adam::Adam(std::vector<Parameter> parameters, Options options)
    : Optimizer(std::move(parameters)), options_(options), mean_(add_state("mean")), square_(add_state("square")) {}

void Adam::update(std::size_t i, Tensor& w, const Tensor& g, const Rates& rates) {
  const real rate = rates.learning_rate, scale = rates.gradient_scale;
  const auto t = static_cast<double>(steps_);
  const real b1 = static_cast<real>(options_.beta1), b2 = static_cast<real>(options_.beta2);
  const real unbias1 = static_cast<real>(1 / (1 - std::pow(options_.beta1, t)));
  const real unbias2 = static_cast<real>(1 / (1 - std::pow(options_.beta2, t)));
  const real epsilon = static_cast<real>(options_.epsilon), decay = rates.decays ? options_.weight_decay : 0;
  const real added = options_.decoupled ? 0 : decay, shrink = options_.decoupled ? 1 - rate * decay : 1;
  const auto move = [=](real* __restrict weight, const real* __restrict gradient, real* __restrict mean, real* __restrict square, Index n) {
    for (Index j = 0; j < n; ++j) {
      const real slope = scale * gradient[j] + added * weight[j];
      mean[j] = b1 * mean[j] + (1 - b1) * slope;
      square[j] = b2 * square[j] + (1 - b2) * slope * slope;
      weight[j] = shrink * weight[j] - rate * (mean[j] * unbias1) / (std::sqrt(square[j] * unbias2) + epsilon);
    }
  };
  for_blocks(w.size(), elementwise_block, [&](Index begin, Index end) {
    move(w.data() + begin, g.data() + begin, mean_[i].data() + begin, square_[i].data() + begin, end - begin);
  });
}

std::unique_ptr<Optimizer> make_optimizer(std::string_view name, std::vector<Parameter> parameters, real weight_decay) {
  if (name == "sgd")
    return std::make_unique<Sgd>(std::move(parameters),
                                 Sgd::Options{.momentum = real(0.9), .weight_decay = weight_decay, .nesterov = true});
  if (name == "adam" || name == "adamw")
    return std::make_unique<Adam>(std::move(parameters),
                                  Adam::Options{.weight_decay = weight_decay, .decoupled = name == "adamw"});
  throw UsageError(fmt::format("there is no optimizer '{}'; there are sgd, adam and adamw", name));
}

double gradient_norm(const std::vector<Parameter>& parameters) {
  for (const Parameter& p : parameters)
    require(p.variable.gradient().defined(), "clip: parameter '{}' has no gradient", p.name);
  std::vector<Parameter> sorted = parameters;
  std::ranges::sort(sorted, {}, &Parameter::name);
  double squares = 0;
  for (const Parameter& p : sorted) squares += ordered_square_sum(p.variable.gradient());
  return std::sqrt(squares);
}

double clip_factor(double norm, double limit) {
  require(limit > 0, "clip: the norm's limit is {}", limit);
  return norm > limit ? limit / norm : 1;
}

}  // namespace tandem
