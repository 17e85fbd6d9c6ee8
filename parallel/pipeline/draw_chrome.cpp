#include <nlohmann/json.hpp>

#include "parallel/pipeline/draw.hpp"
#include "parallel/pipeline/drawing.hpp"

namespace tandem {
namespace {

using nlohmann::json;

json name_of(const char* what, std::size_t rank, int thread, const std::string& name) {
  return {{"ph", "M"}, {"name", what}, {"pid", rank}, {"tid", thread}, {"args", {{"name", name}}}};
}

}  // namespace

std::string chrome_trace(const Timeline& timeline, double microseconds) {
  constexpr int program = 0, sums = 1;  // threads: events of one thread may lie inside each other, but not overlap
  json events = json::array();
  for (std::size_t rank = 0; rank < timeline.ranks.size(); ++rank) {
    const auto& spans = timeline.ranks[rank];
    events.push_back(name_of("process_name", rank, program, "rank " + std::to_string(rank)));
    events.push_back({{"ph", "M"}, {"name", "process_sort_index"}, {"pid", rank}, {"tid", program}, {"args", {{"sort_index", rank}}}});
    events.push_back(name_of("thread_name", rank, program, "program"));
    if (has_reductions(spans)) events.push_back(name_of("thread_name", rank, sums, "sums over replicas"));
    for (const Span& span : spans) {
      const std::string name = to_string(span.what);
      events.push_back({{"ph", "X"},
                        {"name", name},
                        {"cat", computes(span.what.op) ? "computing" : "communication"},
                        {"pid", rank},
                        {"tid", span.what.op == Op::reduce ? sums : program},
                        {"ts", span.begin * microseconds},
                        {"dur", span.seconds() * microseconds},
                        {"args", {{"stage", span.what.stage}, {"micro_batch", span.what.micro}}}});
    }
    if (rank < timeline.memory.size())
      for (const MemorySample& sample : timeline.memory[rank])
        events.push_back({{"ph", "C"}, {"name", "live memory"}, {"pid", rank}, {"ts", sample.time * microseconds}, {"args", {{"bytes", sample.bytes}}}});
  }
  return json{{"displayTimeUnit", "ms"}, {"traceEvents", events}}.dump() + "\n";
}

}  // namespace tandem
