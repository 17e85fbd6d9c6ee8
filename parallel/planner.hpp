// Which scheme? Predicts all that fit the ranks, and keeps those that fit the memory.
//
//     grids         every product data x pipeline x tensor x spatial that divides the ranks, tensor groups and images within a node
//     schedules     gpipe, 1f1b, interleaved with 2 and 4 chunks, zb-h1, where there is a pipeline
//     M             powers of two times the replicas, as the batch allows
//     sharding      0, then 1, 2, 3: only as far as memory asks for it, or while it makes the step shorter
//     recompute     only where nothing fits without
//
// The search is complete but for this: before a step is simulated, m times the slowest stage bounds it from below; what cannot come within
// `interest` of the best so far is left out.
#pragma once

#include <optional>

#include "parallel/predict.hpp"

namespace tandem {

struct PlanRequest {
  int ranks = 1;
  double memory = 0;                  // bytes of a rank; 0: without end
  std::int64_t batch = 64;            // rows of a step, over all ranks
  std::optional<int> micro_batches;   // M, if it is given: it fixes the bits of the result
  double interest = 2;                // steps up to so many times the best are predicted in full
};

struct Candidate {
  Scheme scheme;
  Prediction prediction;
  std::string refused = {};  // why it does not fit; empty if it does
};

struct PlanResult {
  std::vector<Candidate> fitting;   // by step, the best of each grid and schedule
  std::vector<Candidate> refused;   // the fastest of each grid that does not fit in memory, by step
  Candidate serial;                 // one rank; for speed-ups
  std::size_t predicted = 0, bounded = 0;  // how many were simulated, how many left out
};

// UsageError: no ranks, fewer rows than ranks can share.
PlanResult search_schemes(const CostProfile& profile, const PlanRequest& request);

// The choice in words: what is best and why, how the next best differs, what does not fit, what was assumed.
std::string explain(const PlanResult& plan, const CostProfile& profile, const PlanRequest& request);
// The best of other kinds, and refused ones with the reason.
std::string plan_table(const PlanResult& plan, std::size_t rows = 10);

std::string bytes_text(double bytes);  // "1.5 GB"

}  // namespace tandem
