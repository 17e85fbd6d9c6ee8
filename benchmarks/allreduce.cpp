// How long an allreduce takes, by algorithm and length, against MPI_Allreduce on the same machine in the same minute.
//
//   ./tandem bench allreduce            the table on page 1 of any discussion of data parallelism
//
// One repetition: barrier, clock, operation, clock; its time is that of the slowest rank. The table shows the median over
// repetitions. Algorithms take turns within a repetition, so that whatever disturbs the machine disturbs all of them alike.
//
// "window" sums values that were written into shared memory in the first place, as gradients are; "window, copied" has them elsewhere and
// copies them in and out. "chosen" is what `choose_allreduce` takes after measuring the links, among those over messages: it should be
// near the fastest of them at every length.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "benchmarks/result_file.hpp"
#include "parallel/collectives/choose.hpp"
#include "parallel/collectives/hierarchical.hpp"
#include "parallel/collectives/links.hpp"
#include "parallel/mpi/environment.hpp"
#include "parallel/mpi/error.hpp"
#include "parallel/mpi/options.hpp"

namespace tandem {
namespace {

struct Algorithm {
  std::string name;
  std::function<void(std::size_t count)> run;
  std::function<std::optional<Traffic>(std::size_t bytes)> traffic;    // by formula; the tests count them to be exact
  std::function<std::string(std::size_t bytes)> note = [](std::size_t) { return ""; };
};

struct Options {
  bool quick = false;
  int node = 0;
  std::string json;
};

// Nothing if only help was asked for.
std::optional<Options> parse(const Communicator& world, int argc, char** argv) {
  Options options;
  CLI::App app{"Times our allreduce algorithms and MPI_Allreduce on 1 KB to 64 MB of real numbers.", "allreduce"};
  app.add_flag("--quick", options.quick, "fewer lengths and repetitions: a few seconds");
  app.add_option("--node", options.node, "for the hierarchical algorithm: pretend that so many ranks are a host (0: the real hosts)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--json", options.json, "write the table to this file as well")->type_name("FILE");
  app.footer(
      "ratio is MPI's time divided by the algorithm's: above 1 is faster than MPI_Allreduce.\n"
      "messages and bytes are what all ranks together send, by the formulas beside the algorithms.\n"
      "Without shared memory between ranks, as between hosts:  tandem bench allreduce --mca btl self,tcp\n"
      "Example:  tandem bench allreduce -n 4 --quick --json allreduce.json");
  if (!parse_options(app, argc, argv, world)) return std::nullopt;
  return options;
}

// The median over `repetitions` of the slowest rank's seconds, for each algorithm.
std::vector<Seconds> measure(const std::vector<Algorithm>& algorithms, std::size_t count, int repetitions,
                             const Communicator& world) {
  constexpr int warm_up = 2;  // page faults, connections
  std::vector<std::vector<Seconds>> times(algorithms.size());
  for (int repetition = -warm_up; repetition < repetitions; ++repetition)
    for (std::size_t a = 0; a < algorithms.size(); ++a) {
      world.barrier();
      const auto begin = std::chrono::steady_clock::now();
      algorithms[a].run(count);
      const Seconds seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      const Seconds slowest = max_over_ranks(seconds, world);
      if (repetition >= 0) times[a].push_back(slowest);
    }
  std::vector<Seconds> medians;
  for (auto& row : times) {
    const auto middle = row.begin() + std::ssize(row) / 2;
    std::ranges::nth_element(row, middle);
    medians.push_back(*middle);
  }
  return medians;
}

std::string size_text(std::size_t bytes) {
  return bytes >= 1 << 20 ? fmt::format("{} MB", bytes >> 20) : fmt::format("{} KB", bytes >> 10);
}

int time_allreduces(const Communicator& world, int argc, char** argv) {
  const std::optional<Options> options = parse(world, argc, argv);
  if (!options) return 0;

  const ResultFile file(options->json, world);
  constexpr std::size_t shortest = 1024;
  const std::size_t largest = options->quick ? std::size_t{4} << 20 : std::size_t{64} << 20;
  std::vector<real> values(largest / sizeof(real));
  std::optional<SharedWindow> window;
  if (world.split_by_node().size() == world.size()) window.emplace(world, values.size());

  const Communicator node = options->node > 0 ? world.split(world.rank() / options->node, world.rank()) : world.split_by_node();
  std::optional<HierarchicalMemory> nodes;
  const int node_count = static_cast<int>(sum_over_ranks(node.rank() == 0 ? 1 : 0, world));
  if (world.size() > 1 && node_count > 1) nodes.emplace(world, node.duplicate(), values.size());

  const auto part = [&](std::size_t count) { return std::span(values).first(count); };
  const auto nothing = [](std::size_t) { return std::optional(Traffic{0, 0}); };
  std::vector<Algorithm> algorithms{
      {"MPI_Allreduce",
       [&](std::size_t count) {
         const MPI_Datatype type = real_is_double ? MPI_DOUBLE : MPI_FLOAT;
         mpi_check(MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(count), type, MPI_SUM, world.handle()),
                   "MPI_Allreduce");
       },
       [](std::size_t) { return std::nullopt; }}};  // its own secret
  for (const AllreduceAlgorithm& a : allreduce_algorithms())
    algorithms.push_back({std::string(a.name), [&](std::size_t count) { run(a.plan, part(count), world); },
                          [&](std::size_t bytes) { return std::optional(a.traffic(world.size(), bytes)); }});
  if (nodes)
    algorithms.push_back({fmt::format("hierarchical, {} nodes", node_count), [&](std::size_t count) { nodes->allreduce(0, count); },
                          [&](std::size_t bytes) { return std::optional(doubling_allreduce_traffic(node_count, bytes)); }});
  if (window) {
    algorithms.push_back({"window", [&](std::size_t count) { window->allreduce(0, count); }, nothing});
    algorithms.push_back({"window, copied",
                          [&](std::size_t count) {
                            std::ranges::copy(part(count), window->mine().begin());
                            window->allreduce(0, count);
                            std::ranges::copy(window->mine().first(count), values.begin());
                          },
                          nothing});
  }
  std::optional<LinkProfile> links;
  if (world.size() > 1) {
    links = measure_links(world);
    std::map<std::size_t, const AllreduceAlgorithm*> choices;  // made once a length, before anything is timed
    for (std::size_t bytes = shortest; bytes <= largest; bytes *= options->quick ? 16 : 4)
      choices[bytes] = &choose_allreduce(world.size(), bytes, *links);
    const auto choice = [choices](std::size_t bytes) -> const AllreduceAlgorithm& { return *choices.at(bytes); };
    algorithms.push_back({"chosen", [&, choice](std::size_t count) { run(choice(count * sizeof(real)).plan, part(count), world); },
                          [&, choice](std::size_t bytes) { return std::optional(choice(bytes).traffic(world.size(), bytes)); },
                          [choice](std::size_t bytes) { return std::string(choice(bytes).name); }});
    const Link line = links->fit();
    if (world.rank() == 0)
      fmt::print("links: alpha {:.2f} us, beta {:.3f} ns/B ({:.1f} GB/s), gamma {:.3f} ns/B\n\n", line.alpha * 1e6, line.beta * 1e9,
                 1e-9 / std::max(line.beta, 1e-15), line.gamma * 1e9);
  }

