// What the generators share.
#pragma once

#include "core/error.hpp"
#include "parallel/pipeline/schedule.hpp"

namespace tandem {

inline void require_sizes(int p, int m, int v = 1) {
  if (p < 1 || m < 1 || v < 1) throw UsageError(fmt::format("schedule: {} ranks, {} micro-batches, {} chunks a rank; each must be 1 or more", p, m, v));
}

// A schedule of p empty programs.
inline Schedule empty_schedule(int p, int m, int v = 1) {
  require_sizes(p, m, v);
  return {.stages = p * v, .micros = m, .programs = std::vector<std::vector<Action>>(static_cast<std::size_t>(p))};
}

}  // namespace tandem
