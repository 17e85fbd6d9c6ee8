// Adding vectors: the arithmetic inside every allreduce.
#pragma once

#include <span>

#include "core/real.hpp"

namespace tandem {

// sum += term, element by element; equal lengths, no overlap. One addition for two reads and a write: memory decides the
// speed.
void add(std::span<real> sum, std::span<const real> term);

// sum = the rank tree over terms[0], terms[1], ... (see collectives.hpp), each as long as sum. `sum` must not overlap a
// term.
//
//   terms   0   1   2   3   4   5          p = 6 = 4 + 2: the first two pairs fold into one leaf each
//            \ /     \ /    |   |
//   leaves    0       1     2   3
//              \     /       \ /
//               -----         -           leaves a power of two: halves, quarters, ...
//                    \       /
//                      sum
void tree_sum(std::span<real> sum, std::span<const std::span<const real>> terms);

}  // namespace tandem
