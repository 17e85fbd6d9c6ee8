#include "parallel/mpi/watch/board.hpp"

namespace tandem::watch {

namespace {
std::size_t scatter(std::uint64_t key) { return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> 32); }
std::size_t home(std::uint64_t key) { return scatter(key) % most_operations; }
}  // namespace

Operation* find_request(Page& page, std::uint64_t key) {
  for (std::size_t i = home(key), steps = 0; steps < most_operations; ++steps, i = (i + 1) % most_operations) {
    if (page.requests[i].key == key) return &page.requests[i];
    if (page.requests[i].key == 0) return nullptr;
  }
  return nullptr;
}

Operation* add_request(Page& page, const Operation& operation) {
  for (std::size_t i = home(operation.key), steps = 0; steps < most_operations - 1; ++steps, i = (i + 1) % most_operations)
    if (page.requests[i].key == 0 || page.requests[i].key == operation.key) {
      page.requests[i] = operation;
      return &page.requests[i];
    }
  return nullptr;
}

// What lies behind the gap and would have lain in it moves up, so that a search may stop at the first free place.
void remove_request(Page& page, Operation* operation) {
  auto gap = static_cast<std::size_t>(operation - page.requests.data());
  for (std::size_t i = (gap + 1) % most_operations; page.requests[i].key != 0; i = (i + 1) % most_operations) {
    const std::size_t from_home = (i - home(page.requests[i].key)) % most_operations, from_gap = (i - gap) % most_operations;
    if (from_home < from_gap) continue;
    page.requests[gap] = page.requests[i];
    gap = i;
  }
  page.requests[gap].key = 0;
}

Channel* channel(Channels& table, GroupId group, int peer, int tag) {
  const auto key = group * 31 + (static_cast<std::uint64_t>(static_cast<unsigned>(peer)) << 32 | static_cast<unsigned>(tag));
  for (std::size_t i = scatter(key) % most_channels, steps = 0; steps < most_channels; ++steps, i = (i + 1) % most_channels) {
    Channel& c = table[i];
    if (c.count == 0) c = {.group = group, .peer = peer, .tag = tag};
    if (c.group == group && c.peer == peer && c.tag == tag) return &c;
  }
  return nullptr;
}

}  // namespace tandem::watch
