#include "parallel/tensor/group_ops.hpp"

namespace tandem {
namespace {

Tensor summed(const Tensor& x, const Communicator& group) {
  Tensor sum = x.clone();
  allreduce(sum.values(), group);
  return sum;
}

}  // namespace

Variable copy_to_group(const Variable& x, const Communicator& group) {
  if (group.size() == 1) return x;
  return record("copy_to_group", x.value(), {{x, [&group](const Tensor& dy) { return summed(dy, group); }}});
}

Variable sum_over_group(const Variable& x, const Communicator& group) {
  if (group.size() == 1) return x;
  return record("sum_over_group", summed(x.value(), group), {{x, [](const Tensor& dy) { return dy; }}});
}

Variable gather_channels(const Variable& x, Index channels, const Communicator& group) {
  if (group.size() == 1) return x;
  const int axis = x.shape().rank() - 1;
  const Slice own = own_slice("gather_channels", axis, channels, group);
  return record("gather_channels", gather_slices(x.value(), axis, channels, group),
                {{x, [own, extent = x.shape()[axis]](const Tensor& dy) { return take(dy, own, extent); }}});
}

}  // namespace tandem
