#include "parallel/measure_splits.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "core/ops.hpp"
#include "nn/data.hpp"
#include "parallel/collectives/collectives.hpp"
#include "parallel/tensor/tensor_parallel.hpp"

namespace tandem {
namespace {

using Run = std::function<Variable(const Variable& x, const Context& context)>;

// Forward and backward of `run` on an input of this shape.
class Stopwatch {
 public:
  Stopwatch(int repetitions, const Communicator& world) : repetitions_(repetitions), world_(world) {}

  Seconds operator()(const Run& run, const Shape& input) const {
    std::vector<std::int64_t> samples(count_of(input[0]));
    std::iota(samples.begin(), samples.end(), std::int64_t{0});
    const Tensor x = Tensor::full(input, real(0.5));
    std::vector<Seconds> times;
    for (int repetition = 0; repetition <= repetitions_; ++repetition) {
      world_.barrier();
      const auto begin = std::chrono::steady_clock::now();
      const Variable y = run(Variable(x, true), {.training = true, .samples = samples});
      backward(y, Tensor::full(y.shape(), 1));
      if (repetition > 0) times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    std::ranges::nth_element(times, times.begin() + std::ssize(times) / 2);
    return sum_over_ranks(times[times.size() / 2], world_) / world_.size();
  }

 private:
  int repetitions_;
  const Communicator& world_;
};

double share(Seconds half, Seconds whole) { return whole > 0 ? std::clamp(2 * (1 - half / whole), 0.0, 1.0) : 0; }

void forget(Module& module) {
  for (Parameter& p : module.parameters()) p.variable.set_gradient({});
  for (Module* below : module.modules()) {
    std::vector<real> dropped(count_of(below->statistics_size()));
    below->take_statistics(dropped);
  }
}

// A layer that a tensor group splits: what half of it takes, how much of it divides, what it exchanges.
struct Split {
  Seconds whole = 0, half = 0;
  std::size_t parameters = 0;      // that divide
  std::size_t in = 0, out = 0;     // values of a sample that go into its product and come out of it, before pooling
};

Run run_of(Module& layer) {
  return [&layer](const Variable& x, const Context& context) { return layer.forward(x, context); };
}

// What a row layer does with its sum.
Run finished(Run product, Index channels, Epilogue epilogue) {
  const Variable bias(Tensor::zeros({channels}), true);
  return [=](const Variable& x, const Context& context) {
    Variable y = product(x, context) + bias;
    if (epilogue.relu) y = relu(y);
    return epilogue.max_pool ? max_pool(y, Window::square(2, 2)) : y;
  };
}

Split split_conv(Conv2d& conv, TensorRole role, const Shape& image, const Stopwatch& time) {
  const Index in = conv.in(), out = conv.out(), stride = conv.options().stride;
  const auto input = [&](Index channels) { return Shape{image[0], image[1], image[2], channels}; };
  Split split{.whole = time(run_of(conv), input(in)), .parameters = count_of(conv.weight().value().size()), .in = count_of(image[1] * image[2] * in),
              .out = count_of(image[1] / stride * (image[2] / stride) * out)};
  ConvOptions options = conv.options();
  if (role == TensorRole::column) {
    if (conv.bias().defined()) split.parameters += count_of(out);
    Conv2d half(in, divide_up(out, 2), options);
    split.half = time(run_of(half), input(in));
  } else {
    const Epilogue epilogue = std::exchange(options.epilogue, {});
    const bool bias = std::exchange(options.bias, false);
    Conv2d half(divide_up(in, 2), out, options);
    split.half = time(bias ? finished(run_of(half), out, epilogue) : run_of(half), input(divide_up(in, 2)));
  }
  return split;
}

Split split_linear(Linear& linear, TensorRole role, Index rows, const Stopwatch& time) {
  const Index in = linear.in(), out = linear.out();
  Split split{.whole = time(run_of(linear), {rows, in}), .parameters = count_of(in * out + (role == TensorRole::column ? out : 0)),
              .in = count_of(in), .out = count_of(out)};
  if (role == TensorRole::column) {
    Linear half(in, divide_up(out, 2), he_normal(), linear.epilogue());
    split.half = time(run_of(half), {rows, in});
  } else {
    const Variable weight(Tensor::full({out, divide_up(in, 2)}, real(0.5)), true);
    const Run product = [weight](const Variable& x, const Context&) { return matmul_nt(x, weight); };
    split.half = time(finished(product, out, linear.epilogue()), {rows, divide_up(in, 2)});
  }
  return split;
}

Split split_norm(BatchNorm& norm, const Shape& image, const Stopwatch& time) {
  BatchNorm half(divide_up(norm.channels(), 2), norm.epilogue());
  const auto input = [&](Index channels) { return Shape{image[0], image[1], image[2], channels}; };
  return {.whole = time(run_of(norm), input(norm.channels())), .half = time(run_of(half), input(divide_up(norm.channels(), 2))),
          .parameters = count_of(2 * norm.channels())};
}

// The shape of what goes into each child, of a batch of `rows`.
std::vector<Shape> inputs_of(Sequential& model, const Shape& sample, Index rows) {
  const NoGradient no_gradient;
  std::vector<Shape> inputs;
  Variable x(Tensor::zeros(batch_shape(rows, sample)));
  for (const auto& child : model.children()) {
    inputs.push_back(x.shape());
    x = child->forward(x, {});
  }
  return inputs;
}

std::size_t child_of(const TensorAssignment& a, Sequential& model) {
  for (std::size_t i = 0; i < model.size(); ++i) {
    const std::vector<Module*> below = model.children()[i]->modules();
    if ((a.parent == &model && a.child == i) || std::ranges::find(below, a.parent) != below.end()) return i;
  }
  fail("profile: a split layer is not in the model");
}

// Within a child, images are taken to have the size at its entrance.
void profile_tensor_splits(ModelProfile& profile, Sequential& model, const std::vector<Shape>& inputs, const Stopwatch& time) {
  std::vector<Seconds> whole(model.size(), 0), half(model.size(), 0);
  bool first = true;  // its input needs no gradient
  for (const TensorAssignment& a : plan_tensor_parallel(model)) {
    const std::size_t i = child_of(a, model);
    Module& module = *a.parent->children()[a.child];
    LayerProfile& layer = profile.layers[i];
    Split split;
    if (auto* conv = dynamic_cast<Conv2d*>(&module)) split = split_conv(*conv, a.role, inputs[i], time);
    else if (auto* linear = dynamic_cast<Linear*>(&module)) split = split_linear(*linear, a.role, inputs[i][0], time);
    else if (auto* norm = dynamic_cast<BatchNorm*>(&module)) split = split_norm(*norm, inputs[i], time);
    forget(module);
    whole[i] += split.whole;
    half[i] += split.half;
    layer.tensor_parameters += split.parameters;
    if (a.role == TensorRole::row) layer.tensor_forward_summed += split.out;
    if (a.role != TensorRole::row && a.result == Layout::whole) layer.tensor_forward_gathered += layer.output_values;
    if (a.role == TensorRole::column && !first) layer.tensor_backward_summed += split.in;
    first = false;
  }
  for (std::size_t i = 0; i < model.size(); ++i) profile.layers[i].tensor_share = share(half[i], whole[i]);
}

}  // namespace

void profile_splits(ModelProfile& profile, Sequential& model, const Shape& sample, std::int64_t rows, int repetitions, const Communicator& world) {
  const Stopwatch time(repetitions, world);
  const std::vector<Shape> inputs = inputs_of(model, sample, rows);
  profile_tensor_splits(profile, model, inputs, time);
  for (std::size_t i = 0; i < model.size(); ++i) {
    constexpr Index least_height = 8;  // so that pooling leaves whole pixels of half of it
    if (profile.layers[i].spatial_share == 0 || inputs[i][1] < least_height || inputs[i][1] % least_height != 0) continue;
    Module& child = *model.children()[i];
    Shape half = inputs[i];
    half[1] /= 2;
    profile.layers[i].spatial_share = share(time(run_of(child), half), time(run_of(child), inputs[i]));
    forget(child);
  }
}

}  // namespace tandem
