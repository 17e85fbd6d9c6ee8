// Cutting a row of layers into stages of nearly equal time.
//
//   times     3  1  4  1  5  9  2  6         3 stages:   3 1 4 1 5 | 9 2 | 6       the slowest has 14
//                                                        3 1 4 1 5 | 9   | 2 6     ... and so it stays: no cut does better
//
// A pipeline is as fast as its slowest stage, so the largest sum is made as small as possible. Stages are contiguous, since layers are.
//
// best(j, k) = least possible largest sum when layers [0, j) make k stages
//            = min over i < j of max(best(i, k-1), times[i] + ... + times[j-1])
//
// Cost: O(n^2 p) for n layers and p stages; n is a few hundred. Source: Bokhari, "Partitioning problems in parallel, pipelined, and
// distributed computing", IEEE Trans. Computers 37(1), 1988.
#pragma once

#include <span>
#include <vector>

#include "nn/data.hpp"

namespace tandem {

// The layers of each stage. Of equally good cuts the one whose first stages are longest. Every stage has a layer: UsageError if there
// are more stages than layers.
std::vector<Range> balanced_partition(std::span<const double> times, int stages);

}  // namespace tandem
