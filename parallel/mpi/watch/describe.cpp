// The words for a wait.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "parallel/mpi/watch/diagnose.hpp"

namespace tandem::watch {

namespace {

std::vector<std::size_t> list(const Members& members) {
  std::vector<std::size_t> ranks;
  for (std::size_t r = 0; r < members.size(); ++r)
    if (members[r]) ranks.push_back(r);
  return ranks;
}

std::string in_group(const Operation& o, const RankView& rank) {
  if (o.group == world_group || o.group == unknown_group) return "";
  const auto found = rank.groups.find(o.group);
  if (found == rank.groups.end()) return "";
  const GroupView& group = found->second;
  return group.name.empty() ? fmt::format(", in a communicator of ranks {}", fmt::join(list(group.members), " "))
                            : fmt::format(", in communicator '{}'", group.name);
}

std::string bytes_of(const Operation& o) { return o.bytes < 0 ? "" : fmt::format(", {} byte{}", o.bytes, o.bytes == 1 ? "" : "s"); }

}  // namespace

std::string describe(const Operation& o, const RankView& rank) {
  const std::string tag = o.tag == any_tag ? "any tag" : fmt::format("tag {}", o.tag);
  const std::string peer = o.peer == anyone ? "any rank" : fmt::format("rank {}", o.peer);
  switch (o.role) {
    case Role::send: return fmt::format("{} to {}, {}{}{}", name(o.call), peer, tag, bytes_of(o), in_group(o, rank));
    case Role::receive:
    case Role::probe: return fmt::format("{} from {}, {}{}{}", name(o.call), peer, tag, bytes_of(o), in_group(o, rank));
    case Role::collective: {
      const auto group = rank.groups.find(o.group);
      const auto times = group == rank.groups.end() ? 0 : group->second.counts.count(o.call) ? group->second.counts.at(o.call) : 0;
      const std::string count = times == 0 ? "" : fmt::format(" number {}", times);
      return fmt::format("{}{}{}{}{}", name(o.call), count, o.root < 0 ? "" : fmt::format(", root {}", o.root),
                         o.bytes > 0 ? bytes_of(o) : "", in_group(o, rank));
    }
    case Role::all_missing: return fmt::format("the shared window's barrier, round {}: rank {} has not come{}", o.number,
                                               fmt::join(list(o.missing), " "), in_group(o, rank));
    case Role::any_of_group:
    case Role::unknown: break;
  }
  return fmt::format("{}{}", name(o.call), in_group(o, rank));
}

std::string describe(const RankView& rank) {
  if (rank.state == State::finalized) return "has finished (MPI_Finalize)";
  if (rank.state == State::exited) return "has left the program without MPI_Finalize";
  if (rank.state == State::outside || !rank.quiet) return "computes (it is not in MPI)";
  if (rank.waits.empty()) return std::string(name(rank.call));
  constexpr std::size_t shown = 3;
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < std::min(shown, rank.waits.size()); ++i) parts.push_back(describe(rank.waits[i], rank));
  const std::string more = rank.waits.size() > shown ? fmt::format(" and {} more", rank.waits.size() - shown) : "";
  std::string what = fmt::format("{}{}", fmt::join(parts, rank.all ? " and " : " or "), more);
  const bool same_call = rank.waits.front().call == rank.call;
  if (rank.call == Call::Test || rank.call == Call::Testall || rank.call == Call::Testany || rank.call == Call::Testsome)
    return fmt::format("{} again and again for {}", name(rank.call), what);
  return same_call ? what : fmt::format("{} for {}", name(rank.call), what);
}

}  // namespace tandem::watch
