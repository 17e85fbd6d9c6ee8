// Optimisers: from gradients to new parameters. All work value by value, in place, in one pass: what the gradients still have to be
// multiplied by (1 / sum of weights, clipping) is done on the way.
//
// g is the gradient of the mean loss, w a parameter, l the learning rate of this step, d the weight decay. Weight decay acts on
// matrices and convolution kernels only, not on biases and normalisation parameters (He et al., "Bag of Tricks", CVPR 2019, 3.1): on
// parameters of two axes and more. A piece of one (Parameter::stretch) is [1,n].
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/module.hpp"

namespace tandem {

class Optimizer {
 public:
  explicit Optimizer(std::vector<Parameter> parameters) : parameters_(std::move(parameters)) {}
  virtual ~Optimizer() = default;

  // One step with g = gradient_scale times each parameter's gradient(). A parameter without one, or with one of another shape, is an
  // error that names it; nothing is changed then.
  void step(double learning_rate, double gradient_scale = 1);

  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }                  // of a resumed run
  const std::vector<Buffer>& state() const { return state_; }             // moments, named "momentum.PARAMETER"; for checkpoints

 protected:
  std::vector<Tensor> add_state(const std::string& name);                 // zeros, one per parameter
  struct Rates {
    real learning_rate, gradient_scale;
    bool decays;  // whether weight decay acts on this parameter
  };
  virtual void update(std::size_t i, Tensor& w, const Tensor& g, const Rates& rates) = 0;

  std::int64_t steps_ = 0;

 private:
  std::vector<Parameter> parameters_;
  std::vector<Buffer> state_;
};

// Stochastic gradient descent with momentum m:
//   g <- g + d w,   v <- m v + g,   w <- w - l v            or, after Nesterov,   w <- w - l (g + m v)
// Source: Sutskever et al., ICML 2013.
class Sgd : public Optimizer {
 public:
  struct Options { real momentum = 0, weight_decay = 0; bool nesterov = false; };
  Sgd(std::vector<Parameter> parameters, Options options);

 private:
  void update(std::size_t i, Tensor& w, const Tensor& g, const Rates& rates) override;
  Options options_;
  std::vector<Tensor> velocity_;  // empty without momentum
};

// Adam:  m <- b1 m + (1-b1) g,   v <- b2 v + (1-b2) g^2,   w <- w - l (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + e)
// The divisions by 1 - b^t make up for the start at zero. Weight decay: added to g (Adam), or w <- w - l d w beside the step
// (AdamW, `decoupled`). Sources: Kingma and Ba, ICLR 2015, algorithm 1; Loshchilov and Hutter, ICLR 2019, algorithm 2.
class Adam : public Optimizer {
 public:
  struct Options { double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8; real weight_decay = 0; bool decoupled = false; };
  Adam(std::vector<Parameter> parameters, Options options);

 private:
  void update(std::size_t i, Tensor& w, const Tensor& g, const Rates& rates) override;
  Options options_;
  std::vector<Tensor> mean_, square_;
};

// "sgd" (Nesterov, momentum 0.9), "adam" or "adamw". UsageError for another name.
std::unique_ptr<Optimizer> make_optimizer(std::string_view name, std::vector<Parameter> parameters, real weight_decay);

// Clipping by global norm (Pascanu et al., ICML 2013): if the norm of all gradients together exceeds `limit` > 0, they are scaled
// down to it, by passing clip_factor() on to Optimizer::step(). Squares are summed in double, per parameter over fixed blocks, then
// in name order: the norm does not depend on the order of the parameters.
double gradient_norm(const std::vector<Parameter>& parameters);
double clip_factor(double norm, double limit);  // min(1, limit / norm)

}  // namespace tandem
