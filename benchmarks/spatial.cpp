// One image that is too large for a rank: memory and time of a U-Net on bands or blocks of it, against the whole on one rank.
//
//   ./tandem bench spatial                the whole image on rank 0 alone, then a part on each of 4 ranks
//
// A step is forward and backward of the sum of squared errors of every pixel. Memory is what the pool has counted (core/memory.hpp): the
// largest number of bytes that tensors and work areas of a rank held at one time, beyond the image itself and the weights before. It is
// measured in the first step; time is that of the second, of the slowest rank. The share of serial can be no less than 1 / ranks: the rest
// are the halos, and copies of a layer's input with the halo around it, one layer at a time.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "benchmarks/result_file.hpp"
#include "core/random.hpp"
#include "core/threads.hpp"
#include "nn/models.hpp"
#include "parallel/mpi/environment.hpp"
#include "parallel/mpi/options.hpp"
#include "parallel/spatial/spatial_parallel.hpp"

namespace tandem {
namespace {

constexpr int classes = 4;

struct Options {
  bool quick = false, no_serial = false;
  Index side = 0, width = 8, channels = 4;
  int threads = 1;
  std::string json;
};

// Nothing if only help was asked for.
std::optional<Options> parse(const Communicator& world, int argc, char** argv) {
  Options o;
  CLI::App app{"Memory and time of a U-Net of six convolutions on one large image that ranks share.", "spatial"};
  app.add_flag("--quick", o.quick, "an image of 1024 x 1024 pixels: a few seconds");
  app.add_flag("--no-serial", o.no_serial, "leave out the run on one rank, for images that it cannot hold");
  app.add_option("--side", o.side, "height and width of the image, a multiple of 4 (4096; quick: 1024)")->check(CLI::NonNegativeNumber);
  app.add_option("--width", o.width, "channels of the first layer")->capture_default_str()->check(CLI::Range(1, 1000000000));
  app.add_option("--threads", o.threads, "threads of a rank")->capture_default_str()->check(CLI::Range(1, 1000000000));
  app.add_option("--json", o.json, "write the table to this file as well")->type_name("FILE");
  app.footer(
      "Memory of 4096 x 4096 pixels at width 8: 9 GB on one rank, then a quarter on each of 4.\n"
      "Example:  tandem bench spatial -n 4 --quick --json spatial.json");
  if (!parse_options(app, argc, argv, world)) return std::nullopt;
  if (o.side == 0) o.side = o.quick ? 1024 : 4096;
  return o;
}

// Random numbers keyed by the row of the whole image, so that every split sees the same image and no rank ever holds more than its part.
Tensor random_part(const ImageSplit& split, Index channels, std::string_view what) {
  const Range rows = split.my_rows(), columns = split.my_columns();
  Tensor part({1, rows.size(), columns.size(), channels});
  real* to = part.data();
  for (Index row = rows.begin; row < rows.end; ++row) {
    Random random(1, mix(hash(what), static_cast<std::uint64_t>(row)));
    for (Index i = 0; i < split.columns().length() * channels; ++i) {
      const auto value = static_cast<real>(random.uniform(-1, 1));
      if (i >= columns.begin * channels && i < columns.end * channels) *to++ = value;
    }
  }
  return part;
}

struct Result {
  double peak = 0;     // bytes of the fullest rank
  double seconds = 0;  // of the slowest
  double loss = 0;
  Traffic halo;        // of one step by the formula; the tests count it to be exact
};

// The halos of all convolutions; pools need none, since cuts are multiples of all strides. Backward sends the same again, except to the
// image itself, which needs no gradient.
Traffic halo_of(const ImageSplit& split, Index channels, Index w) {
  const Window three = Window::square(3, 1, 1), half = Window::square(2, 2);
  const ImageSplit lower = split.after(half), lowest = lower.after(half);
  Traffic sum{};
  const auto add = [&](const ImageSplit& at, Index c, std::size_t times) {
    const Traffic once = halo_traffic(at, three, 1, c);
    sum.messages += times * once.messages, sum.bytes += times * once.bytes;
  };
  add(split, channels, 1);   // encode1
  add(lower, w, 2);          // encode2
  add(lowest, 2 * w, 2);     // middle
  add(lower, 4 * w, 2);      // decode2
  add(split, 2 * w, 2);      // decode1
  return sum;
}

Result measure(RankGrid grid, const Options& o, const Communicator& comm) {
  const auto model = unet({o.side, o.side, o.channels}, classes, o.width);
  initialise(*model, 1);
  const ImageSplit split(o.side, o.side, grid, comm, total_stride(*model));
  spatial_parallel(*model, split);
  const Tensor x = random_part(split, o.channels, "image"), target = random_part(split, classes, "target");

  Result result{.halo = halo_of(split, o.channels, o.width)};
  for (int step = 0; step < 2; ++step) {
    comm.barrier();
    if (step == 0) reset_memory_peak();
    const auto begin = std::chrono::steady_clock::now();
    {
      const Variable loss = squared_error_sum(model->forward(x, {.training = true}), target);
      backward(loss);
      result.loss = sum_over_ranks(loss.value().item(), comm) / static_cast<double>(o.side * o.side);
    }
    for (const Parameter& p : model->parameters()) {
      Variable weights = p.variable;
      Tensor gradient = weights.gradient();
      allreduce(gradient.values(), comm);
      weights.set_gradient({});
    }
    result.seconds = max_over_ranks(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), comm);
    if (step == 0) result.peak = max_over_ranks(static_cast<double>(memory_use().peak), comm);
  }
  release_cached_memory();
  return result;
}

int spatial(const Communicator& world, int argc, char** argv) {
  const std::optional<Options> options = parse(world, argc, argv);
  if (!options) return 0;
  const Options& o = *options;
  if (o.side % 4 != 0) throw UsageError(fmt::format("spatial: --side {} is no multiple of 4", o.side));
  const ResultFile file(o.json, world);
  set_thread_count(o.threads);
  const bool talks = world.rank() == 0;
  if (talks)
    fmt::print("U-Net of six convolutions, {} x {} x {} pixels, first layer of {} channels, {} thread(s) a rank\n\n{:<16}{:>6}{:>14}{:>11}{:>10}"
               "{:>10}{:>14}   {}\n",
               o.side, o.side, o.channels, o.width, o.threads, "split", "ranks", "MB of a rank", "of serial", "seconds", "messages", "halo bytes",
               "loss of a pixel");

  auto rows = nlohmann::json::array();
  double serial_peak = 0;
  const auto report = [&](const std::string& name, int ranks, const Result& r) {
    if (ranks == 1) serial_peak = r.peak;
    const double share = serial_peak > 0 ? r.peak / serial_peak : 0;
    rows.push_back({{"split", name}, {"ranks", ranks}, {"peak_bytes", r.peak}, {"share_of_serial", share}, {"seconds", r.seconds},
                    {"halo_messages", r.halo.messages}, {"halo_bytes", r.halo.bytes}, {"loss", r.loss}});
    if (talks)
      fmt::print("{:<16}{:>6}{:>14.0f}{:>11}{:>10.2f}{:>10}{:>14}   {:.6f}\n", name, ranks, r.peak / 1e6,
                 share > 0 ? fmt::format("{:.3f}", share) : "", r.seconds, r.halo.messages, r.halo.bytes, r.loss);
    std::fflush(stdout);
  };
  if (!o.no_serial) {
    const Communicator alone = world.split(world.rank(), 0);
    Result serial;
    if (talks) serial = measure({}, o, alone);
    serial.peak = max_over_ranks(serial.peak, world);  // the others have waited
    report("whole", 1, serial);
  }
  const int p = world.size();
  for (int across = 1; across * across <= p && p > 1; ++across)
    if (p % across == 0)
      report(fmt::format("{} {} x {}", across == 1 ? "bands" : "blocks", p / across, across), p, measure({p / across, across}, o, world));
  file.write({{"rows", rows}});
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) { return tandem::mpi::run(argc, argv, tandem::spatial); }
