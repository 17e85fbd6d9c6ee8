// One forward, one backward (1F1B, the flush form of PipeDream): as soon as a micro-batch is through, it goes back.
//
//     rank 0   F0 F1 F2          B0    F3 B1    ...            warm-up: p - s forwards on rank s, as many as fill the stages below
//     rank 1      F0 F1    B0    F2 B1    F3 ...               steady: one backward, one forward
//     rank 2         F0 B0 .. F1 B1 .. F2 B2 ..                cool-down: the backwards that are left
//
// As long as GPipe, with the same idle share, but rank s never holds more than p - s micro-batches: it saves memory, not time. With a latency
// between ranks it is even the slower one, since a forward may wait for the backward before it.
//
// Source: Narayanan et al., "Memory-Efficient Pipeline-Parallel DNN Training", ICML 2021, section 3.
#include <algorithm>

#include "parallel/pipeline/generate.hpp"

namespace tandem {

Schedule one_f_one_b(int p, int m) {
  Schedule schedule = empty_schedule(p, m);
  for (int s = 0; s < p; ++s) {
    auto& program = schedule.programs[static_cast<std::size_t>(s)];
    const int ahead = std::min(m, p - s);
    for (int i = 0; i < ahead; ++i) program.push_back({Op::F, s, i});
    for (int i = 0; i < m; ++i) {
      program.push_back({Op::B, s, i});
      if (i + ahead < m) program.push_back({Op::F, s, i + ahead});
    }
  }
  return schedule;
}

}  // namespace tandem
