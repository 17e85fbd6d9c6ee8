#include "parallel/data/replicas.hpp"

#include <cstring>

#include "core/random.hpp"
#include "parallel/collectives/collectives.hpp"

namespace tandem {
namespace {

// Of the first rank of `comm` that differs from its rank 0: where; on all others nothing. Collective over `comm`.
std::string difference(const std::vector<Buffer>& state, const Communicator& comm, const Communicator& world) {
  std::vector<std::uint64_t> mine;
  for (const Buffer& b : state) mine.push_back(hash({reinterpret_cast<const char*>(b.values.data()), b.values.values().size_bytes()}));
  std::vector<std::uint64_t> first = mine;
  broadcast(first, 0, comm);
  const std::ptrdiff_t differs = std::ranges::mismatch(mine, first).in1 - mine.begin();

  // The lowest rank that differs speaks; -max(-x) is the minimum.
  const int odd = static_cast<int>(-max_over_ranks(differs < std::ssize(mine) ? -comm.rank() : -comm.size(), comm));
  if (odd == comm.size()) return {};
  std::int64_t which = differs;
  broadcast(std::span(&which, 1), odd, comm);
  const Buffer& b = state[static_cast<std::size_t>(which)];
  Tensor of_first = b.values.clone();
  broadcast(of_first.values(), 0, comm);
  int first_in_world = world.rank();
  broadcast(std::span(&first_in_world, 1), 0, comm);
  if (comm.rank() != odd) return {};

  Index i = 0;
  while (i < b.values.size() && std::memcmp(&b.values[i], &of_first[i], sizeof(real)) == 0) ++i;
  return fmt::format("value {} of '{}' is {} on rank {}, but {} on rank {}", i, b.name, b.values[i], world.rank(), of_first[i], first_in_world);
}

}  // namespace

void require_equal_replicas(const Module& model, const ProcessGrid& grid, std::string_view when) {
  std::vector<Buffer> state = model.buffers();
  for (const Parameter& p : model.parameters()) state.push_back({.name = p.name, .values = p.variable.value(), .slice = p.slice});
  std::string words = difference(state, grid.replicas(), grid.world());
  std::erase_if(state, [](const Buffer& b) { return b.slice.has_value(); });
  const std::string in_group = difference(state, grid.tensor(), grid.world());
  if (words.empty()) words = in_group;

  // All throw what the lowest rank says that has something to say.
  const Communicator& world = grid.world();
  const int speaker = static_cast<int>(-max_over_ranks(words.empty() ? -world.size() : -world.rank(), world));
  if (speaker < world.size()) fail("replicas differ {}: {}", when, broadcast_text(words, speaker, world));
}

}  // namespace tandem
