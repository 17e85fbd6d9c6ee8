#include "parallel/mpi/watch/report.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace tandem::watch {

std::string report_text(const Snapshot& now, const Diagnosis& diagnosis, const std::vector<std::vector<Line>>& lines) {
  std::string words = fmt::format("tandem watch: {} of {} ranks can never go on\n", diagnosis.stuck.size(), now.ranks.size());
  for (std::size_t r = 0; r < now.ranks.size(); ++r) {
    words += fmt::format("  rank {}  {}\n", r, describe(now.ranks[r]));
    if (!lines[r].empty()) words += fmt::format("          at {}\n", text(lines[r]));
  }
  return words + diagnosis.what + "\n" + diagnosis.advice + "\n";
}

std::string report_json(const Snapshot& now, const Diagnosis& diagnosis, const std::vector<std::vector<Line>>& lines) {
  using nlohmann::json;
  constexpr std::array states = {"unborn", "outside", "blocked", "polling", "finalized", "exited"};
  json ranks = json::array();
  for (std::size_t r = 0; r < now.ranks.size(); ++r) {
    const RankView& rank = now.ranks[r];
    json entry = {{"rank", r}, {"state", states[static_cast<std::size_t>(rank.state)]}, {"what", describe(rank)},
                  {"call", nullptr}, {"peer", nullptr}, {"tag", nullptr}, {"bytes", nullptr},
                  {"file", nullptr}, {"line", nullptr}, {"function", nullptr}};
    if (!rank.gone() && rank.quiet) entry["call"] = name(rank.call);
    if (!rank.gone() && !rank.waits.empty()) {
      const Operation& o = rank.waits.front();
      if (o.peer != nobody) entry["peer"] = o.peer, entry["tag"] = o.tag;
      if (o.bytes >= 0) entry["bytes"] = o.bytes;
    }
    if (!lines[r].empty()) {
      entry["function"] = lines[r].front().function;
      if (!lines[r].front().file.empty()) entry["file"] = lines[r].front().file, entry["line"] = lines[r].front().number;
    }
    ranks.push_back(entry);
  }
  return json{{"kind", diagnosis.kind}, {"stuck", diagnosis.stuck}, {"what", diagnosis.what}, {"advice", diagnosis.advice},
              {"ranks", ranks}, {"text", report_text(now, diagnosis, lines)}}.dump(1) + "\n";
}

}  // namespace tandem::watch
