// What a sum costs where ranks share memory. The algorithms themselves: shared_window.cpp, hierarchical.cpp.
#include "parallel/collectives/algorithms.hpp"

namespace tandem {

// 2a for the two flags; n bytes read, n written; (p-1)/p n added
Seconds shared_window_allreduce_cost(int ranks, std::size_t bytes, const LinkProfile& window) {
  const double p = ranks;
  return 2 * window.message(bytes) + (p - 1) / p * window.addition(bytes);
}

Seconds hierarchical_allreduce_cost(int nodes, int ranks_of_a_node, std::size_t bytes, const LinkProfile& between, const LinkProfile& window) {
  const Seconds sums = duration(plans_of_all(doubling_allreduce, nodes, bytes), 1, between), copies = 2 * window.message(bytes);
  return shared_window_allreduce_cost(ranks_of_a_node, bytes, window) + sums + copies;
}

}  // namespace tandem
