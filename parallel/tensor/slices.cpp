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

  // One part after the other.
  std::vector<Shape> shapes(static_cast<std::size_t>(p), mine.shape());
  Cuts cuts{0};
  for (int rank = 0; rank < p; ++rank) {
    Shape& shape = shapes[static_cast<std::size_t>(rank)];
    shape[axis] = part(whole, rank, p).size();
    cuts.push_back(cuts.back() + static_cast<std::size_t>(shape.size()));
  }
  Tensor all({static_cast<Index>(cuts.back())});
  std::ranges::copy(mine.values(), all.values().begin() + static_cast<std::ptrdiff_t>(chunk(cuts, r).begin));
  run(ring_allgather(r, cuts), all.values(), group);

  const NoGradient no_gradient;
  std::vector<Variable> parts;
  for (int rank = 0; rank < p; ++rank) {
    const Piece piece = chunk(cuts, rank);
    parts.emplace_back(all.rows(static_cast<Index>(piece.begin), static_cast<Index>(piece.end)).reshape(shapes[static_cast<std::size_t>(rank)]));
  }
  return concat(parts, axis).value();
}

Tensor gather_whole(const Tensor& mine, const std::optional<Slice>& slice, const Communicator& group) {
  return slice ? gather_slices(mine, slice->axis, slice->whole, group) : mine;
}
Tensor gather_whole(const Parameter& parameter, const Communicator& group) {
  return gather_whole(parameter.variable.value(), parameter.slice, group);
}
Tensor gather_whole(const Buffer& buffer, const Communicator& group) { return gather_whole(buffer.values, buffer.slice, group); }

void assign_parts(Module& split, const Module& whole) {
  const std::vector<Buffer> wholes = values_of(whole);
  for (Buffer& b : values_of(split)) {
    const auto found = std::ranges::find(wholes, b.name, &Buffer::name);
    require(found != wholes.end(), "tensor parallel: the whole model has no '{}'", b.name);
    take(b, found->values);
  }
}

}  // namespace tandem
