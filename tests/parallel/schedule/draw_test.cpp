// Timelines as pictures.
#include "parallel/pipeline/draw.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "parallel/pipeline/simulate.hpp"
#include "tests/support.hpp"

using namespace tandem;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

// One rank that computes from 0 to 6 and waited from 2 to 4 in the middle of it, while a sum goes on from 5 to 9; it updates from 9 to 10.
Timeline with_communication() {
  return {.ranks = {{{{Op::B, 0, 1}, 0, 6}, {{Op::exchange, 0, 0}, 2, 4}, {{Op::reduce, 0, 0}, 5, 9}, {{Op::update, 0, 0}, 9, 10}}},
          .memory = {{{6, 4096}}}};
}

}  // namespace

TEST_CASE("draw: text, drawn by hand first") {
  CHECK(text_of(simulate(gpipe(2, 2), {}), 40, {.title = "GPipe"}) ==
        "GPipe\n"
        "        0     2     4     6     8\n"
        "rank 0 |F0-F1-.........B0====B1====\n"
        "rank 1 |...F0-F1-B0====B1====......\n"
        "makespan 9, idle 33.3 %\n");
  // Two stages a rank: small letters for the second. Halves of the backward; the unit and what scales it.
  CHECK(text_of({.ranks = {{{{Op::F, 0, 3}, 0, 1}, {{Op::F, 2, 10}, 1, 2}, {{Op::I, 2, 3}, 2, 3}, {{Op::W, 0, 3}, 3, 4}}}}, 30, {.unit = "ms", .scale = 1000}) ==
        "        0         2000\n"
        "rank 0 |F3---f10--i3===W3---\n"
        "makespan 4000 ms, idle 0.0 %\n");
  CHECK(text_of(with_communication(), 28) ==
        "        0         5\n"
        "rank 0 |B1==xxxx====......U-\n"
        "       |..........Rrrrrrrr..\n"
        "makespan 10, idle 50.0 %\n");
  CHECK(text_of({}, 80) == "makespan 0, idle 0.0 %\n");
  CHECK(error_of([] { text_of(simulate(gpipe(2, 2), {}), 17); }) == "drawing: a width of 17 columns; expected 18 or more");
}

TEST_CASE("draw: no line of text is longer than the width, whatever the costs") {
  for (const std::string_view name : schedule_names())
    for (const double forward : {1.0, 0.37, 3.0})
      for (const int width : {20, 80, 133}) {
        const std::string text = text_of(simulate(schedule_named(name, 3, 6), {.stages = {{.forward = forward, .reduce = 2, .update = 1}}}), width);
        for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
          if (text[at] != 'm') REQUIRE(static_cast<int>(end - at) <= width);  // but the words of the last line
      }
}

TEST_CASE("draw: every span is once in the SVG, in the trace too") {
  const Timeline timeline = simulate(interleaved(3, 6, 2), {.stages = {{.reduce = 2, .update = 1}}, .hops = {{.delay = 0.25, .busy = 0.25}}});
  const std::string svg = svg_of(timeline, {.title = "a < b & c", .unit = "ms"});
  std::size_t spans = 0;
  for (const auto& row : timeline.ranks)
    for (const Span& span : row) {
      ++spans;
      CHECK(count(svg, fmt::format("<title>{}: {:.5g} to {:.5g} ms</title>", to_string(span.what), span.begin, span.end)) == 1);
    }
  CHECK(count(svg, "<title>") == spans);
  CHECK(svg.find("a &lt; b &amp; c") != std::string::npos);
  CHECK(count(svg, "<text") == count(svg, "</text>"));
  for (const char* words : {"rank 2", "time in ms", "F: forward", "B: backward", "message", "sum over replicas", "update", "idle", "makespan"})
    CHECK_MESSAGE(svg.find(words) != std::string::npos, words);
  CHECK(svg.find("W: backward") == std::string::npos);  // nothing in the legend that is not in the picture

  const std::string both = svg_of(timeline, simulate(interleaved(3, 6, 2), {}), {});
  CHECK(count(both, ">measured</text>") == 3);
  CHECK(count(both, ">predicted</text>") == 3);
  CHECK(count(both, "<title>") == spans + 3 * 6 * 2 * 2);
  CHECK(error_of([&] { svg_of(timeline, simulate(gpipe(2, 1), {})); }) == "drawing: 3 ranks measured, 2 predicted");
  CHECK_NOTHROW(svg_of({}));

  const auto trace = nlohmann::json::parse(chrome_trace(timeline));
  CHECK(std::ranges::count(trace["traceEvents"], "X", [](const auto& e) { return e["ph"]; }) == static_cast<std::ptrdiff_t>(spans));
}

TEST_CASE("draw: the Chrome trace has microseconds, a process a rank, sums on their own thread, memory as a counter") {
  const auto trace = nlohmann::json::parse(chrome_trace(with_communication(), 1000));  // in milliseconds
  const auto& events = trace["traceEvents"];
  const auto event = [&](const std::string& name) { return *std::ranges::find(events, name, [](const auto& e) { return std::string(e["name"]); }); };
  CHECK(event("process_name")["args"]["name"] == "rank 0");
  CHECK(event("0EXCHANGE")["ts"] == 2000.0);
  CHECK(event("0EXCHANGE")["dur"] == 2000.0);
  CHECK(event("0B1")["args"]["micro_batch"] == 1);
  CHECK(event("0B1")["tid"] != event("0REDUCE_GRAD")["tid"]);
  CHECK(event("live memory")["args"]["bytes"] == 4096);
}

TEST_CASE("timeline: waiting inside an action is no computing") {
  CHECK(with_communication().idle_share() == 0.5);  // 6 - 2 + 1 of 10
  Timeline outside = with_communication();
  outside.ranks[0][1] = {{Op::exchange, 0, 0}, 6, 8};  // idle already
  CHECK(outside.idle_share() == doctest::Approx(0.3));
}
