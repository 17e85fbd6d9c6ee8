// What a pipeline schedule takes, before anything runs: its time, idle share, live micro-batches and messages, and its picture.
//
//   ./tandem run simulate                                                       1F1B on 4 ranks, 8 micro-batches, backward twice as long as forward
//   ./tandem run simulate --schedule all --stages 8 --micro-batches 32          all of them in one table
//   ./tandem run simulate --schedule-file mine.csv --draw mine.svg              a schedule of your own
//
// Times are in whatever unit the costs are in. They are those of one micro-batch on one rank; a schedule with several chunks a rank cuts each
// rank's part into equal chunks, so that schedules compare.
#include <nlohmann/json.hpp>
#include <optional>

#include "benchmarks/schemes/program.hpp"
#include "parallel/pipeline/draw.hpp"
#include "parallel/pipeline/simulate.hpp"
#include "parallel/pipeline/transfers.hpp"

namespace tandem {
namespace {

constexpr std::size_t largest_drawing = 200'000, largest_trace = 1'000'000;  // spans: a picture of more is no picture
constexpr std::size_t most_ranks_in_text = 32;

struct Options {
  std::string schedule = "1f1b", schedule_file;
  int stages = 4, micro_batches = 8, chunks = 2;
  std::vector<double> forward{1}, backward{2}, backward_input, backward_weight;
  double latency = 0, busy = 0, reduce = 0, update = 0;
  bool recompute = false, transfers = false;
  int width = 120;
  std::string unit, json, csv, draw, trace;
};

struct Result {
  std::string name;
  Schedule schedule;
  Timeline timeline;
  double makespan, idle;
  std::vector<int> live;
  std::int64_t messages;

