#include "parallel/mpi/watch/report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

namespace tandem::watch {

namespace {

constexpr std::size_t most_operations_told = 3, most_ranks_told = 16, most_lines_told = 3;

std::string in_group(const Operation& o, const RankView& rank) {
  const GroupView* const group = rank.group(o.group);
  if (o.group == world_group || group == nullptr) return "";
  return group->name.empty() ? fmt::format(", in a communicator of ranks {}", fmt::join(group->members, " "))
                             : fmt::format(", in communicator '{}'", group->name);
}

std::string bytes(const Operation& o) {
  if (o.bytes < 0 || (o.bytes == 0 && o.role == Role::collective)) return "";
  return fmt::format(", {} byte{}", o.bytes, o.bytes == 1 ? "" : "s");
}

std::string describe(const Operation& o, const RankView& rank) {
  const std::string call = o.call.text, where = in_group(o, rank);
  const std::string peer = o.peer == anyone ? "any rank" : fmt::format("rank {}", o.peer);
  const std::string tag = o.tag == any_tag ? "any tag" : fmt::format("tag {}", o.tag);
  switch (o.role) {
    case Role::send: return fmt::format("{} to {}, {}{}{}", call, peer, tag, bytes(o), where);
    case Role::receive:
    case Role::probe: return fmt::format("{} from {}, {}{}{}", call, peer, tag, bytes(o), where);
    case Role::collective:
      return fmt::format("{}, collective call {}{}{}{}", call, o.number, o.root < 0 ? "" : fmt::format(", root {}", o.root), bytes(o), where);
    case Role::window:
      return fmt::format("{}, round {}: rank {} has not come{}", call, o.number, fmt::join(list(o.missing), " "), where);
    case Role::unknown: break;
  }
  return call + where;
}

bool asks(const Name& call) { return std::string_view(call.text).starts_with("MPI_Test"); }

// "halo.c:31 in exchange, called from halo.c:57 in main"
std::string words(const std::vector<Line>& lines) {
  std::vector<std::string> places;
  for (const Line& line : lines) {
    if (places.size() == most_lines_told) break;
    const std::string in = line.function.empty() ? "" : " in " + line.function;
    places.push_back(line.file.empty() ? line.function : fmt::format("{}:{}{}", line.file, line.number, in));
  }
  return fmt::format("{}", fmt::join(places, ", called from "));
}

}  // namespace

std::string describe(const RankView& rank) {
  if (rank.state == State::finalized) return "has finished (MPI_Finalize)";
  if (rank.state == State::exited) return "has left the program without MPI_Finalize";
  if (!rank.quiet) return "computes, or is in a call that the watch does not judge";
  std::vector<std::string> parts;
  for (const Operation& o : rank.waits)
    if (parts.size() < most_operations_told) parts.push_back(describe(o, rank));
  if (rank.waits.size() > parts.size()) parts.push_back(fmt::format("{} more", rank.waits.size() - parts.size()));
  const std::string what = fmt::format("{}", fmt::join(parts, rank.all ? " and " : " or "));
  if (rank.waits.empty() || rank.waits.front().call == rank.call || rank.waits.front().role == Role::window) return what;
  return fmt::format("{}{} for {}", rank.call.text, asks(rank.call) ? " again and again" : "", what);
}

std::string report_text(const Snapshot& now, const Diagnosis& diagnosis, const std::vector<std::vector<Line>>& lines) {
  std::string text = fmt::format("tandem watch: {} of {} ranks can never go on\n", diagnosis.stuck.size(), now.size());
  const auto width = fmt::formatted_size("{}", now.size() - 1);
  std::size_t told = 0;
  for (int r = 0; r < now.size() && told < most_ranks_told; ++r, ++told) {
    text += fmt::format("  rank {:{}}  {}\n", r, width, describe(now.of(r)));
    if (const auto& at = lines[static_cast<std::size_t>(r)]; !at.empty()) text += fmt::format("{:{}}at {}\n", "", 9 + width, words(at));
  }
  if (told < now.ranks.size()) text += fmt::format("  and {} more ranks\n", now.ranks.size() - told);
  return text + diagnosis.what + "\n" + diagnosis.advice + "\n";
}

std::string report_json(const Snapshot& now, const Diagnosis& diagnosis, const std::vector<std::vector<Line>>& lines) {
  using nlohmann::json;
  json ranks = json::array();
  for (std::size_t r = 0; r < now.ranks.size(); ++r) {
    const RankView& rank = now.ranks[r];
    json entry = {{"rank", r},        {"state", rank.gone() ? "finished" : rank.quiet ? "waits" : "computes"},
                  {"what", describe(rank)},
                  {"call", nullptr},  {"peer", nullptr}, {"tag", nullptr},     {"bytes", nullptr},
                  {"file", nullptr},  {"line", nullptr}, {"function", nullptr}};
    if (!rank.gone() && rank.quiet) entry["call"] = rank.call.text;
    if (!rank.gone() && !rank.waits.empty()) {
      const Operation& o = rank.waits.front();
      if (o.peer != nobody) entry["peer"] = o.peer, entry["tag"] = o.tag;
      if (o.bytes >= 0) entry["bytes"] = o.bytes;
    }
    if (!lines[r].empty()) {
      const Line& line = lines[r].front();
      entry["function"] = line.function;
      if (!line.file.empty()) entry["file"] = line.file, entry["line"] = line.number;
    }
    ranks.push_back(entry);
  }
  return json{{"kind", diagnosis.kind}, {"stuck", diagnosis.stuck}, {"what", diagnosis.what}, {"advice", diagnosis.advice},
              {"ranks", ranks}, {"text", report_text(now, diagnosis, lines)}}.dump(1) + "\n";
}

}  // namespace tandem::watch
