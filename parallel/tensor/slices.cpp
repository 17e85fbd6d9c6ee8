#include "parallel/tensor/slices.hpp"

#include "core/ops.hpp"
#include "nn/data.hpp"

namespace tandem {
namespace {

// Parameters and buffers alike, so that what follows is written once. Their values are shared with the model.
std::vector<Buffer> values_of(const Module& model) {
  std::vector<Buffer> all = model.buffers();
  for (const Parameter& p : model.parameters()) all.push_back({p.name, p.variable.value(), p.slice});
  return all;
}

}  // namespace

Slice own_slice(std::string_view what, int axis, Index whole, const Communicator& group) {
  require(whole >= group.size(), "{}: {} channels cannot be split over {} ranks, some would have none; use at most {} ranks for the "
          "tensor axis", what, whole, group.size(), whole);
  return {.axis = axis, .begin = part(whole, group.rank(), group.size()).begin, .whole = whole};
}

Index own_extent(Index whole, const Communicator& group) { return part(whole, group.rank(), group.size()).size(); }

Tensor gather_slices(const Tensor& mine, int axis, Index whole, const Communicator& group) {
  const int p = group.size(), r = group.rank();
  require(mine.dim(axis) == own_extent(whole, group), "gather: rank {} of {} has {} whose axis {} should be its {} of {}", r, p,
          mine.shape(), axis, own_extent(whole, group), whole);
  if (p == 1) return mine;

  std::vector<Tensor> parts;
  for (int rank = 0; rank < p; ++rank) {
    Shape shape = mine.shape();
    shape[axis] = part(whole, rank, p).size();
    parts.push_back(rank == r ? mine : Tensor(shape));
  }
  const auto at = [&](int k) { return parts[static_cast<std::size_t>((k + p) % p)].values(); };
  for (int step = 0; step < p - 1; ++step) group.exchange(at(r - step), (r + 1) % p, at(r - step - 1), (r + p - 1) % p);

  const NoGradient no_gradient;
  return concat({parts.begin(), parts.end()}, axis).value();
}

// Each part makes p-1 hops.
Traffic gather_slices_traffic(int ranks, std::size_t bytes) {
  const auto p = static_cast<std::size_t>(ranks);
  return {.messages = p * (p - 1), .bytes = (p - 1) * bytes};
}

Tensor gather_whole(const Tensor& mine, const std::optional<Slice>& slice, const Communicator& group) {
  return slice ? gather_slices(mine, slice->axis, slice->whole, group) : mine;
}
Tensor gather_whole(const Parameter& parameter, const Communicator& group) {
  return gather_whole(parameter.variable.value(), parameter.slice, group);
}
Tensor gather_whole(const Buffer& buffer, const Communicator& group) { return gather_whole(buffer.values, buffer.slice, group); }

void assign_part(Tensor& mine, const std::optional<Slice>& slice, const Tensor& whole) {
  mine.copy_from(slice ? take(whole, *slice, mine.dim(slice->axis)) : whole);
}

void assign_parts(Module& split, const Module& whole) {
  const std::vector<Buffer> wholes = values_of(whole);
  for (Buffer& b : values_of(split)) {
    const auto found = std::ranges::find(wholes, b.name, &Buffer::name);
    require(found != wholes.end(), "tensor parallel: the whole model has no '{}'", b.name);
    assign_part(b.values, b.slice, found->values);
  }
}

}  // namespace tandem
