#include "parallel/mpi/watch/diagnosis.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "parallel/mpi/watch/knot.hpp"

namespace tandem::watch {

namespace {

using Found = std::optional<Diagnosis>;

std::string ordinal(std::uint64_t n) {
  const char* const end = n / 10 % 10 == 1 ? "th" : n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
  return fmt::format("{}{}", n, end);
}

std::string words(const Event& e) {
  return fmt::format("{}{}{}", e.call.text, e.root < 0 ? "" : fmt::format(" with root {}", e.root),
                     e.bytes <= 0 ? "" : fmt::format(" of {} bytes", e.bytes));
}

std::string leaving(const RankView& rank) {
  return rank.state == State::finalized ? "has finished (MPI_Finalize)" : "has left the program without MPI_Finalize";
}

// Calls body(r, o, q) for each wait in the knot, rank r in operation o for rank q, until it has found something.
template <class Body>
Found any_wait(const Knot& knot, Body&& body) {
  for (const int r : knot.ranks())
    for (const Operation& o : knot.hopeless(r))
      for (const int q : knot.lost(r, o))
        if (Found found = body(r, o, q)) return found;
  return std::nullopt;
}

Found mismatched_collective(const Snapshot& now, const Knot& knot) {
  for (const int r : knot.ranks())
    for (const auto& [id, group] : now.of(r).groups)
      for (const auto& [number, mine] : group.last)
        for (const int q : group.members) {
          const Event* const theirs = now.of(q).event(id, number);
          if (theirs == nullptr || alike(mine, *theirs)) continue;
          const char* const how = !(mine.call == theirs->call) ? "calls" : mine.root != theirs->root ? "roots" : "numbers of bytes";
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
Found wrong_address(const Snapshot& now, const Knot& knot) {
  return any_wait(knot, [&](int r, const Operation& o, int q) -> Found {
    if (o.role != Role::receive && o.role != Role::probe) return std::nullopt;
    for (const auto& [to, count] : now.of(q).sent) {
      if (to.peer != r) continue;
      const auto takes = [&](const Operation& it) { return it.group == to.group && fits(it.peer, q) && fits(it.tag, to.tag); };
      const auto posted = std::ranges::count_if(now.of(r).receives, takes);
      if (under_way(now, q, r, to.group, to.tag) <= static_cast<std::uint64_t>(posted)) continue;
      if (to.group == o.group && !fits(o.tag, to.tag))
        return Diagnosis{.kind = "tag_mismatch",
                         .what = fmt::format("A tag mismatch: rank {} waits for a message of rank {} with tag {}, but the one that "
                                             "rank {} has sent has tag {}, and nobody receives it.", r, q, o.tag, q, to.tag),
                         .advice = "Give the send and its receive the same tag."};
      if (to.group != o.group && fits(o.tag, to.tag))
        return Diagnosis{.kind = "communicator_mismatch",
                         .what = fmt::format("A communicator mismatch: rank {} waits for a message of rank {}, which has sent one with "
                                             "tag {} on another communicator.", r, q, to.tag),
                         .advice = "Use the same communicator for the send and its receive."};
    }
    return std::nullopt;
  });
}

Found missing_rank(const Snapshot& now, const Knot& knot) {
  return any_wait(knot, [&](int r, const Operation& o, int q) -> Found {
    if (!now.of(q).gone()) return std::nullopt;
    const GroupView* const theirs = now.of(q).group(o.group);
    if (o.role == Role::collective && theirs != nullptr && theirs->count > 0)
      return Diagnosis{.kind = "unequal_counts",
                       .what = fmt::format("Unequal numbers of steps: rank {} is in its {} collective call ({}), rank {} {} after {}.",
                                           r, ordinal(o.number), o.call.text, q, leaving(now.of(q)), theirs->count),
                       .advice = "All ranks must make the same number of steps: cut the data into equal numbers of batches, or let a "
                                 "rank that has none join with nothing; agree on when to stop."};
    return Diagnosis{.kind = "early_exit",
                     .what = fmt::format("An early exit: rank {} {} while rank {} waits for it in {}.", q, leaving(now.of(q)), r, o.call.text),
                     .advice = fmt::format("Rank {} must do its part before it ends: look for a return, a break or an error on its way.",
                                           q)};
  });
}

// The shortest way from a rank of the knot back to itself along "waits for"; empty: there is none.
std::vector<int> shortest_cycle(const Snapshot& now, const Knot& knot) {
  std::map<int, std::vector<int>> next;
  any_wait(knot, [&](int r, const Operation&, int q) -> Found {
    if (!now.of(q).gone()) next[r].push_back(q);
    return std::nullopt;
  });
  std::vector<int> best;
  for (const int start : knot.ranks()) {
    std::map<int, int> before;  // breadth first: from whom each rank was reached
    std::vector<int> reached{start};
    for (std::size_t i = 0; i < reached.size() && !before.contains(start); ++i)
      for (const int q : next[reached[i]])
        if (before.emplace(q, reached[i]).second) reached.push_back(q);
    if (!before.contains(start)) continue;
    std::vector<int> cycle{start};
    for (int r = before[start]; r != start; r = before[r]) cycle.insert(cycle.begin() + 1, r);
    if (best.empty() || cycle.size() < best.size()) best = cycle;
  }
  return best;
}

Found cycle(const Snapshot& now, const Knot& knot) {
  const std::vector<int> ring = shortest_cycle(now, knot);
  if (ring.empty()) return std::nullopt;
  std::vector<Operation> waits;  // of each rank of the ring, for the next one
  std::vector<std::string> steps;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const int r = ring[i], q = ring[(i + 1) % ring.size()];
    steps.push_back(fmt::format("rank {} waits for rank {}", r, q));
    const std::vector<Operation> hopeless = knot.hopeless(r);
    waits.push_back(*std::ranges::find_if(hopeless, [&](const Operation& o) { return std::ranges::count(knot.lost(r, o), q) > 0; }));
  }
  const auto all = [&](auto... roles) {
    return std::ranges::all_of(waits, [&](const Operation& o) { return ((o.role == roles) || ...); });
  };

  Diagnosis found{.kind = "cycle", .what = fmt::format("A cycle: {}", fmt::join(steps, ", "))};
  if (ring.size() == 1) {
    found.what += ": itself.";
    found.advice = "Begin one of the two with MPI_Isend or MPI_Irecv, or copy the values without MPI.";
  } else if (all(Role::receive, Role::probe)) {
    std::set<int> tags;
    for (const Operation& o : waits) tags.insert(o.tag);
    found.what += ". All of them receive before any sends.";
    found.advice = "Let one rank send before it receives, or exchange in one call (MPI_Sendrecv).";
    if (tags.size() > 1) found.advice += fmt::format(" The tags differ, too: {}.", fmt::join(tags, ", "));
  } else if (all(Role::send)) {
    found.what += ". All of them send before any receives.";
    found.advice = "A long message waits for its receiver, so let one rank receive first, or exchange in one call (MPI_Sendrecv), or "
                   "begin with MPI_Isend or MPI_Irecv.";
  } else if (all(Role::collective, Role::window)) {
    found.kind = "mismatched_collective";
    found.what = fmt::format("A mismatched collective, different communicators or windows: {}.", fmt::join(steps, ", "));
    found.advice = "Ranks make the collective calls on all communicators that they share in the same order, and the same number of them.";
  } else {
    found.what += ", each in another kind of call.";
    found.advice = "Look at the lines above for the call that one of them should have made first.";
  }
  return found;
}

}  // namespace

std::optional<Diagnosis> diagnose(const Snapshot& now) {
  const Knot knot(now);
  if (knot.ranks().empty()) return std::nullopt;
  for (const auto look_for : {mismatched_collective, wrong_address, missing_rank, cycle})
    if (Found found = look_for(now, knot)) {
      found->stuck = knot.ranks();
      return found;
    }
  return Diagnosis{.kind = "unknown", .stuck = knot.ranks(), .what = "These ranks can never go on.", .advice = "Look at the calls above."};
}

}  // namespace tandem::watch
