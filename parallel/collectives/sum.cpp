#include "parallel/collectives/sum.hpp"

#include <algorithm>
#include <bit>

#include "core/memory.hpp"

namespace tandem {

namespace {

void add_to(real* sum, const real* a, const real* b, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) sum[i] = a[i] + b[i];
}

using Terms = std::span<const std::span<const real>>;

// The sum of leaves [first, first + count), count a power of two. `spare` holds one vector per level below.
void sum_leaves(std::span<real> sum, Terms terms, std::size_t folded, std::size_t first, std::size_t count, real* spare) {
  const std::size_t n = sum.size();
  // Leaf i is the pair of terms 2i, 2i+1 while i < folded, then the single term i + folded.
  const auto is_pair = [&](std::size_t leaf) { return leaf < folded; };
  const auto term_of = [&](std::size_t leaf) { return is_pair(leaf) ? 2 * leaf : leaf + folded; };

  if (count == 1) {
    const std::size_t t = term_of(first);
    if (is_pair(first))
      add_to(sum.data(), terms[t].data(), terms[t + 1].data(), n);
    else
      std::ranges::copy(terms[t], sum.begin());
  } else if (count == 2 && !is_pair(first)) {  // two single terms: no need to copy the first
    add_to(sum.data(), terms[term_of(first)].data(), terms[term_of(first + 1)].data(), n);
  } else {
    const std::span<real> right(spare, n);
    sum_leaves(sum, terms, folded, first, count / 2, spare + n);
    sum_leaves(right, terms, folded, first + count / 2, count / 2, spare + n);
    add_to(sum.data(), sum.data(), right.data(), n);
  }
}

}  // namespace

void add(std::span<real> sum, std::span<const real> term) { add_to(sum.data(), sum.data(), term.data(), sum.size()); }

void tree_sum(std::span<real> sum, Terms terms) {
  const std::size_t leaves = std::bit_floor(terms.size());
  const Scratch<> spare(sum.size() * static_cast<std::size_t>(std::bit_width(leaves)));
  sum_leaves(sum, terms, terms.size() - leaves, 0, leaves, spare.data());
}

}  // namespace tandem
