#include "parallel/mpi/watch/diagnose.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <set>

namespace tandem::watch {

namespace {

std::uint64_t at(const std::map<Between, std::uint64_t>& counts, const Between& channel) {
  const auto found = counts.find(channel);
  return found == counts.end() ? 0 : found->second;
}

bool fits(int wanted, int given) { return wanted == -1 || wanted == given; }  // -1: any

// Messages from q to r that were begun and not received.
std::uint64_t under_way(const Snapshot& now, int q, int r, GroupId group, int tag) {
  const std::uint64_t sent = at(now.of(q).sent, {r, group, tag}), received = at(now.of(r).received, {q, group, tag});
  return sent > received ? sent - received : 0;
}

std::vector<int> members(const RankView& rank, GroupId group) {
  std::vector<int> list;
  const auto found = rank.groups.find(group);
  if (found == rank.groups.end()) return list;
  for (std::size_t r = 0; r < most_ranks; ++r)
    if (found->second.members[r]) list.push_back(static_cast<int>(r));
  return list;
}

std::vector<int> sources(const RankView& rank, const Operation& o) {
  return o.peer == anyone ? members(rank, o.group) : std::vector{o.peer};
}

// A rank that has freed the communicator has made all its calls on it.
std::uint64_t collectives(const RankView& rank, GroupId group) {
  const auto found = rank.groups.find(group);
  return found == rank.groups.end() ? std::numeric_limits<std::uint64_t>::max() : found->second.count;
}

const Event* event(const RankView& rank, GroupId group, std::uint64_t number) {
  const auto found = rank.groups.find(group);
  if (found == rank.groups.end()) return nullptr;
  const auto last = found->second.last.find(number);
  return last == found->second.last.end() ? nullptr : &last->second;
}

bool alike(const Event& a, const Event& b) {
  return a.call == b.call && a.root == b.root && (a.bytes < 0 || b.bytes < 0 || a.bytes == b.bytes);
}

// Has a message for this receive or probe of rank r been sent? Of several receives that would take the same messages, the first ones
// posted take the first messages; where wildcards make that unclear, any message under way counts.
bool message_comes(const Snapshot& now, int r, const Operation& o) {
  for (const int q : sources(now.of(r), o)) {
    if (o.tag != any_tag) {
      std::uint64_t before_me = 0;
      if (o.role == Role::receive && o.peer != anyone)
        for (const Operation& other : now.of(r).receives)
          before_me += other.number < o.number && other.peer == q && other.tag == o.tag && other.group == o.group;
      if (under_way(now, q, r, o.group, o.tag) > before_me) return true;
      continue;
    }
    for (const auto& [to, count] : now.of(q).sent)
      if (to.peer == r && to.group == o.group && under_way(now, q, r, o.group, to.tag) > 0) return true;
  }
  return false;
}

// Has the receiver posted enough receives for this send of rank r, and for those before it?
bool is_awaited(const Snapshot& now, int r, const Operation& o) {
  const RankView& receiver = now.of(o.peer);
  std::uint64_t taken = at(receiver.received, {r, o.group, o.tag});
  for (const Operation& posted : receiver.receives)
    taken += posted.group == o.group && fits(posted.peer, r) && fits(posted.tag, o.tag);
  const bool probes = std::ranges::any_of(receiver.waits, [&](const Operation& w) {
    return w.role == Role::probe && w.group == o.group && fits(w.peer, r) && fits(w.tag, o.tag);
  });
  return probes || taken >= o.number;
}

class Analysis {
 public:
  explicit Analysis(const Snapshot& now) : now_(now), able_(now.ranks.size()) {
    const auto n = static_cast<int>(now.ranks.size());
    for (int r = 0; r < n; ++r) able_[index(r)] = !now.of(r).gone() && !now.of(r).quiet;
    for (bool added = true; added;) {
      added = false;
      for (int r = 0; r < n; ++r)
        if (!able_[index(r)] && !now.of(r).gone() && can_go_on(r)) able_[index(r)] = added = true;
    }
    for (int r = 0; r < n; ++r)
      if (!able_[index(r)] && !now.of(r).gone()) stuck_.push_back(r);
  }

