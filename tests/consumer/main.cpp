// What a user of the installed library writes. The sum of x W^T over two samples, and its gradient with respect to W.
#include <fmt/format.h>

#include "core/autograd.hpp"
#include "core/ops.hpp"
#include "nn/layers.hpp"
#include "parallel/trainer.hpp"
#include "tasks/classification/train.hpp"

int main() {
  using namespace tandem;
  const Variable x(Tensor({2, 2}, {1, 2, 3, 4}));
  const Variable W(Tensor({1, 2}, {10, 100}), true);
  const Variable y = sum(matmul_nt(x, W));
  backward(y);
  fmt::print("{} = sum of x W^T, gradient {} {}\n", y.value().item(), W.gradient()[0], W.gradient()[1]);

  Sequential net;
  net.add<Linear>(3, 4);
  fmt::print("{} parameters\n", parameter_count(net));
  fmt::print("a peak of {}\n", peak_learning_rate(TrainingSettings()));
  fmt::print("{}\n", allreduce_algorithm("ring").name);
}
