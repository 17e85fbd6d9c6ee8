#include "parallel/pipeline/timeline.hpp"

#include <algorithm>

namespace tandem {

bool computes(Op op) { return op <= Op::W || op == Op::update; }

double Timeline::makespan() const {
  double end = 0;
  for (const auto& spans : ranks)
    for (const Span& span : spans) end = std::max(end, span.end);
  return end;
}

double Timeline::idle_share() const {
  double busy = 0;
  for (const auto& spans : ranks) {
    double computing_until = 0;
    for (const Span& span : spans)
      if (computes(span.what.op)) {
        busy += span.seconds();
        computing_until = span.end;
      } else if (span.what.op == Op::exchange) {
        busy -= std::max(0.0, std::min(span.end, computing_until) - span.begin);
      }
  }
  const double all = makespan() * static_cast<double>(ranks.size());
  return all > 0 ? 1 - busy / all : 0;
}

}  // namespace tandem
