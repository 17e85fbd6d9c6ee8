#include "parallel/tensor/group_ops.hpp"

#include <algorithm>

namespace tandem {
namespace {

// The size of things between processes of one host: a microsecond a message, 5 GB/s each way, 10 GB/s added. It only decides where
// few messages give way to few bytes: between 2 and 24 KB for 2 to 8 ranks.
constexpr Link one_host{.alpha = 1e-6, .beta = 2e-10, .gamma = 1e-10};

const AllreduceAlgorithm& cheapest(int ranks, std::size_t bytes) {
  return *std::ranges::min_element(allreduce_algorithms(), {}, [=](const AllreduceAlgorithm& a) { return a.cost(ranks, bytes, one_host); });
}

Tensor summed(const Tensor& x, const Communicator& group) {
  Tensor sum = x.clone();
  group_allreduce(sum.values(), group);
  return sum;
}

}  // namespace

void group_allreduce(std::span<real> values, const Communicator& group) {
  run(cheapest(group.size(), values.size_bytes()).plan, values, group);
}

Traffic group_allreduce_traffic(int ranks, std::size_t bytes) { return cheapest(ranks, bytes).traffic(ranks, bytes); }

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
