// What the pictures share.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "parallel/pipeline/timeline.hpp"

namespace tandem {

// Round distances 1, 2, 5, 10, ... of about `end` / `count`.
inline double tick_distance(double end, double count) {
  const double least = end / count, power = std::pow(10, std::floor(std::log10(least)));
  for (const double step : {1.0, 2.0, 5.0})
    if (step * power >= least) return step * power;
  return 10 * power;
}

// The stages of one rank, each with its place among them: 0, 1, ...
inline std::map<int, int> places_of_stages(const std::vector<Span>& spans) {
  std::map<int, int> places;
  for (const Span& span : spans) places[span.what.stage] = 0;
  int place = 0;
  for (auto& [stage, at] : places) at = place++;
  return places;
}

inline bool has_reductions(const std::vector<Span>& spans) {
  return std::ranges::any_of(spans, [](const Span& span) { return span.what.op == Op::reduce; });
}

}  // namespace tandem
