#include "parallel/mpi/watch/knot.hpp"

#include <algorithm>
#include <limits>

namespace tandem::watch {

namespace {

std::uint64_t at(const Counts& counts, const Between& channel) {
  const auto found = counts.find(channel);
  return found == counts.end() ? 0 : found->second;
}

// A rank that has freed the communicator has made all its calls on it.
std::uint64_t collectives(const RankView& rank, GroupId id) {
  const GroupView* const group = rank.group(id);
  return group == nullptr ? std::numeric_limits<std::uint64_t>::max() : group->count;
}

// Has a message for this receive or probe of rank r been sent? Of several receives that would take the same messages, the first ones
// posted take the first messages; where wildcards make that unclear, any message under way counts.
bool message_comes(const Snapshot& now, int r, const Operation& o) {
  for (const int q : sources(now.of(r), o)) {
    if (o.tag == any_tag) {
      for (const auto& [to, count] : now.of(q).sent)
        if (to.peer == r && to.group == o.group && under_way(now, q, r, o.group, to.tag) > 0) return true;
      continue;
    }
    std::uint64_t before_me = 0;
    if (o.role == Role::receive && o.peer != anyone)
      for (const Operation& other : now.of(r).receives)
        before_me += other.number < o.number && other.peer == q && other.tag == o.tag && other.group == o.group;
    if (under_way(now, q, r, o.group, o.tag) > before_me) return true;
  }
  return false;
}

// Has the receiver posted enough receives for this send of rank r, and for those before it?
bool is_awaited(const Snapshot& now, int r, const Operation& o) {
  const RankView& receiver = now.of(o.peer);
  const auto takes = [&](const Operation& it) { return it.group == o.group && fits(it.peer, r) && fits(it.tag, o.tag); };
  if (std::ranges::any_of(receiver.waits, [&](const Operation& it) { return it.role == Role::probe && takes(it); })) return true;
  const auto posted = static_cast<std::uint64_t>(std::ranges::count_if(receiver.receives, takes));
  return at(receiver.received, {r, o.group, o.tag}) + posted >= o.number;
}

}  // namespace

bool fits(int wanted, int given) {
  static_assert(anyone == any_tag);
  return wanted == anyone || wanted == given;
}

bool alike(const Event& a, const Event& b) {
  return a.call == b.call && a.root == b.root && (a.bytes < 0 || b.bytes < 0 || a.bytes == b.bytes);
}

std::vector<int> sources(const RankView& rank, const Operation& receive) {
  return receive.peer == anyone ? rank.members(receive.group) : std::vector{receive.peer};
}

std::uint64_t under_way(const Snapshot& now, int from, int to, GroupId group, int tag) {
  const std::uint64_t sent = at(now.of(from).sent, {to, group, tag}), received = at(now.of(to).received, {from, group, tag});
  return sent > received ? sent - received : 0;
}

Knot::Knot(const Snapshot& now) : now_(now) {
  for (const RankView& rank : now.ranks) able_.push_back(!rank.gone() && !rank.quiet);
  for (bool added = true; added;) {
    added = false;
    for (int r = 0; r < now.size(); ++r)
      if (!able(r) && !now.of(r).gone() && can_go_on(r)) able_[static_cast<std::size_t>(r)] = added = true;
  }
  for (int r = 0; r < now.size(); ++r)
    if (!able(r) && !now.of(r).gone()) ranks_.push_back(r);
}

bool Knot::can_go_on(int r) const {
  const RankView& rank = now_.of(r);
  const auto can = [&](const Operation& o) { return can_end(r, o); };
  return rank.waits.empty() || (rank.all ? std::ranges::all_of(rank.waits, can) : std::ranges::any_of(rank.waits, can));
}

bool Knot::can_end(int r, const Operation& o) const {
  const RankView& rank = now_.of(r);
  switch (o.role) {
    case Role::send: return able(o.peer) || is_awaited(now_, r, o);
    case Role::receive:
    case Role::probe: return std::ranges::any_of(sources(rank, o), [&](int q) { return able(q); }) || message_comes(now_, r, o);
    case Role::collective:
      return std::ranges::all_of(rank.members(o.group), [&](int q) {
        if (collectives(now_.of(q), o.group) < o.number) return able(q);
        const Event *const mine = rank.event(o.group, o.number), *const theirs = now_.of(q).event(o.group, o.number);
        return mine == nullptr || theirs == nullptr || alike(*mine, *theirs);
      });
    case Role::window: return std::ranges::all_of(list(o.missing), [&](int q) { return able(q); });
    case Role::unknown: break;
  }
  return true;
}

std::vector<Operation> Knot::hopeless(int r) const {
  std::vector<Operation> found;
  std::ranges::copy_if(now_.of(r).waits, std::back_inserter(found), [&](const Operation& o) { return !can_end(r, o); });
  return found;
}

std::vector<int> Knot::lost(int r, const Operation& o) const {
  std::vector<int> awaited;
  switch (o.role) {
    case Role::send: awaited = {o.peer}; break;
    case Role::receive:
    case Role::probe: awaited = sources(now_.of(r), o); break;
    case Role::collective:
      for (const int q : now_.of(r).members(o.group))
        if (collectives(now_.of(q), o.group) < o.number) awaited.push_back(q);
      break;
    case Role::window: awaited = list(o.missing); break;
    case Role::unknown: break;
  }
  std::erase_if(awaited, [&](int q) { return able(q) || (q == r && o.peer != r); });
  return awaited;
}

}  // namespace tandem::watch
