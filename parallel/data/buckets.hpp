// How the gradients of a model are cut into buckets, each summed in one go. Why: exchange.hpp.
#pragma once

#include <vector>

#include "nn/module.hpp"
#include "parallel/collectives/plan.hpp"

namespace tandem {

inline constexpr std::size_t usual_bucket_bytes = std::size_t{1} << 20;  // long against the latency, short against a step

// Slots, their shapes in the order of the parameters and the totals at the end, in buckets.
std::vector<Shape> slot_shapes(const std::vector<Parameter>& parameters, Index totals);
using Buckets = std::vector<std::vector<std::size_t>>;
Buckets buckets_by_size(const std::vector<Shape>& slots, std::size_t bytes);  // in reverse order, cut where one has reached `bytes`

// Where each slot lies. Slots begin on 64 bytes, so that their bits do not depend on their neighbours' sizes.
struct BucketLayout {
  struct Place {
    std::size_t bucket = 0, begin = 0;  // in values of the bucket
    Shape shape = {};
    Piece piece() const { return {.begin = begin, .end = begin + count_of(shape.size())}; }
  };
  std::vector<Place> places;       // by slot
  Buckets slots;                   // by bucket, as they lie in it
  std::vector<std::size_t> sizes;  // by bucket, in values

  BucketLayout(const std::vector<Shape>& shapes, Buckets buckets);
};

}  // namespace tandem
