// What training together costs: p ranks on one batch, against the same p ranks each alone on its share of it.
//
//   ./tandem bench data_parallel
//
//   alone      rank 0  | step | step | step |           p models; each rank its B/p images, nobody waits for anybody.
//              rank 1  | step | step | step |           This is as fast as p processes can be on this machine.
//
//   together   rank 0  | step |.| step |.| step |.|     one model; B images, gradients are summed over the ranks:
//              rank 1  | step |.| step |.| step |.|     what the sum and the waiting for the slowest cost is the loss
//
//   efficiency = images/s together / images/s alone, images/s being summed over the ranks
//
// Both share the memory bandwidth and the clock of a machine on which all p ranks compute, which a run of a single process
// would not. The two take turns, so that a disturbance hits both alike; each pair of neighbours gives one ratio, and the
// median of the ratios is the result.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "benchmarks/resident.hpp"
#include "benchmarks/result_file.hpp"
#include "core/threads.hpp"
#include "parallel/collectives/collectives.hpp"
#include "parallel/mpi/environment.hpp"
#include "parallel/mpi/options.hpp"

namespace tandem {
namespace {

struct Options {
  bool quick = false;
  int threads = 1, pairs = 0;
  double seconds = 0;
  std::string json;
};

// Nothing if only help was asked for.
std::optional<Options> parse(const Communicator& world, int argc, char** argv) {
  Options o;
  CLI::App app{"Data-parallel training against the same ranks training alone.", "data_parallel"};
  app.add_flag("--quick", o.quick, "fewer and shorter measurements: about half a minute");
  app.add_option("--threads", o.threads, "threads of a rank")->capture_default_str()->check(CLI::Range(1, 1000000000));
  app.add_option("--pairs", o.pairs, "measurements of each kind (7; quick: 3)")->check(CLI::NonNegativeNumber);
  app.add_option("--seconds", o.seconds, "length of a measurement (2; quick: 0.7)")->check(CLI::NonNegativeNumber);
  app.add_option("--json", o.json, "write the result to this file as well")->type_name("FILE");
  app.footer("Example:  tandem bench data_parallel --quick --json efficiency.json");
  if (!parse_options(app, argc, argv, world)) return std::nullopt;
  if (o.pairs == 0) o.pairs = o.quick ? 3 : 7;
  if (o.seconds == 0) o.seconds = o.quick ? 0.7 : 2;
  return o;
}

// This rank's seconds for `steps` steps that all ranks begin at the same time.
double time_steps(ResidentTraining& training, int steps, const Communicator& world) {
  world.barrier();
  const auto begin = std::chrono::steady_clock::now();
  for (int step = 0; step < steps; ++step) training.step();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

struct Rates {
  std::vector<double> alone, together, efficiency;  // images/s and their ratio, by pair
  double waited = 0;                                // share of the time together in which rank 0 waited for gradients
};

Rates measure(std::string_view model, std::int64_t batch, const Options& options, const Communicator& world) {
  const Communicator self = world.split(world.rank(), 0);
  const std::int64_t share = part(batch, world.rank(), world.size()).size();
  ResidentTraining alone(model, share, 1, self), together(model, batch, world.size(), world);

  constexpr int warm_up = 3;  // memory pool, page faults of the window
  time_steps(alone, warm_up, world);
  const double guess = max_over_ranks(time_steps(together, warm_up, world) / warm_up, world);
  const int steps = std::max(2, static_cast<int>(std::ceil(options.seconds / guess)));

  const auto rate = [&](ResidentTraining& training) {
    const double mine = static_cast<double>(share * steps) / time_steps(training, steps, world);
    return sum_over_ranks(mine, world);
  };
  Rates rates;
  const double waited_before = together.waited();
  for (int pair = 0; pair < options.pairs; ++pair) {
    const bool alone_first = pair % 2 == 0;
    if (alone_first) rates.alone.push_back(rate(alone));
    rates.together.push_back(rate(together));
    if (!alone_first) rates.alone.push_back(rate(alone));
    rates.efficiency.push_back(rates.together.back() / rates.alone.back());
  }
  double seconds_together = 0;
  for (const double images_per_second : rates.together)
    seconds_together += static_cast<double>(batch * steps) / images_per_second;
  rates.waited = (together.waited() - waited_before) / seconds_together;
  return rates;
}

int data_parallel(const Communicator& world, int argc, char** argv) {
  const std::optional<Options> options = parse(world, argc, argv);
  if (!options) return 0;
  if (world.size() < 2) throw UsageError("data_parallel: 1 rank has nobody to train with; start it with -n 2 or more");
  const ResultFile file(options->json, world);
  set_thread_count(options->threads);

  const bool talks = world.rank() == 0;
  if (talks)
    fmt::print(
        "{} ranks of {} thread(s), {} pairs of measurements; images/s are medians\n\n{:<14}{:>6}{:>11}{:>11}{:>12}   "
        "{:<18}{}\n",
        world.size(), options->threads, options->pairs, "model", "batch", "alone", "together", "efficiency",
        "lowest, highest", "waited");
  nlohmann::json efficiency = nlohmann::json::object(), rows = nlohmann::json::array();
  for (const auto& [model, batch] : {std::pair{"cnn", 64}, std::pair{"cnn", 16}, std::pair{"mlp10m", 128}}) {
    const Rates rates = measure(model, batch, *options, world);
    const auto [lowest, highest] = std::ranges::minmax(rates.efficiency);
    const double middle = median(rates.efficiency);
    if (!talks) continue;
    efficiency[fmt::format("{} batch {}", model, batch)] = middle;
    rows.push_back({{"model", model},
                    {"batch", batch},
                    {"ranks", world.size()},
                    {"threads", options->threads},
                    {"alone", rates.alone},
                    {"together", rates.together},
                    {"ratios", rates.efficiency},
                    {"waited", rates.waited}});
    fmt::print("{:<14}{:>6}{:>11.1f}{:>11.1f}{:>11.1f}%   {:<18}{:.1f}%\n", model, batch, median(rates.alone),
               median(rates.together), 100 * middle, fmt::format("{:.1f}%, {:.1f}%", 100 * lowest, 100 * highest),
               100 * rates.waited);
    std::fflush(stdout);
  }
  file.write({{"efficiency", efficiency}, {"rows", rows}});
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) { return tandem::mpi::run(argc, argv, tandem::data_parallel); }
