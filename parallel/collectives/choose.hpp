// Which allreduce? Walk along every algorithm's plan with a clock that runs as the links were measured (links.hpp), take the fastest.
//
// What wins depends on the machine: `doubling` where latency rules, `ring` and `halving` where bytes do; where the crossover lies is a
// matter of alpha / beta. `tandem bench allreduce` shows the choice beside all algorithms' real times.
#pragma once

#include "parallel/collectives/algorithms.hpp"

namespace tandem {

struct AllreduceChoice {
  bool rank_tree_only = false;  // only algorithms that keep the bits of serial training
};
const AllreduceAlgorithm& choose_allreduce(int ranks, std::size_t bytes, const LinkProfile& links, AllreduceChoice choice = {});

}  // namespace tandem
