// Which allreduce? Measure the links once, walk along every algorithm's plan with that clock, take the fastest.
//
// What wins depends on the machine: `doubling` where latency rules, `ring` and `halving` where bytes do; where the crossover lies is a
// matter of alpha / beta. `tandem bench allreduce` shows the choice beside all algorithms' real times.
#pragma once

#include "parallel/collectives/collectives.hpp"

namespace tandem {

// Times exchanges between neighbours (ranks 0 and 1, 2 and 3, ... all at once, as in a collective), and additions, for lengths of 8 B to
// 16 MB; the slowest pair counts. About 0.1 s on one host. The same on every rank. Collective. Error on a single rank.
LinkProfile measure_links(const Communicator& comm);

struct AllreduceChoice {
  bool rank_tree_only = false;  // only algorithms that keep the bits of serial training
};
const AllreduceAlgorithm& choose_allreduce(int ranks, std::size_t bytes, const LinkProfile& links, AllreduceChoice choice = {});

}  // namespace tandem
