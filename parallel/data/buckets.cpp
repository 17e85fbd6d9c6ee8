#include "parallel/data/buckets.hpp"

#include "core/memory.hpp"

namespace tandem {
namespace {

std::size_t in_lines(Index values) {
  constexpr std::size_t line = memory_alignment / sizeof(real);
  return (count_of(values) + line - 1) / line * line;
}

}  // namespace

std::vector<Shape> slot_shapes(const std::vector<Parameter>& parameters, Index totals) {
  std::vector<Shape> shapes;
  for (const Parameter& p : parameters) shapes.push_back(p.variable.shape());
  shapes.push_back({totals});
  return shapes;
}

BucketLayout::BucketLayout(const std::vector<Shape>& shapes, Buckets buckets)
    : places(shapes.size()), slots(std::move(buckets)), sizes(slots.size(), 0) {
  for (std::size_t b = 0; b < slots.size(); ++b)
    for (const std::size_t i : slots[b]) {
      places[i] = {.bucket = b, .begin = sizes[b], .shape = shapes[i]};
      sizes[b] += in_lines(shapes[i].size());
    }
}

Buckets buckets_by_size(const std::vector<Shape>& slots, std::size_t bytes) {
  Buckets buckets;
  std::size_t filled = 0;
  for (std::size_t i = slots.size(); i-- > 0;) {
    if (buckets.empty() || filled >= bytes) buckets.emplace_back(), filled = 0;
    buckets.back().push_back(i);
    filled += in_lines(slots[i].size()) * sizeof(real);
  }
  return buckets;
}

}  // namespace tandem
