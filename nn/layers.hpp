// Layers: operations of core/ops.hpp together with the parameters they need. Images are [n,h,w,c].
#pragma once

#include <utility>

#include "core/ops.hpp"
#include "nn/init.hpp"
#include "nn/module.hpp"

namespace tandem {

// x W^T + b      x [n,in] -> [n,out]
class Linear : public Module {
 public:
  Linear(Index in, Index out, Initialiser init = he_normal(), Epilogue epilogue = {});
  Variable forward(const Variable& x, const Context& context) override;
  Index in() const { return weight_.shape()[1]; }
  Index out() const { return weight_.shape()[0]; }
  Epilogue epilogue() const { return epilogue_; }

 private:
  Variable weight_, bias_;
  Epilogue epilogue_;
};

// A window of learnt weights slides over the image.      x [n,h,w,in] -> [n,h',w',out]
struct ConvOptions {
  Index kernel = 3, stride = 1, pad = 1;
  bool bias = true;  // needless before batch normalisation, which subtracts the mean anyway
  Epilogue epilogue = {};
};
class Conv2d : public Module {
 public:
  Conv2d(Index in, Index out, ConvOptions options = {}, Initialiser init = he_normal());
  Variable forward(const Variable& x, const Context& context) override;
  Index in() const { return weight_.shape()[2]; }
  Index out() const { return weight_.shape()[3]; }
  const ConvOptions& options() const { return options_; }
  const Variable& weight() const { return weight_; }
  const Variable& bias() const { return bias_; }  // not defined() if there is none
  Window window() const { return Window::square(options_.kernel, options_.stride, options_.pad); }

 private:
  ConvOptions options_;
  Variable weight_, bias_;
};

// Training: normalises each channel by the statistics of the micro-batch. Evaluation: by running statistics,
//   running = (1 - momentum) running + momentum (statistics of the step),
// where the step's statistics are the means over its micro-batches (on all ranks), weighted by their rows. They are committed
// once a step, so that the result depends on M but neither on the ranks nor on recomputation. A micro-batch of a single row has
// no variance: it is normalised by the running statistics and adds nothing to them.
class BatchNorm : public Module {
 public:
  // `slice`: these channels are a part of a layer's whole (parallel/tensor). Each is normalised by itself, so nothing else changes.
  explicit BatchNorm(Index channels, Epilogue epilogue = {}, real momentum = real(0.1), real epsilon = real(1e-5),
                     std::optional<Slice> slice = {});
  Variable forward(const Variable& x, const Context& context) override;
  Index channels() const { return channels_; }
  Epilogue epilogue() const { return epilogue_; }
  real momentum() const { return momentum_; }
  real epsilon() const { return epsilon_; }

  Index statistics_size() const override;
  void take_statistics(std::span<real> part) override;          // [rows mean, rows variance, rows] since the last call
  void commit_statistics(std::span<const real> sum) override;

 protected:
  // The batch that x belongs to: x itself, unless ranks share each image (parallel/spatial).
  virtual SharedBatch batch_of(const Variable& x) const { return {.rows = x.value().row_count()}; }

 private:
  Index channels_;
  Epilogue epilogue_;
  real momentum_, epsilon_;
  Variable gamma_, beta_;
  Tensor running_mean_, running_variance_;
  BatchStatistics latest_;
};

class Dropout : public Module {
 public:
  explicit Dropout(double probability) : probability_(probability) {}
  Variable forward(const Variable& x, const Context& context) override;

 private:
  double probability_;
};

// An operation without parameters as a layer.
class Function : public Module {
 public:
  using Op = std::function<Variable(const Variable&)>;
  explicit Function(Op op) : op_(std::move(op)) {}
  Variable forward(const Variable& x, const Context&) override { return op_(x); }

 private:
  Op op_;
};
struct Relu : Function { Relu() : Function(relu) {} };
struct LeakyRelu : Function { explicit LeakyRelu(real slope = real(0.01)) : Function([=](const Variable& x) { return leaky_relu(x, slope); }) {} };
struct Sigmoid : Function { Sigmoid() : Function(sigmoid) {} };
struct Tanh : Function { Tanh() : Function([](const Variable& x) { return tanh(x); }) {} };
struct Flatten : Function { Flatten() : Function(flatten) {} };
struct MaxPool : Function {
  explicit MaxPool(Window w) : Function([=](const Variable& x) { return max_pool(x, w); }), window(w) {}
  Window window;
};
struct AveragePool : Function {
  explicit AveragePool(Window w) : Function([=](const Variable& x) { return average_pool(x, w); }), window(w) {}
  Window window;
};
struct GlobalAveragePool : Function {
  GlobalAveragePool() : Function([](const Variable& x) { return global_average_pool(x); }) {}
};
struct Upsample : Function {
  explicit Upsample(Index by = 2) : Function([=](const Variable& x) { return upsample(x, by); }), factor(by) {}
  Index factor;
};

// y = last(... second(first(x)))
Variable run_in_order(const std::vector<std::shared_ptr<Module>>& layers, const Variable& x, const Context& context);

// One after the other.
class Sequential : public Module {
 public:
  Variable forward(const Variable& x, const Context& context) override;

  // Appends a layer under its number or a name of its own; returns *this, so that calls chain.
  template <class Layer, class... Args>
  Sequential& add(Args&&... args) {
    return add_named<Layer>(std::to_string(children().size()), std::forward<Args>(args)...);
  }
  template <class Layer, class... Args>
  Sequential& add_named(std::string name, Args&&... args) {
    return append(std::move(name), std::make_shared<Layer>(std::forward<Args>(args)...));
  }
  Sequential& append(std::string name, std::shared_ptr<Module> layer);
  std::size_t size() const { return children().size(); }
};

// y = x + body(x): the gradient reaches x also past the body. He et al., "Deep Residual Learning", CVPR 2016.
class Residual : public Module {
 public:
  explicit Residual(std::shared_ptr<Module> body) { add_child("body", std::move(body)); }
  Variable forward(const Variable& x, const Context& context) override { return x + children()[0]->run(x, context); }
};

// y = x and body(x) side by side in the channels: what the body loses of x, by pooling say, goes past it. Nested, this is a U-Net:
// Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015.
class Skip : public Module {
 public:
  explicit Skip(std::shared_ptr<Module> body) { add_child("body", std::move(body)); }
  Variable forward(const Variable& x, const Context& context) override { return concat({x, children()[0]->run(x, context)}, -1); }
};

}  // namespace tandem