  // Idle time over that of the work itself: (p-1)/m of GPipe and 1F1B.
  double bubble_of_ideal() const { return idle < 1 ? idle / (1 - idle) : 0; }
  nlohmann::json json() const {
    return {{"schedule", name},         {"ranks", schedule.ranks()},  {"stages", schedule.stages}, {"micro_batches", schedule.micros},
            {"makespan", makespan},     {"bubble_of_total", idle},    {"bubble_of_ideal", bubble_of_ideal()},
            {"live", live},             {"messages", messages}};
  }
};

// One value for all stages, or one for each of n equal groups of neighbours: a rank's part if ranks have several chunks.
double of_stage(const std::vector<double>& values, int stage, int stages, int chunks, const char* option) {
  const int groups = static_cast<int>(values.size());
  if (groups != 1 && groups * chunks != stages)
    throw UsageError(fmt::format("--{} has {} values for {} stages{}; give one for all, or {}", option, groups, stages,
                                 chunks > 1 ? fmt::format(" of {} chunks a rank", chunks) : "", stages / chunks));
  return values[groups == 1 ? 0 : static_cast<std::size_t>(stage / chunks)] / chunks;
}

CostModel costs_of(const Options& options, int stages, int chunks) {
  std::vector<double> half = options.backward;
  for (double& value : half) value /= 2;
  const auto& input = options.backward_input.empty() ? half : options.backward_input;
  const auto& weight = options.backward_weight.empty() ? half : options.backward_weight;
  const bool alike = std::max({options.forward.size(), input.size(), weight.size()}) == 1;
  CostModel costs{.stages = {}, .hops = {{.delay = options.latency, .busy = options.busy}}};
  for (int s = 0; s < (alike ? 1 : stages); ++s) {
    const double forward = of_stage(options.forward, s, stages, chunks, "forward");
    costs.stages.push_back({.forward = forward,
                            .backward_input = of_stage(input, s, stages, chunks, options.backward_input.empty() ? "backward" : "backward-input"),
                            .backward_weight = of_stage(weight, s, stages, chunks, options.backward_weight.empty() ? "backward" : "backward-weight"),
                            .recompute = options.recompute ? forward : 0,
                            .reduce = options.reduce / chunks,
                            .update = options.update / chunks});
  }
  return costs;
}

Result simulated(std::string name, Schedule schedule, const Options& options) {
  const bool from_file = !options.schedule_file.empty();
  const CostModel costs = costs_of(options, schedule.stages, from_file ? 1 : schedule.stages / schedule.ranks());
  Result result{.name = std::move(name), .schedule = std::move(schedule)};
  result.timeline = simulate(result.schedule, costs);
  result.makespan = result.timeline.makespan();
  result.idle = result.timeline.idle_share();
  result.live = live_micro_batches(result.schedule);
  result.messages = count_messages(result.schedule);
  return result;
}

void print_table(const std::vector<Result>& results, const std::string& unit) {
  fmt::print("{:<14}{:>14}{:>10}{:>16}{:>22}{:>12}\n", "schedule", unit.empty() ? "makespan" : "makespan, " + unit, "idle", "idle over work",
             "live micro-batches", "messages");
  for (const Result& r : results)
    fmt::print("{:<14}{:>14.6g}{:>8.1f} %{:>14.1f} %{:>22}{:>12}\n", r.name, r.makespan, 100 * r.idle, 100 * r.bubble_of_ideal(),
               r.live.size() <= 8 ? fmt::format("{}", fmt::join(r.live, " ")) : fmt::format("{} to {}", std::ranges::min(r.live), std::ranges::max(r.live)),
               r.messages);
  if (results.size() > 1) fmt::print("A live micro-batch of interleaved is one of a chunk: it holds 1/chunks of the activations.\n");
}

void require_drawable(const Timeline& timeline, std::size_t most, const char* option) {
  std::size_t spans = 0;
  for (const auto& rank : timeline.ranks) spans += rank.size();
  if (spans > most) throw UsageError(fmt::format("--{} of {} actions; the most that makes sense is {}: simulate fewer ranks or micro-batches", option, spans, most));
}

// 4096 ranks with 1024 micro-batches are 2^22 pairs, and take a second and 0.5 GB.
void require_size(const Options& options) {
  const double pairs = static_cast<double>(options.stages) * options.micro_batches * options.chunks;
  if (pairs > 1 << 25) throw UsageError(fmt::format("{} stages of {} chunks with {} micro-batches are {:.3g} pairs; the most are {}", options.stages,
                                                    options.chunks, options.micro_batches, pairs, 1 << 25));
}

void run(const Options& options, bool sizes_given) {
  require_size(options);
  for (const std::string& path : {options.json, options.csv, options.draw, options.trace}) probe_file(path);
  const Drawing drawing{.title = {}, .unit = options.unit};
  std::vector<Result> results;
  if (options.schedule == "all") {
    if (!options.csv.empty() || !options.draw.empty() || !options.trace.empty()) throw UsageError("--csv, --draw and --trace are of one schedule, not of all");
    for (const std::string_view name : schedule_names()) {
      results.push_back(simulated(std::string(name), schedule_named(name, options.stages, options.micro_batches, options.chunks), options));
      results.back().timeline = {};  // large, and not needed any more
      results.back().schedule.programs.assign(static_cast<std::size_t>(options.stages), {});
    }
    print_table(results, options.unit);
    auto rows = nlohmann::json::array();
    for (const Result& r : results) rows.push_back(r.json());
    if (!options.json.empty()) write_file(options.json, nlohmann::json{{"schedules", rows}}.dump(1) + "\n");
    return;
  }

  const bool from_file = !options.schedule_file.empty();
  Schedule schedule = from_file ? without_transfers(read_schedule(options.schedule_file))
                                : schedule_named(options.schedule, options.stages, options.micro_batches, options.chunks);
  if (from_file && sizes_given) throw UsageError("--stages, --micro-batches and --chunks: the schedule file says how many it has");
  results.push_back(simulated(from_file ? options.schedule_file : options.schedule, std::move(schedule), options));
  const Result& result = results.front();
  if (!options.draw.empty()) require_drawable(result.timeline, largest_drawing, "draw");
  if (!options.trace.empty()) require_drawable(result.timeline, largest_trace, "trace");

  if (result.timeline.ranks.size() <= most_ranks_in_text)
    fmt::print("{}\n", text_of(result.timeline, options.width, drawing));
  print_table(results, options.unit);
  Drawing titled = drawing;
  titled.title = fmt::format("{}: {} rank{}, {} micro-batch{}", result.name, result.schedule.ranks(), result.schedule.ranks() == 1 ? "" : "s",
                             result.schedule.micros, result.schedule.micros == 1 ? "" : "es");
  if (!options.json.empty()) write_file(options.json, result.json().dump(1) + "\n");
  if (!options.csv.empty()) write_file(options.csv, to_csv(options.transfers ? with_transfers(result.schedule) : result.schedule));
  if (!options.draw.empty()) write_file(options.draw, svg_of(result.timeline, titled));
  if (!options.trace.empty()) write_file(options.trace, chrome_trace(result.timeline, 1000));  // one unit is shown as a millisecond
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  tandem::Options o;
  CLI::App app{"Simulates a pipeline schedule: how long a step takes, how much of it ranks are idle, and what it looks like.", "simulate"};
  const auto whole = CLI::Range(1, 1 << 16);
  const auto time = CLI::Range(0.0, 1e12);
  app.add_option("--schedule", o.schedule, fmt::format("{}, or all: a table of them", fmt::join(tandem::schedule_names(), ", ")))->capture_default_str();
  auto* file = app.add_option("--schedule-file", o.schedule_file, "a row a rank, as in 0F0,0F1,0B0,0B1; I and W: halves of B")->type_name("FILE.csv");
  auto* stages = app.add_option("--stages", o.stages, "ranks of the pipeline, each with its part of the model")->check(whole)->capture_default_str();
  auto* micros = app.add_option("--micro-batches", o.micro_batches, "that a batch is cut into")->check(whole)->capture_default_str();
  auto* chunks = app.add_option("--chunks", o.chunks, "of a rank, of interleaved")->check(CLI::Range(1, 1024))->capture_default_str();
  file->excludes("--schedule");
  const auto times = [&](const char* name, std::vector<double>& values, const char* words) {
    app.add_option(name, values, words)->delimiter(',')->check(time)->type_name("TIME[,TIME...]");
  };
  times("--forward", o.forward, "one micro-batch on one rank, or as many times as ranks: 3,1,2,3 [1]");
  times("--backward", o.backward, "the same, backward [2]");
  times("--backward-input", o.backward_input, "of it, the gradient of the input [half of the backward]");
  times("--backward-weight", o.backward_weight, "of it, the gradients of weights [half of the backward]");
  app.add_option("--latency", o.latency, "from the end of an action to where its message is needed")->check(time)->capture_default_str();
  app.add_option("--busy", o.busy, "time in which the receiver of a message takes it in")->check(time)->capture_default_str();
  app.add_option("--reduce", o.reduce, "sum of a rank's gradients over replicas, beside the computing")->check(time)->capture_default_str();
  app.add_option("--update", o.update, "of a rank's weights")->check(time)->capture_default_str();
  app.add_flag("--recompute", o.recompute, "the backward does the forward again");
  app.add_option("--unit", o.unit, "what the times are in, for tables and pictures");
  app.add_option("--width", o.width, "of the picture in the terminal, in columns")->check(CLI::Range(40, 1000))->capture_default_str();
  app.add_option("--json", o.json, "makespan, bubble_of_total, bubble_of_ideal, live, messages")->type_name("FILE");
  app.add_option("--csv", o.csv, "the schedule, in the form of --schedule-file")->type_name("FILE");
  app.add_flag("--transfers", o.transfers, "with its messages in --csv")->needs("--csv");
  app.add_option("--draw", o.draw, "the picture")->type_name("FILE.svg");
  app.add_option("--trace", o.trace, "for ui.perfetto.dev")->type_name("FILE.json");
  app.footer(
      "idle: share of ranks x makespan in which no rank computes. idle over work: the same time, divided by that of the work.\n"
      "Example:  tandem run simulate --schedule zb-h1 --stages 4 --micro-batches 8 --forward 3 --backward 6 --latency 1 --draw zb.svg");
  return tandem::run_program(app, argc, argv, [&] { tandem::run(o, stages->count() + micros->count() + chunks->count() > 0); });
}
