// Algorithms that pair ranks by the bits of their numbers want 2^k of them. Others fold: of p = 2^k + r ranks the first r pairs
// become one rank each, which takes part for both.
//
//   p=3, r=1       fold in               the algorithm          unfold
//     rank 0   0   <-+  0+1   now "0"    <-+    (0+1)+2   -+     (0+1)+2
//     rank 1   1   --+                     |               +->   (0+1)+2
//     rank 2   2        2     now "1"    <-+    (0+1)+2          (0+1)+2
//
// Cost: 2(a + n b) + n g more, and 2 r messages of n bytes.
//
// Source: Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in MPICH", IJHPCA 19(1), 2005,
// section 4.4.
#pragma once

#include <algorithm>
#include <bit>
#include <iterator>

#include "parallel/collectives/plan.hpp"

namespace tandem {

struct Fold {
  int ranks;
  int power = static_cast<int>(std::bit_floor(static_cast<unsigned>(ranks)));  // 2^k
  int pairs = ranks - power;                                                  // r

  int levels() const { return std::bit_width(static_cast<unsigned>(power)) - 1; }  // k
  int rank_at(int position) const { return position < pairs ? 2 * position : position + pairs; }

  // `rank`'s plan, where algorithm(position) gives that of one among 2^k.
  template <class F>
  Plan around(int rank, std::size_t count, const F& algorithm) const {
    const Piece all{0, count};
    const bool in_pair = rank < 2 * pairs;
    if (in_pair && rank % 2 == 1) return {{.to = rank - 1, .out = all}, {.from = rank - 1, .in = all}};
    Plan plan;
    if (in_pair) plan.push_back({.from = rank + 1, .in = all, .add = true});
    std::ranges::copy(algorithm(in_pair ? rank / 2 : rank - pairs), std::back_inserter(plan));
    if (in_pair) plan.push_back({.to = rank + 1, .out = all});
    return plan;
  }

  Seconds cost(std::size_t bytes, Link link) const {
    const double n = pairs ? static_cast<double>(bytes) : 0;
    return pairs ? 2 * (link.alpha + n * link.beta) + n * link.gamma : 0;
  }
  Traffic traffic(std::size_t bytes) const {
    const auto messages = static_cast<std::size_t>(2 * pairs);
    return {.messages = messages, .bytes = messages * bytes};
  }
};

}  // namespace tandem