  const bool talks = world.rank() == 0;
  if (talks)
    fmt::print("{:>8}  {:<23}{:>14}{:>8}{:>10}{:>14}\n", "length", "algorithm", "microseconds", "ratio", "messages",
               "bytes");
  auto rows = nlohmann::json::array();
  for (std::size_t bytes = shortest; bytes <= largest; bytes *= options->quick ? 16 : 4) {
    // About as much work for each length, within limits that give a usable median and an end in sight.
    const int repetitions =
        std::clamp(static_cast<int>((std::size_t{256} << 20) / bytes), options->quick ? 5 : 9, options->quick ? 30 : 200);
    const std::vector<Seconds> seconds = measure(algorithms, bytes / sizeof(real), repetitions, world);
    // The fastest over messages: what a chooser could have taken.
    const Seconds fastest = *std::ranges::min_element(seconds.begin() + 1, seconds.begin() + 1 + std::ssize(allreduce_algorithms()));
    for (std::size_t a = 0; a < algorithms.size() && talks; ++a) {
      const double ratio = seconds[0] / seconds[a], over_fastest = seconds[a] / fastest;
      const auto traffic = algorithms[a].traffic(bytes);
      rows.push_back({{"algorithm", algorithms[a].name},
                      {"note", algorithms[a].note(bytes)},
                      {"ranks", world.size()},
                      {"bytes", bytes},
                      {"microseconds", seconds[a] * 1e6},
                      {"ratio_to_mpi", ratio},
                      {"time_over_fastest", over_fastest},
                      {"messages", traffic ? nlohmann::json(traffic->messages) : nlohmann::json()},
                      {"bytes_sent", traffic ? nlohmann::json(traffic->bytes) : nlohmann::json()}});
      const std::string note = algorithms[a].note(bytes);
      fmt::print("{:>8}  {:<23}{:>14.1f}{:>8.2f}{:>10}{:>14}{}\n", size_text(bytes),
                 note.empty() ? algorithms[a].name : fmt::format("{}: {}", algorithms[a].name, note), seconds[a] * 1e6, ratio, traffic ? fmt::to_string(traffic->messages) : "?", traffic ? fmt::to_string(traffic->bytes) : "?",
                 note.empty() ? "" : fmt::format("   {:.2f} of the fastest message algorithm's time", over_fastest));
    }
    if (talks) std::fflush(stdout);
  }
  file.write({{"rows", rows}});
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) { return tandem::mpi::run(argc, argv, tandem::time_allreduces); }