  const std::vector<int>& stuck() const { return stuck_; }

  // The ranks that must move before this operation of rank r can end, and never will.
  std::vector<int> needs(int r, const Operation& o) const {
    std::vector<int> list;
    const auto lost = [&](int q) { return !able_[index(q)]; };
    switch (o.role) {
      case Role::send: list = {o.peer}; break;
      case Role::receive:
      case Role::probe: list = sources(now_.of(r), o); break;
      case Role::collective:
        for (const int q : members(now_.of(r), o.group))
          if (collectives(now_.of(q), o.group) < o.number) list.push_back(q);
        break;
      case Role::any_of_group: list = members(now_.of(r), o.group); break;
      case Role::all_missing:
        for (std::size_t q = 0; q < now_.ranks.size(); ++q)
          if (o.missing[q]) list.push_back(static_cast<int>(q));
        break;
      case Role::unknown: break;
    }
    std::erase_if(list, [&](int q) { return !lost(q) || (q == r && o.peer != r); });
    return list;
  }

  // Those of rank r's operations that can never end.
  std::vector<Operation> hopeless(int r) const {
    std::vector<Operation> list;
    for (const Operation& o : now_.of(r).waits)
      if (!can_end(r, o)) list.push_back(o);
    return list;
  }

 private:
  static std::size_t index(int rank) { return static_cast<std::size_t>(rank); }

  bool can_go_on(int r) const {
    const RankView& rank = now_.of(r);
    if (rank.waits.empty()) return true;
    const auto can = [&](const Operation& o) { return can_end(r, o); };
    return rank.all ? std::ranges::all_of(rank.waits, can) : std::ranges::any_of(rank.waits, can);
  }

  bool can_end(int r, const Operation& o) const {
    const RankView& rank = now_.of(r);
    const auto able = [&](int q) { return q != r && able_[index(q)]; };
    const auto counts_are_complete = [&](int q) { return !now_.of(q).overflow; };
    switch (o.role) {
      case Role::unknown: return true;
      case Role::send: return rank.overflow || now_.of(o.peer).overflow || able(o.peer) || is_awaited(now_, r, o);
      case Role::receive:
      case Role::probe: {
        const std::vector<int> from = sources(rank, o);
        return rank.overflow || !std::ranges::all_of(from, counts_are_complete) || std::ranges::any_of(from, able) ||
               message_comes(now_, r, o);
      }
      case Role::collective:
        return std::ranges::all_of(members(rank, o.group), [&](int q) {
          if (collectives(now_.of(q), o.group) < o.number) return able(q);
          const Event *const mine = event(rank, o.group, o.number), *const theirs = event(now_.of(q), o.group, o.number);
          return mine == nullptr || theirs == nullptr || alike(*mine, *theirs);
        });
      case Role::any_of_group: return std::ranges::any_of(members(rank, o.group), able);
      case Role::all_missing:
        for (std::size_t q = 0; q < now_.ranks.size(); ++q)
          if (o.missing[q] && !able(static_cast<int>(q))) return false;
        return true;
    }
    return true;
  }

