// Threads that do not change results.
//
// Whatever is summed together is summed in one order, which depends on the work alone: within a block, and blocks one after the other.
// Where a block holds sums, its size must not depend on the number of threads; where values do not meet, pieces may be dealt as suits
// the threads (part_of_thread). So the bits are the same on 1, 2 or 64 threads.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>

#include "core/real.hpp"

namespace tandem {

inline int thread_count() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

inline void set_thread_count([[maybe_unused]] int threads) {
#ifdef _OPENMP
  omp_set_num_threads(threads);
#endif
}

// Equal parts of n for the threads, as a block size. Only for work whose bits do not depend on how it is cut.
inline Index part_of_thread(Index n) { return std::max<Index>(1, divide_up(n, thread_count())); }

// Calls body(begin, end) for [0,block), [block,2 block), ... up to n. `body` must not throw.
template <class Body>
void for_blocks(Index n, Index block, const Body& body) {
  const Index blocks = divide_up(n, block);
  if (blocks <= 1) {  // even a parallel region of one thread costs more than a small loop
    if (n > 0) body(Index{0}, n);
    return;
  }
#pragma omp parallel for schedule(static)
  for (Index b = 0; b < blocks; ++b) body(b * block, std::min(n, (b + 1) * block));
}

}  // namespace tandem
