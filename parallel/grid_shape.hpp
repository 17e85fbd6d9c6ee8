// How many ranks work on each axis: the grid as numbers. What the axes mean: grid.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tandem {

struct GridShape {
  int data = 1, pipeline = 1, tensor = 1, spatial = 1;
  std::int64_t size() const { return std::int64_t{data} * pipeline * tensor * spatial; }
  bool operator==(const GridShape&) const = default;
};

// "data=2,tensor=2": axes in any order; one that is not named is 1, but data, when not named, takes the ranks that are left.
// UsageError for an unknown axis, a number that is not within 1 and `ranks`, an axis named twice, a product that is not `ranks`.
GridShape grid_shape(std::string_view text, int ranks);
GridShape grid_shape(std::string_view text);    // of as many ranks as it says, also "serial"; what is not named is 1
const GridShape& require_ranks(const GridShape& shape, int ranks);  // UsageError unless that is how many it has
std::string to_string(const GridShape& shape);  // only what is not 1: "data=2,tensor=2"; "serial"

}  // namespace tandem
