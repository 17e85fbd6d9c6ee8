// What is done together, beside the same done apart: a row "ours", and below it "apart", the engine's own plain operations one after
// the other. Both give the same values and gradients; what differs is how often memory is passed over. Rows are forward and backward,
// but for the update. Bytes are those of the fused form: every tensor that must be read or written, once.
#include "benchmarks/kernels/kernels.hpp"
#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"
#include "nn/optimizer.hpp"

namespace tandem {
namespace {

// The result of an operation on x; every other operand is held by the function.
using Op = std::function<Variable(const Variable& x)>;

void add_pair(const std::string& name, const Shape& shape, double operations, double bytes, const Op& together, const Op& apart) {
  const auto step = [shape](const Op& op) {
    return [shape, op]() -> std::function<void()> {
      const Variable input(random_tensor(shape), true);
      return [op, x = input, dy = random_tensor(op(input).shape())]() mutable {
        backward(op(x), dy);
        x.set_gradient({});
      };
    };
  };
  Kernel kernel{.name = name, .operations = operations, .bytes = bytes, .prepare = step(together)};
  add_kernel(kernel);
  kernel.who = "apart";
  kernel.prepare = step(apart);
  add_kernel(std::move(kernel));
}

// Backward adds to the gradients of weights; they would grow from call to call. So operands other than x ask for none.
Variable operand(const Shape& shape) { return Variable(random_tensor(shape)); }

void add_convolution(Index side, Index in, Index out) {
  const Shape x{16, side, side, in};
  const Variable W = operand({3, 3, in, out}), b = operand({out});
  const Window window{.stride_h = 1, .stride_w = 1, .pad_h = 1, .pad_w = 1};
  const double pixels = 16.0 * static_cast<double>(side * side);
  add_pair(fmt::format("conv_relu_pool/16x{}x{}x{}-{}", side, side, in, out), x, 2 * 2.0 * 9 * pixels * static_cast<double>(in * out),
           bytes_of(2 * x.size() + 16 * side * side * out / 2),
           [=](const Variable& v) { return conv2d(v, W, b, window, {.relu = true, .max_pool = true}); },
           [=](const Variable& v) { return max_pool(relu(conv2d(v, W, b, window)), Window::square(2, 2)); });
}

void add_norm(const Shape& x) {
  const Variable gamma = operand({x[3]}), beta = operand({x[3]});
  add_pair(fmt::format("norm_relu_pool/{}x{}x{}x{}", x[0], x[1], x[2], x[3]), x, 0, bytes_of(2 * x.size() + x.size() / 2),
           [=](const Variable& v) { return batch_norm(v, gamma, beta, real(1e-5), nullptr, {.relu = true, .max_pool = true}); },
           [=](const Variable& v) { return max_pool(relu(batch_norm(v, gamma, beta, real(1e-5), nullptr)), Window::square(2, 2)); });
}

void add_linear(Index rows, Index in, Index out) {
  const Variable W = operand({out, in}), b = operand({out});
  add_pair(fmt::format("linear_relu/{}x{}-{}", rows, in, out), {rows, in}, 2 * 2.0 * static_cast<double>(rows * in * out),
           bytes_of(2 * rows * in + 2 * rows * out + 2 * in * out),
           [=](const Variable& v) { return linear(v, W, b, {.relu = true}); },
           [=](const Variable& v) { return relu(matmul_nt(v, W) + b); });
}

void add_cross_entropy(Index rows, Index classes) {
  std::vector<std::int32_t> labels;
  Tensor target = Tensor::zeros({rows, classes});
  for (Index i = 0; i < rows; ++i) {
    labels.push_back(static_cast<std::int32_t>(i % classes));
    target[i * classes + i % classes] = 1;
  }
  add_pair(fmt::format("cross_entropy/{}x{}", rows, classes), {rows, classes}, 0, bytes_of(2 * rows * classes),
           [=](const Variable& v) { return cross_entropy_sum(v, labels); },
           [t = Variable(target)](const Variable& v) { return -sum(t * log_softmax(v)); });
}

// Nesterov's update with the mean and the clipping in it, or after a pass of their own over the gradient.
void add_update(Index size) {
  const auto update = [size](bool together) {
    return [size, together]() -> std::function<void()> {
      Variable w(random_tensor({size}), true);
      w.set_gradient(random_tensor({size}));
      const auto sgd = std::make_shared<Sgd>(std::vector<Parameter>{{.name = "w", .variable = w, .initialise = {}}},
                                             Sgd::Options{.momentum = real(0.9), .nesterov = true});
      if (together) return [sgd] { sgd->step(1e-3, 0.5); };
      return [sgd, w, g = w.gradient()]() mutable {
        w.set_gradient(map(g, [](real v) { return real(0.5) * v; }));
        sgd->step(1e-3);
      };
    };
  };
  Kernel kernel{.name = fmt::format("update/{}", size), .bytes = bytes_of(5 * size), .prepare = update(true)};
  add_kernel(kernel);
  kernel.who = "apart";
  kernel.prepare = update(false);
  add_kernel(std::move(kernel));
}

}  // namespace

void add_fused() {
  add_convolution(64, 32, 32);
  add_convolution(16, 128, 128);
  add_norm({16, 64, 64, 32});
  add_norm({16, 16, 16, 128});
  add_linear(128, 784, 512);
  add_linear(128, 128, 127);
  add_cross_entropy(128, 10);
  add_cross_entropy(128, 1000);
  add_update(1 << 14);
  add_update(1 << 20);
}

}  // namespace tandem
