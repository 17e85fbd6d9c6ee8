// Zero bubble, first handcrafted form (ZB-H1): 1F1B whose backward comes in two halves.
//
//     rank 0   F0 F1 F2 F3          I0 W0    I1 W1 ...         I: the gradient that the previous stage waits for, as soon as possible
//     rank 1      F0 F1 F2       I0 F3   I1 W0  ...            W: the gradients of the weights, which nobody waits for: rank s puts them off
//     rank 2         F0 F1    I0 F2 I1   I2 W0 ...                by s micro-batches, and fills with them the time in which it would wait
//     rank 3            F0 I0 F1 I1 F2 I2 F3 ...
//
// What 1F1B waits for on its way back, (p-1)(t_F + t_I + t_W), becomes (p-1)(t_F + t_I - t_W). Every rank holds p micro-batches from F to W,
// as many as rank 0 does in 1F1B, so the memory of the rank that needs most is the same.
//
// Source: Qi et al., "Zero Bubble Pipeline Parallelism", ICLR 2024, section 2.1.
#include <algorithm>

#include "parallel/pipeline/generate.hpp"

namespace tandem {

Schedule zero_bubble(int p, int m) {
  Schedule schedule = empty_schedule(p, m);
  for (int s = 0; s < p; ++s) {
    auto& program = schedule.programs[static_cast<std::size_t>(s)];
    const int ahead = std::min(m, p - s), behind = std::min(m, s);
    for (int i = 0; i < ahead; ++i) program.push_back({Op::F, s, i});
    for (int i = 0; i < m; ++i) {
      program.push_back({Op::I, s, i});
      if (i >= behind) program.push_back({Op::W, s, i - behind});
      if (i + ahead < m) program.push_back({Op::F, s, i + ahead});
    }
    for (int i = m - behind; i < m; ++i) program.push_back({Op::W, s, i});
  }
  return schedule;
}

}  // namespace tandem
