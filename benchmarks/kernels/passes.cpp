// What is limited by memory: operations that look at every number once or twice. Bytes are those of the tensors that must be
// read or written, each once; an operation that passes over them twice, or keeps notes for backward, has a lower rate.
// "step" is forward and backward together.
#include "benchmarks/kernels/kernels.hpp"
#include "core/ops.hpp"

namespace tandem {
namespace {

using Op = std::function<Variable(const Variable& x)>;

void add(std::string_view name, const Shape& shape, const Op& op, Index output_size) {
  const Index x = shape.size(), y = output_size;
  const auto row = [&](std::string_view part) {
    return fmt::format("{}/{}/{}x{}x{}x{}", name, part, shape[0], shape[1], shape[2], shape[3]);
  };
  add_kernel({.name = row("forward"), .bytes = bytes_of(x + y), .prepare = [=]() -> std::function<void()> {
                return [op, x = Variable(random_tensor(shape), true)] { op(x); };
              }});
  // Backward reads dy and what tells where it goes (as many numbers as y has), and writes dx.
  add_kernel({.name = row("step"), .bytes = bytes_of(x + y + 2 * y + x), .prepare = [=]() -> std::function<void()> {
                const Variable input(random_tensor(shape), true);
                return [op, x = input, dy = random_tensor(op(input).shape())]() mutable {
                  backward(op(x), dy);
                  x.set_gradient({});
                };
              }});
}

}  // namespace

void add_passes() {
  const Shape large{16, 64, 64, 32}, small{16, 16, 16, 128};
  for (const Shape& shape : {large, small})
    add(
        "relu", shape, [](const Variable& x) { return relu(x); }, shape.size());
  for (const Shape& shape : {large, small})
    add(
        "max_pool", shape, [](const Variable& x) { return max_pool(x, Window::square(2, 2)); }, shape.size() / 4);
  for (const Shape& shape : {large, small}) {
    const Variable gamma(random_tensor({shape[3]})), beta(random_tensor({shape[3]}));
    add(
        "batch_norm", shape, [=](const Variable& x) { return batch_norm(x, gamma, beta, real(1e-5), nullptr); },
        shape.size());
  }
}

}  // namespace tandem
