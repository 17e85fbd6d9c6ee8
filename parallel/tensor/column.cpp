#include "parallel/tensor/column.hpp"

namespace tandem {
namespace {

Variable laid_out(const Variable& y, Layout result, Index channels, const Communicator& group) {
  return result == Layout::whole ? gather_channels(y, channels, group) : y;
}

}  // namespace

ColumnLinear::ColumnLinear(Index in, Index out, const Communicator& group, Layout result, Initialiser init, Epilogue epilogue)
    : group_(group), out_(out), result_(result), epilogue_(epilogue) {
  const Slice own = own_slice("column linear", 0, out, group);
  const Index extent = own_extent(out, group);
  weight_ = add_parameter("weight", {extent, in}, std::move(init), own);
  bias_ = add_parameter("bias", {extent}, constant_init(0), own);
}

Variable ColumnLinear::forward(const Variable& x, const Context&) {
  return laid_out(linear(copy_to_group(x, group_), weight_, bias_, epilogue_), result_, out_, group_);
}

ColumnConv2d::ColumnConv2d(Index in, Index out, const Communicator& group, Layout result, ConvOptions options, Initialiser init)
    : group_(group), out_(out), result_(result), options_(options) {
  const Slice own = own_slice("column conv2d", 3, out, group);
  const Index extent = own_extent(out, group);
  weight_ = add_parameter("weight", {options.kernel, options.kernel, in, extent}, std::move(init), own);
  if (options.bias) bias_ = add_parameter("bias", {extent}, constant_init(0), Slice{.axis = 0, .begin = own.begin, .whole = out});
}

Variable ColumnConv2d::forward(const Variable& x, const Context&) {
  const Window window = Window::square(options_.kernel, options_.stride, options_.pad);
  return laid_out(conv2d(copy_to_group(x, group_), weight_, bias_, window, options_.epilogue), result_, out_, group_);
}

SplitBatchNorm::SplitBatchNorm(Index channels, const Communicator& group, Layout result, Epilogue epilogue, real momentum, real epsilon)
    : BatchNorm(own_extent(channels, group), epilogue, momentum, epsilon, own_slice("batch norm", 0, channels, group)),
      group_(group),
      whole_(channels),
      result_(result) {}

Variable SplitBatchNorm::forward(const Variable& x, const Context& context) {
  return laid_out(BatchNorm::forward(x, context), result_, whole_, group_);
}

}  // namespace tandem
