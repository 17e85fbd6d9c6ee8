#include "parallel/tensor/row.hpp"

namespace tandem {
namespace {

// From the partial sums of all ranks to the layer's result. The bias may be undefined.
Variable finish(const Variable& partial, const Communicator& group, const Variable& bias, Epilogue epilogue) {
  Variable y = sum_over_group(partial, group);
  if (bias.defined()) y = y + bias;
  if (epilogue.relu) y = relu(y);
  if (epilogue.max_pool) y = max_pool(y, Window::square(2, 2));
  return y;
}

}  // namespace

RowLinear::RowLinear(Index in, Index out, const Communicator& group, Initialiser init, Epilogue epilogue)
    : group_(group), epilogue_(epilogue) {
  const Slice own = own_slice("row linear", 1, in, group);
  weight_ = add_parameter("weight", {out, own_extent(in, group)}, std::move(init), own);
  bias_ = add_parameter("bias", {out}, constant_init(0));
}

Variable RowLinear::forward(const Variable& x, const Context&) { return finish(matmul_nt(x, weight_), group_, bias_, epilogue_); }

RowConv2d::RowConv2d(Index in, Index out, const Communicator& group, ConvOptions options, Initialiser init)
    : group_(group), options_(options) {
  const Slice own = own_slice("row conv2d", 2, in, group);
  weight_ = add_parameter("weight", {options.kernel, options.kernel, own_extent(in, group), out}, std::move(init), own);
  if (options.bias) bias_ = add_parameter("bias", {out}, constant_init(0));
}

Variable RowConv2d::forward(const Variable& x, const Context&) {
  const Window window = Window::square(options_.kernel, options_.stride, options_.pad);
  return finish(conv2d(x, weight_, {}, window), group_, bias_, options_.epilogue);
}

}  // namespace tandem
