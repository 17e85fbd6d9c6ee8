// measure: what predictions are made from. Links and layers of this machine, each timed by itself, in a file.
//
//   ./tandem run -n 2 measure --model cnn --json profile.json
//   ./tandem run -n 1 plan --profile profile.json --ranks 16 --memory 2G
//
// Start it with as many ranks as the node has cores to compute on: all measure at once, as they will all train at once. What it measures, and
// how: parallel/measure_costs.hpp.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <optional>

#include "benchmarks/resident.hpp"
#include "core/file.hpp"
#include "core/threads.hpp"
#include "parallel/collectives/collectives.hpp"
#include "parallel/measure_costs.hpp"
#include "parallel/mpi/environment.hpp"
#include "parallel/mpi/options.hpp"

namespace tandem {
namespace {

struct Options {
  std::string model = "cnn", json = "profile.json", optimizer = "sgd";
  std::int64_t rows = 32;
  int repetitions = 0, threads = 1;
  bool quick = false;
};

// Nothing if only help was asked for.
std::optional<Options> parse(const Communicator& world, int argc, char** argv) {
  Options o;
  CLI::App app{"Measures links and layers for predictions.", "measure"};
  app.add_option("--model", o.model, "cnn, resnet, unet, mlp, mlp784, shallow, mlp10m or deep100")->capture_default_str();
  app.add_option("--optimizer", o.optimizer, "sgd, adam or adamw")->capture_default_str();
  app.add_option("--rows", o.rows, "the largest micro-batch; smaller ones are its halves")->capture_default_str()->check(CLI::Range(1, 4096));
  app.add_option("--repetitions", o.repetitions, "of every measurement (9; quick: 3)")->check(CLI::Range(1, 1000));
  app.add_option("--threads", o.threads, "threads of a rank")->capture_default_str()->check(CLI::Range(1, 1024));
  app.add_flag("--quick", o.quick, "fewer repetitions");
  app.add_option("--json", o.json, "the profile")->capture_default_str()->type_name("FILE");
  app.footer("Example:  tandem run -n 2 measure --model resnet --json resnet.json");
  if (!parse_options(app, argc, argv, world)) return std::nullopt;
  if (o.repetitions == 0) o.repetitions = o.quick ? 3 : 9;
  return o;
}

std::string table(const CostProfile& profile) {
  const MachineProfile& machine = profile.machine;
  std::string text = fmt::format("{}\n\n{:<16}{:>12}{:>12}{:>12}\n", profile.about, "links", "alpha [us]", "1/beta GB/s", "1/gamma GB/s");
  const auto rate = [](double seconds_per_byte) { return seconds_per_byte > 0 ? fmt::format("{:.2f}", 1e-9 / seconds_per_byte) : "-"; };
  for (const auto& [name, links] : {std::pair{"within a node", &machine.within}, {"between nodes", &machine.between}, {"shared memory", &machine.memory}}) {
    const Link fit = links->fit();
    text += fmt::format("{:<16}{:>12.2f}{:>12}{:>12}\n", name, 1e6 * fit.alpha, rate(fit.beta), rate(fit.gamma));
  }
  for (const std::string& assumed : machine.assumed) text += fmt::format("  not measured but assumed: {}\n", assumed);

  const double rows = profile.model.layers.front().points.back().rows;
  text += fmt::format("\nall {} ranks of a node busy: {:.2f} times as long as one alone\n\n{}, {} rows a micro-batch\n", machine.ranks_per_node, machine.slowdown,
                      profile.model.name, rows);
  text += fmt::format("{:<16}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}\n", "layer", "forward ms", "input ms", "weights ms", "update ms", "parameters", "kept KB/row");
  const auto line = [&](std::string_view name, const LayerPoint& p, Seconds update, std::size_t parameters) {
    text += fmt::format("{:<16}{:>12.3f}{:>12.3f}{:>12.3f}{:>12.3f}{:>12}{:>12.1f}\n", name, 1e3 * p.forward, 1e3 * p.backward_input, 1e3 * p.backward_weight,
                        1e3 * update, parameters, p.activation_bytes / rows / 1024);
  };
  LayerPoint sum;
  Seconds update = 0;
  std::size_t parameters = 0;
  for (const LayerProfile& layer : profile.model.layers) {
    const LayerPoint p = layer.at(rows);
    line(layer.name, p, layer.update, layer.parameter_count());
    sum.forward += p.forward, sum.backward_input += p.backward_input, sum.backward_weight += p.backward_weight, sum.activation_bytes += p.activation_bytes;
    update += layer.update, parameters += layer.parameter_count();
  }
  line("loss", profile.model.loss.at(rows), 0, 0);
  line("all layers", sum, update, parameters);
  return text;
}

int measure(const Communicator& world, int argc, char** argv) {
  const std::optional<Options> options = parse(world, argc, argv);
  if (!options) return 0;
  set_thread_count(options->threads);
  on_rank_0(world, [&] { const NewFile probe(options->json); });  // gone again at once
  const auto begin = std::chrono::steady_clock::now();

  const Workload what = workload(options->model);
  initialise(*what.model, 1);
  ModelMeasurement how{.rows = {options->rows}, .repetitions = options->repetitions, .optimizer = options->optimizer};
  while (how.rows.front() > 1) how.rows.insert(how.rows.begin(), how.rows.front() / 2);
  CostProfile profile{.about = fmt::format("{} on {} ranks of {} thread(s)", options->model, world.size(), options->threads), .machine = profile_machine(world)};
  profile.model = profile_model(options->model, *what.model, what.image, what.loss, how, world, profile.machine.slowdown);
  on_rank_0(world, [&] {
    write_file(options->json, to_json(profile));
    fmt::print("{}\n{:.0f} s; wrote {}\n", table(profile), std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), options->json);
  });
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) { return tandem::mpi::run(argc, argv, tandem::measure); }
