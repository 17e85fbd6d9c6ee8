#pragma once

#include <algorithm>
#include <vector>

namespace tandem {

// The middle value; of an even number, the mean of the two in the middle. `values` must not be empty.
inline double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace tandem
