#include "parallel/mpi/watch/snapshot.hpp"

#include <algorithm>

namespace tandem::watch {

namespace {

Counts counts(const Channels& table) {
  Counts all;
  for (const Channel& c : table)
    if (c.count != 0) all[{c.peer, c.group, c.tag}] = c.count;
  return all;
}

GroupView view(const Group& g) {
  GroupView group{.name = g.name.data(), .members = list(g.members), .count = g.count};
  for (std::uint64_t n = g.count; n > 0 && n + remembered_collectives > g.count; --n)
    group.last[n] = g.last[n % remembered_collectives];
  return group;
}

}  // namespace

const GroupView* RankView::group(GroupId id) const {
  const auto found = groups.find(id);
  return found == groups.end() ? nullptr : &found->second;
}

const Event* RankView::event(GroupId id, std::uint64_t number) const {
  const GroupView* const g = group(id);
  if (g == nullptr || !g->last.contains(number)) return nullptr;
  return &g->last.at(number);
}

const std::vector<int>& RankView::members(GroupId id) const {
  static const std::vector<int> none;
  const GroupView* const g = group(id);
  return g == nullptr ? none : g->members;
}

std::vector<int> list(const Members& members) {
  std::vector<int> ranks;
  for (std::size_t r = 0; r < members.size(); ++r)
    if (members[r]) ranks.push_back(static_cast<int>(r));
  return ranks;
}

RankView view(const Page& page) {
  RankView rank{.state = page.unsure ? State::outside : page.state.load(), .call = page.call, .all = page.all};
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
  rank.sent = counts(page.sent), rank.received = counts(page.received);
  for (const Group& g : page.groups)
    if (g.id != unknown_group) rank.groups[g.id] = view(g);
  return rank;
}

}  // namespace tandem::watch
