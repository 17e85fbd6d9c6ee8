// How long one training step takes, and what it asks of the operating system.
//
//   ./tandem run -n 1 train_step --model cnn --batch 64 --threads 1
//
// The first steps are not counted: the memory pool fills, the processor reaches its speed. Of the others the median is
// reported, since a step can be disturbed but not sped up by accident; the spread beside it tells how quiet the machine was.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "benchmarks/resident.hpp"
#include "benchmarks/result_file.hpp"
#include "core/file.hpp"
#include "core/threads.hpp"
#include "parallel/collectives/collectives.hpp"
#include "parallel/mpi/environment.hpp"
#include "parallel/mpi/options.hpp"
#include "tasks/report/profile_report.hpp"

namespace tandem {
namespace {

struct Options {
  std::string model = "cnn";
  std::int64_t batch = 64, micro_batches = 1;
  int threads = 0, steps = 20, warm_up = 3;
  bool only_gradients = false;
  std::string json, profile;
};

// Nothing if only help was asked for.
std::optional<Options> parse(const Communicator& world, int argc, char** argv) {
  Options o;
  CLI::App app{"Times training steps on resident random data: forward, backward, sum over ranks, update.", "train_step"};
  app.add_option("--model", o.model, "cnn, resnet, mlp784, shallow, mlp10m or deep100")->capture_default_str();
  app.add_option("--batch", o.batch, "images of a step, over all ranks")->capture_default_str()->check(CLI::Range(1, 1000000000));
  app.add_option("--micro-batches", o.micro_batches, "parts of a batch")->capture_default_str()->check(CLI::Range(1, 1000000000));
  app.add_option("--threads", o.threads, "threads of a rank; 0: as OMP_NUM_THREADS says")->check(CLI::NonNegativeNumber);
  app.add_flag("--only-gradients", o.only_gradients, "time forward and backward, without the sum over ranks and the update");
  app.add_option("--steps", o.steps, "steps that count")->capture_default_str()->check(CLI::Range(1, 1000000000));
  app.add_option("--warm-up", o.warm_up, "steps before")->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_option("--json", o.json, "write the result to this file as well")->type_name("FILE");
  app.add_option("--profile", o.profile, "then as many steps once more: print where rank 0's time goes and draw it in this file (SVG)")
      ->type_name("FILE");
  app.footer("Example:  tandem run -n 1 train_step --model resnet --batch 64 --threads 2");
  if (!parse_options(app, argc, argv, world)) return std::nullopt;
  return o;
}

int train_step(const Communicator& world, int argc, char** argv) {
  const std::optional<Options> options = parse(world, argc, argv);
  if (!options) return 0;
  const ResultFile file(options->json, world);
  if (options->threads > 0) set_thread_count(options->threads);

  ResidentTraining training(options->model, options->batch, options->micro_batches, world);
  const auto run = [&] { options->only_gradients ? training.gradients() : training.step(); };
  for (int step = 0; step < options->warm_up; ++step) run();

  std::vector<double> seconds;
  const SystemUse before = system_use();
  const std::size_t fresh_before = memory_use().fresh;
  seconds.reserve(static_cast<std::size_t>(options->steps));
  for (int step = 0; step < options->steps; ++step) {
    world.barrier();
    const auto begin = std::chrono::steady_clock::now();
    run();
    const double mine = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    seconds.push_back(max_over_ranks(mine, world));
  }
  const SystemUse after = system_use();
  const std::size_t fresh = memory_use().fresh - fresh_before;

  // Apart from the steps that are timed, which keep no books.
  Profile profile;
  if (!options->profile.empty())
    for (int step = 0; step < options->steps; ++step) {
      const Profiling profiling(&profile);
      run();
    }

  const auto [fastest, slowest] = std::ranges::minmax(seconds);
  const double middle = median(seconds), images = static_cast<double>(options->batch) / middle;
  const nlohmann::json result{
      {"model", options->model},
      {"batch", options->batch},
      {"micro_batches", options->micro_batches},
      {"ranks", world.size()},
      {"threads", thread_count()},
      {"only_gradients", options->only_gradients},
      {"steps", options->steps},
      {"milliseconds", middle * 1e3},
      {"fastest_milliseconds", fastest * 1e3},
      {"slowest_milliseconds", slowest * 1e3},
      {"images_per_second", images},
      {"gflops", images * training.what().operations * 1e-9},
      {"peak_megabytes", static_cast<double>(memory_use().peak) * 1e-6},
      {"page_faults", after.page_faults - before.page_faults},
      {"heap_growth", after.heap - before.heap},
      {"fresh_blocks", fresh},
  };
  file.write(result);
  if (world.rank() != 0) return 0;
  fmt::print(
      "{}, batch {}, {} micro-batch(es), {} rank(s) of {} thread(s): {:.2f} ms a step ({:.2f} to {:.2f}), "
      "{:.1f} images/s, {:.1f} GFLOP/s\n",
      options->model, options->batch, options->micro_batches, world.size(), thread_count(), middle * 1e3, fastest * 1e3,
      slowest * 1e3, images, images * training.what().operations * 1e-9);
  fmt::print("memory of rank 0 over these {} steps: peak {:.1f} MB, {} page faults, heap {:+} bytes, {} fresh blocks\n",
             options->steps, result["peak_megabytes"].get<double>(), after.page_faults - before.page_faults,
             after.heap - before.heap, fresh);
  if (!options->profile.empty()) {
    fmt::print("\n{}", profile_table(profile, options->steps, measure_machine()));
    write_file(options->profile, profile_picture(profile, options->steps, fmt::format("{}, batch {}", options->model, options->batch)));
  }
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) { return tandem::mpi::run(argc, argv, tandem::train_step); }
