#include "parallel/pipeline/partition.hpp"

#include <algorithm>
#include <limits>

#include "core/error.hpp"

namespace tandem {

std::vector<Range> balanced_partition(std::span<const double> times, int stages) {
  const std::size_t n = times.size(), p = static_cast<std::size_t>(std::max(stages, 0));
  if (stages < 1 || p > n)
    throw UsageError(fmt::format("pipeline: {} layers cannot make {} stages, for each stage needs one; use at most {}", n, stages, n));
  std::vector<double> sum_before(n + 1, 0);
  for (std::size_t i = 0; i < n; ++i) {
    require(times[i] >= 0, "partition: layer {} takes {} s", i, times[i]);
    sum_before[i + 1] = sum_before[i] + times[i];
  }

  // best[k][j] as above, and where its last stage begins.
  std::vector best(p + 1, std::vector<double>(n + 1, std::numeric_limits<double>::infinity()));
  std::vector cut(p + 1, std::vector<std::size_t>(n + 1, 0));
  best[0][0] = 0;
  for (std::size_t k = 1; k <= p; ++k)
    for (std::size_t j = k; j <= n; ++j)
      for (std::size_t i = k - 1; i < j; ++i) {
        const double slowest = std::max(best[k - 1][i], sum_before[j] - sum_before[i]);
        if (slowest <= best[k][j]) best[k][j] = slowest, cut[k][j] = i;
      }

  std::vector<Range> ranges(p);
  for (std::size_t k = p, end = n; k > 0; end = cut[k--][end])
    ranges[k - 1] = {static_cast<std::int64_t>(cut[k][end]), static_cast<std::int64_t>(end)};
  return ranges;
}

}  // namespace tandem
