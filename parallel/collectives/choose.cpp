#include "parallel/collectives/choose.hpp"

#include <limits>

namespace tandem {

const AllreduceAlgorithm& choose_allreduce(int ranks, std::size_t bytes, const LinkProfile& links, AllreduceChoice choice) {
  const AllreduceAlgorithm* best = nullptr;
  Seconds least = std::numeric_limits<Seconds>::infinity();
  for (const AllreduceAlgorithm& algorithm : allreduce_algorithms()) {
    if (choice.rank_tree_only && !algorithm.keeps_rank_tree(ranks)) continue;
    const Seconds time = duration(plans_of_all(algorithm.plan, ranks, bytes / sizeof(real)), sizeof(real), links);
    if (time < least) best = &algorithm, least = time;
  }
  return *best;
}

}  // namespace tandem
