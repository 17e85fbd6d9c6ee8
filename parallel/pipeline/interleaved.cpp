// Interleaved 1F1B: a rank has v chunks of the model instead of one stage, chunk c of rank r being stage c p + r.
//
//     p = 2, v = 2       rank 0: stages 0, 2      rank 1: stages 1, 3       a micro-batch goes round the ranks v times
//
//     rank 0   0F0 0F1 2F0 2F1 0F2 ...       micro-batches travel in groups of p: the group through chunk 0, then through chunk 1, ...
//     rank 1       1F0 1F1 3F0 3B0 ...       so that rank 0 goes on with chunk 1 just when the group comes round
//
// A chunk takes 1/v of a stage's time, so the pipeline fills v times as fast: the idle part is (p-1)/v instead of p-1 micro-batches' time,
// for v times as many messages and somewhat more live activations. Where p does not divide m, the groups are somewhat larger than p.
//
// Source: Narayanan et al., "Efficient Large-Scale Language Model Training on GPU Clusters", SC 2021, section 2.2.
#include <algorithm>

#include "parallel/pipeline/generate.hpp"

namespace tandem {

Schedule interleaved(int p, int m, int v) {
  Schedule schedule = empty_schedule(p, m, v);
  // What every rank does, chunk by chunk: (chunk, micro-batch), forward; backward takes the chunks from the last to the first.
  struct Turn {
    int chunk, micro;
  };
  std::vector<Turn> turns;
  const int groups = std::max(1, m / p), largest = (m + groups - 1) / groups;
  for (int group = 0, begin = 0; group < groups; ++group) {
    const int end = begin + (m - begin + groups - group - 1) / (groups - group);  // what is left, in equal parts; larger ones first
    for (int chunk = 0; chunk < v; ++chunk)
      for (int i = begin; i < end; ++i) turns.push_back({chunk, i});
    begin = end;
  }

  const int n = static_cast<int>(turns.size());
  for (int r = 0; r < p; ++r) {
    auto& program = schedule.programs[static_cast<std::size_t>(r)];
    const auto forward = [&](int k) {
      const Turn& turn = turns[static_cast<std::size_t>(k)];
      program.push_back({Op::F, turn.chunk * p + r, turn.micro});
    };
    const auto backward = [&](int k) {
      const Turn& turn = turns[static_cast<std::size_t>(k)];
      program.push_back({Op::B, (v - 1 - turn.chunk) * p + r, turn.micro});
    };
    const int ahead = v == 1 ? std::min(n, p - r) : std::min(n, 2 * (p - r - 1) + (v - 1) * largest + 1);
    for (int k = 0; k < ahead; ++k) forward(k);
    for (int k = 0; k < n; ++k) {
      backward(k);
      if (k + ahead < n) forward(k + ahead);
    }
  }
  return schedule;
}

}  // namespace tandem
