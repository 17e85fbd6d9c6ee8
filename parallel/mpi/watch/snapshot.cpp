#include "parallel/mpi/watch/snapshot.hpp"

#include <algorithm>

namespace tandem::watch {

RankView view(const Page& page) {
  RankView rank{.state = page.state.load(), .overflow = page.overflow.load(), .call = page.call, .all = page.all};
  const std::uint64_t epoch = page.epoch.load(std::memory_order_acquire);
  const bool waiting = rank.state == State::blocked || rank.state == State::polling;
  const auto see = [&](const Operation& o) {
    const bool waited = waiting && o.waited == epoch;
    if (waited) rank.waits.push_back(o);
    if (o.role == Role::receive && o.active && (waited || o.key != 0)) rank.receives.push_back(o);
  };
  for (const Operation& o : page.own) see(o);
  for (const Operation& o : page.requests)
    if (o.key != 0) see(o);
  std::ranges::sort(rank.receives, {}, &Operation::number);

  for (const Channel& c : page.sent)
    if (c.count != 0) rank.sent[{c.peer, c.group, c.tag}] = c.count;
  for (const Channel& c : page.received)
    if (c.count != 0) rank.received[{c.peer, c.group, c.tag}] = c.count;

  for (const Group& g : page.groups) {
    if (g.id == unknown_group) continue;
    GroupView& group = rank.groups[g.id];
    group.name = g.name.data(), group.members = g.members, group.count = g.count;
    for (std::uint64_t n = g.count; n > 0 && n + remembered_collectives > g.count; --n)
      group.last[n] = g.last[n % remembered_collectives];
    for (std::size_t i = 0; i < g.counts.size(); ++i)
      if (g.counts[i] != 0) group.counts[static_cast<Call>(i)] = g.counts[i];
  }
  return rank;
}

}  // namespace tandem::watch