  const Snapshot& now_;
  std::vector<bool> able_;
  std::vector<int> stuck_;
};

std::string ordinal(std::uint64_t n) {
  const char* const end = n % 100 >= 11 && n % 100 <= 13 ? "th" : n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
  return fmt::format("{}{}", n, end);
}

std::string words(const Event& e) {
  return fmt::format("{}{}{}", name(e.call), e.root < 0 ? "" : fmt::format(" with root {}", e.root),
                     e.bytes <= 0 ? "" : fmt::format(" of {} bytes", e.bytes));
}

// Two ranks whose collective calls differ, in the order in which a communicator sees them.
std::optional<Diagnosis> find_mismatched_collective(const Snapshot& now, const Analysis& analysis) {
  for (const int r : analysis.stuck())
    for (const auto& [id, group] : now.of(r).groups)
      for (const auto& [number, mine] : group.last)
        for (const int q : members(now.of(r), id)) {
          const Event* const theirs = event(now.of(q), id, number);
          if (theirs == nullptr || alike(mine, *theirs)) continue;
          const char* const how = mine.call != theirs->call ? "calls"
                                  : mine.root != theirs->root ? "roots"
                                                              : "numbers of bytes";
          return Diagnosis{.kind = "mismatched_collective",
                           .what = fmt::format("A mismatched collective, different {}: the {} collective call {} is {} on rank {}, "
                                               "but {} on rank {}.",
                                               how, ordinal(number), id == world_group ? "on MPI_COMM_WORLD" : "on their communicator",
                                               words(mine), r, words(*theirs), q),
                           .advice = "All ranks of a communicator make the same collective calls in the same order, with the same root "
                                     "and length. Look for one inside an if that not every rank enters."};
        }
  return std::nullopt;
}

// A message that waits for another receive than the one that is there.
std::optional<Diagnosis> find_wrong_address(const Snapshot& now, const Analysis& analysis) {
  for (const int r : analysis.stuck())
    for (const Operation& o : analysis.hopeless(r)) {
      if (o.role != Role::receive && o.role != Role::probe) continue;
      for (const int q : sources(now.of(r), o))
        for (const auto& [to, count] : now.of(q).sent) {
          if (to.peer != r || under_way(now, q, r, to.group, to.tag) == 0) continue;
          const auto posted = std::ranges::count_if(now.of(r).receives, [&](const Operation& other) {
            return other.group == to.group && fits(other.peer, q) && fits(other.tag, to.tag);
          });
          if (under_way(now, q, r, to.group, to.tag) <= static_cast<std::uint64_t>(posted)) continue;
          if (to.group == o.group && !fits(o.tag, to.tag))
            return Diagnosis{.kind = "tag_mismatch",
                             .what = fmt::format("A tag mismatch: rank {} waits for a message of rank {} with tag {}, but the one that "
                                                 "rank {} has sent has tag {}, and nobody receives it.", r, q, o.tag, q, to.tag),
                             .advice = "Give the send and its receive the same tag, on the same communicator."};
          if (to.group != o.group && fits(o.tag, to.tag))
            return Diagnosis{.kind = "communicator_mismatch",
                             .what = fmt::format("A communicator mismatch: rank {} waits for a message of rank {}, which has sent one "
                                                 "with tag {} on another communicator.", r, q, to.tag),
                             .advice = "Use the same communicator for the send and its receive."};
        }
    }
  return std::nullopt;
}

std::optional<Diagnosis> find_missing_rank(const Snapshot& now, const Analysis& analysis) {
  for (const int r : analysis.stuck())
    for (const Operation& o : analysis.hopeless(r))
      for (const int q : analysis.needs(r, o)) {
        const RankView& missing = now.of(q);
        if (!missing.gone()) continue;
        const char* const left = missing.state == State::finalized ? "has finished (MPI_Finalize)" : "has left the program";
        if (o.role == Role::collective) {
          const auto count = [&](int rank) {
            const auto group = now.of(rank).groups.find(o.group);
            if (group == now.of(rank).groups.end()) return 0u;
            const auto calls = group->second.counts.find(o.call);
            return calls == group->second.counts.end() ? 0u : calls->second;
          };
          if (const std::uint64_t mine = count(r), theirs = count(q); theirs > 0 && theirs < mine)
            return Diagnosis{.kind = "unequal_counts",
                             .what = fmt::format("Unequal numbers of steps: rank {} is in its {} {}, rank {} {} after {}.", r,
                                                 ordinal(mine), name(o.call), q, left, theirs),
                             .advice = "All ranks must make the same number of steps: cut the data into equal numbers of batches, or "
                                       "let a rank that has none join with nothing; agree on when to stop."};
        }
        return Diagnosis{.kind = "early_exit",
                         .what = fmt::format("An early exit: rank {} {} while rank {} waits for it in {}.", q, left, r, name(o.call)),
                         .advice = fmt::format("Rank {} must do its part before it ends: look for a return, a break or an error on its "
                                               "way.", q)};
      }
  return std::nullopt;
}

// The shortest way from a rank back to itself along "waits for".
std::vector<int> shortest_cycle(const Snapshot& now, const Analysis& analysis) {
  std::map<int, std::vector<int>> next;
  for (const int r : analysis.stuck())
    for (const Operation& o : analysis.hopeless(r))
      for (const int q : analysis.needs(r, o))
        if (!now.of(q).gone()) next[r].push_back(q);
  std::vector<int> best;
  for (const int start : analysis.stuck()) {
    std::map<int, int> before;
    std::deque<int> queue{start};
    while (!queue.empty() && !before.contains(start)) {
      const int r = queue.front();
      queue.pop_front();
      for (const int q : next[r])
        if (before.emplace(q, r).second) queue.push_back(q);
    }
    if (!before.contains(start)) continue;
    std::vector<int> cycle{start};
    for (int r = before[start]; r != start; r = before[r]) cycle.insert(cycle.begin() + 1, r);
    if (best.empty() || cycle.size() < best.size()) best = cycle;
  }
  return best;
}

std::optional<Diagnosis> find_cycle(const Snapshot& now, const Analysis& analysis) {
  const std::vector<int> cycle = shortest_cycle(now, analysis);
  if (cycle.empty()) return std::nullopt;
  std::set<Role> roles;
  std::set<int> tags;
  std::set<GroupId> groups;
  std::vector<std::string> steps;
  for (std::size_t i = 0; i < cycle.size(); ++i) {
    const int r = cycle[i], q = cycle[(i + 1) % cycle.size()];
    steps.push_back(fmt::format("rank {} waits for rank {}", r, q));
    for (const Operation& o : analysis.hopeless(r))
      if (std::ranges::count(analysis.needs(r, o), q) > 0) {
        roles.insert(o.role == Role::probe ? Role::receive : o.role);
        if (o.peer != nobody && o.tag != any_tag) tags.insert(o.tag);
        groups.insert(o.group);
        break;
      }
  }
  Diagnosis found{.kind = "cycle", .what = fmt::format("A cycle: {}", fmt::join(steps, ", "))};
  if (cycle.size() == 1) {
    found.what = fmt::format("A cycle: rank {} waits for itself.", cycle[0]);
    found.advice = "Begin one of the two with MPI_Isend or MPI_Irecv, or copy the values without MPI.";
  } else if (roles == std::set{Role::receive}) {
    found.what += ". All of them receive, and none sends.";
    found.advice = "Let one rank send before it receives, or exchange in one call (MPI_Sendrecv).";
    if (tags.size() > 1) found.advice += fmt::format(" Also the tags differ ({}).", fmt::join(tags, ", "));
  } else if (roles == std::set{Role::send}) {
    found.what += fmt::format(". {} send before either receives.", cycle.size() == 2 ? "Both" : "All of them");
    found.advice = "Messages beyond the eager limit wait for the receiver, so let one rank receive first, or exchange in one call "
                   "(MPI_Sendrecv), or begin with MPI_Isend or MPI_Irecv.";
  } else if (roles == std::set{Role::collective} && groups.size() > 1) {
    found.kind = "mismatched_collective";
    found.what = fmt::format("A mismatched collective, different communicators: {}.", fmt::join(steps, ", "));
    found.advice = "Collective calls on several communicators come in the same order on all ranks that share them.";
  } else {
    found.what += ", each in another kind of call.";
    found.advice = "Look at the lines above for the call that one of them should have made first.";
  }
  return found;
}

}  // namespace

std::optional<Diagnosis> diagnose(const Snapshot& now) {
  const Analysis analysis(now);
  if (analysis.stuck().empty()) return std::nullopt;
  for (const auto find : {find_mismatched_collective, find_wrong_address, find_missing_rank, find_cycle})
    if (std::optional<Diagnosis> found = find(now, analysis)) {
      found->stuck = analysis.stuck();
      return found;
    }
  return Diagnosis{.kind = "unknown", .stuck = analysis.stuck(), .what = "These ranks wait for each other.",
                   .advice = "Look at the calls above."};
}

}  // namespace tandem::watch
