#include "parallel/data/replicas.hpp"

#include <cstring>

#include "core/random.hpp"
#include "parallel/collectives/collectives.hpp"

namespace tandem {

void require_equal_replicas(const Module& model, const Communicator& replicas, std::string_view when) {
  std::vector<Buffer> state = model.buffers();
  for (const Parameter& p : model.parameters()) state.push_back({p.name, p.variable.value()});
  std::vector<std::uint64_t> mine;
  for (const Buffer& b : state) mine.push_back(hash({reinterpret_cast<const char*>(b.values.data()), b.values.values().size_bytes()}));
  std::vector<std::uint64_t> first = mine;
  broadcast(first, 0, replicas);

  const std::ptrdiff_t differs = std::ranges::mismatch(mine, first).in1 - mine.begin();
  // The lowest rank that differs speaks; -max(-x) is the minimum.
  const int odd = static_cast<int>(-max_over_ranks(differs < std::ssize(mine) ? -replicas.rank() : -replicas.size(), replicas));
  if (odd == replicas.size()) return;

  std::int64_t which = differs;
  broadcast(std::span(&which, 1), odd, replicas);
  const Buffer& b = state[static_cast<std::size_t>(which)];
  Tensor of_first = b.values.clone();
  broadcast(of_first.values(), 0, replicas);
  std::string words;
  if (replicas.rank() == odd) {
    Index i = 0;
    while (i < b.values.size() && std::memcmp(&b.values[i], &of_first[i], sizeof(real)) == 0) ++i;
    words = fmt::format("replicas differ {}: value {} of '{}' is {} on rank {}, but {} on rank 0", when, i, b.name, b.values[i], odd, of_first[i]);
  }
  fail("{}", broadcast_text(words, odd, replicas));
}

}  // namespace tandem
