// The naive schedule of a layer split: each micro-batch goes all the way forward and back before the next one starts.
//
//     rank 0   F0             B0 F1             B1
//     rank 1      F0       B0       F1       B1             p = 3, m = 2: one rank works, the others wait
//     rank 2         F0 B0             F1 B1
//
// Utilisation 1/p. It is what a model too large for one rank gets without a pipeline, and the yardstick for those below.
#include "parallel/pipeline/generate.hpp"

namespace tandem {

Schedule naive(int p, int m) {
  Schedule schedule = empty_schedule(p, m);
  for (int s = 0; s < p; ++s)
    for (int i = 0; i < m; ++i) {
      auto& program = schedule.programs[static_cast<std::size_t>(s)];
      program.push_back({Op::F, s, i});
      program.push_back({Op::B, s, i});
    }
  return schedule;
}

}  // namespace tandem
