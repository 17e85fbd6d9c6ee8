// GPipe: all micro-batches forward, then all backward.
//
//     rank 0   F0 F1 F2 F3          B0    B1    B2    B3       p = 3, m = 4, a backward as long as two forwards
//     rank 1      F0 F1 F2 F3    B0    B1    B2    B3
//     rank 2         F0 F1 F2 F3 B0 .. B1 .. B2 .. B3 ..
//
// The idle share is (p-1)/(m+p-1): many micro-batches make it small. But every micro-batch's activations wait for the backward: m of them.
//
// The paper runs backward from the last micro-batch to the first. Here it runs in order, as in all our schedules, so that all add gradients
// in one order and give the same bits; the makespan is the same.
//
// Source: Huang et al., "GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism", NeurIPS 2019, section 2.3.
#include "parallel/pipeline/generate.hpp"

namespace tandem {

Schedule gpipe(int p, int m) {
  Schedule schedule = empty_schedule(p, m);
  for (int s = 0; s < p; ++s)
    for (const Op op : {Op::F, Op::B})
      for (int i = 0; i < m; ++i) schedule.programs[static_cast<std::size_t>(s)].push_back({op, s, i});
  return schedule;
}

}  // namespace tandem
