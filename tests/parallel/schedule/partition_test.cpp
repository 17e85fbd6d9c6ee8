#include "parallel/pipeline/partition.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "core/random.hpp"
#include "tests/support.hpp"

using namespace tandem;

namespace {

double slowest(std::span<const double> times, const std::vector<Range>& stages) {
  double largest = 0;
  for (const Range& s : stages) largest = std::max(largest, std::accumulate(times.begin() + s.begin, times.begin() + s.end, 0.0));
  return largest;
}

// All cuts tried, one by one.
double least_possible(std::span<const double> times, int stages) {
  if (stages == 1) return std::accumulate(times.begin(), times.end(), 0.0);
  double least = std::numeric_limits<double>::infinity(), first = 0;
  for (std::size_t i = 1; i + static_cast<std::size_t>(stages) - 1 <= times.size(); ++i) {
    first += times[i - 1];
    least = std::min(least, std::max(first, least_possible(times.subspan(i), stages - 1)));
  }
  return least;
}

}  // namespace

TEST_CASE("partition: stages follow each other, none is empty, and no cut has a faster slowest stage") {
  Random random(1, 2);
  for (std::size_t n = 1; n <= 9; ++n)
    for (int p = 1; p <= static_cast<int>(n); ++p) {
      std::vector<double> times(n);
      for (double& t : times) t = random.below(10);
      const std::vector<Range> stages = balanced_partition(times, p);
      REQUIRE(std::ssize(stages) == p);
      std::int64_t next = 0;
      for (const Range& s : stages) {
        CHECK(s.begin == next);
        CHECK(s.size() >= 1);
        next = s.end;
      }
      CHECK(next == static_cast<std::int64_t>(n));
      CHECK(slowest(times, stages) == least_possible(times, p));
    }
}

TEST_CASE("partition: the drawing's example; equal parts by number of layers would be slower") {
  const std::vector<double> times{3, 1, 4, 1, 5, 9, 2, 6};
  CHECK(slowest(times, balanced_partition(times, 3)) == 14);
  CHECK(slowest(times, {{0, 3}, {3, 6}, {6, 8}}) == 15);
}

TEST_CASE("partition: more stages than layers are refused") {
  CHECK(error_of([] { balanced_partition(std::vector<double>{1, 2}, 3); }) == "pipeline: 2 layers cannot make 3 stages, for each stage needs one; use at most 2");
}
