// plan: how should this model be trained on so many ranks, of this machine or of one that is not at hand?
//
//   ./tandem run -n 1 plan --profile profile.json --ranks 2
//   ./tandem run -n 1 plan --profile profile.json --nodes 16 --ranks-per-node 4 --latency 2 --bandwidth 12.5 --memory 2G
//   ./tandem run -n 1 plan --model resnet --ranks 64 --memory 512M          without a profile: a described core, see --help
//
// It predicts every scheme (parallel/planner.hpp) from a profile that `measure` has taken, and explains its choice. It links no MPI.
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "benchmarks/schemes/program.hpp"
#include "nn/models.hpp"
#include "parallel/outline.hpp"
#include "parallel/planner.hpp"

namespace tandem {
namespace {

struct Options {
  int ranks = 0, nodes = 0, ranks_per_node = 0, micro_batches = 0;
  std::int64_t batch = 0;
  std::string memory, profile, model = "cnn", json;
  double latency = -1, bandwidth = -1, speed = 1, gflops = 50;
  std::size_t rows = 8;
};

// "2G", "512M", "1e9". UsageError for anything else.
double bytes_of(const std::string& text) {
  std::size_t used = 0;
  double value = -1;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
  }
  const std::string unit = text.substr(std::min(used, text.size()));
  const std::size_t power = unit.empty() ? 0 : std::string("KMGT").find(unit[0]) + 1;
  if (!(value > 0) || !std::isfinite(value) || unit.size() > 1 || (power == 0 && !unit.empty()))
    throw UsageError(fmt::format("--memory is '{}'; expected bytes, or a number with K, M, G or T, as in 2G", text));
  return value * std::pow(1024.0, static_cast<double>(power));
}

void add_options(CLI::App& app, Options& o) {
  app.add_option("--ranks", o.ranks, "how many there are (else nodes x ranks per node)")->check(CLI::Range(1, 32768));
  app.add_option("--memory", o.memory, "of a rank, as in 2G; else without end");
  app.add_option("--batch", o.batch, "rows of a step over all ranks (else 64, or 8 a rank if that is more)")->check(CLI::Range(1, 1 << 24));
  app.add_option("--micro-batches", o.micro_batches, "M; else the search chooses it")->check(CLI::Range(1, 1 << 20));
  app.add_option("--profile", o.profile, "what `measure` has written; else the model and the machine are described by the options below")->type_name("FILE");
  app.add_option("--model", o.model, "without a profile: cnn, resnet or mlp on images of 64x64x3")->capture_default_str();
  app.add_option("--gflops", o.gflops, "without a profile: 1e9 multiplications and additions a second of a core")
      ->capture_default_str()->check(CLI::Range(1e-3, 1e9));
  app.add_option("--nodes", o.nodes, "of the cluster")->check(CLI::Range(1, 32768));
  app.add_option("--ranks-per-node", o.ranks_per_node, "(else as in the profile; without one, 4)")->check(CLI::Range(1, 32768));
  app.add_option("--latency", o.latency, "between nodes, in microseconds")->check(CLI::Range(0.0, 1e9));
  app.add_option("--bandwidth", o.bandwidth, "of a node's link, in GB/s")->check(CLI::Range(1e-6, 1e6));
  app.add_option("--speed", o.speed, "of a core, in times that of the profile")->capture_default_str()->check(CLI::Range(1e-6, 1e6));
  app.add_option("--rows", o.rows, "of the table")->capture_default_str()->check(CLI::Range(1, 1000));
  app.add_option("--json", o.json, "write the plan to this file as well")->type_name("FILE");
  app.footer("Example:  tandem run -n 1 plan --nodes 16 --ranks-per-node 4 --memory 1G");
}

CostProfile described(const Options& o) {
  const Shape image{64, 64, 3};
  const auto model = make_model(o.model, image, 10);
  initialise(*model, 1);
  CostProfile profile{.about = fmt::format("{} as described", o.model)};
  profile.machine = {.ranks_per_node = 4, .within = typical_host, .between = typical_network, .memory = typical_host};
  profile.machine.assumed = {fmt::format("cores of {} GFLOP/s and 10 GB/s", o.gflops), assumed_host, assumed_network};
  profile.model = described_model(o.model, *model, image, {.operations = 1e9 * o.gflops});
  return profile;
}

void speed_up(LayerProfile& layer, double speed) {
  for (LayerPoint& p : layer.points) p.forward /= speed, p.backward_input /= speed, p.backward_weight /= speed;
  layer.accumulate /= speed;
  layer.update /= speed;
}

// The machine of the profile, as far as the options do not describe another. Fills in the number of ranks.
CostProfile cluster(Options& o) {
  CostProfile profile = o.profile.empty() ? described(o) : load_cost_profile(o.profile);
  MachineProfile& machine = profile.machine;
  if (o.ranks_per_node == 0) o.ranks_per_node = o.nodes > 0 && o.ranks > 0 ? (o.ranks + o.nodes - 1) / o.nodes : machine.ranks_per_node;
  if (o.ranks == 0) o.ranks = std::max(1, o.nodes) * o.ranks_per_node;
  if (o.nodes > 0 && std::int64_t{o.nodes} * o.ranks_per_node < o.ranks)
    throw UsageError(fmt::format("--ranks {} do not fit on {} nodes of {}", o.ranks, o.nodes, o.ranks_per_node));
  machine.ranks_per_node = o.ranks_per_node;
  if (o.latency >= 0 || o.bandwidth >= 0) {
    const Link before = machine.between.fit();
    const Link link{.alpha = o.latency >= 0 ? 1e-6 * o.latency : before.alpha, .beta = o.bandwidth >= 0 ? 1e-9 / o.bandwidth : before.beta,
                    .gamma = before.gamma};
    machine.between = link;
    std::erase_if(machine.assumed, [](const std::string& text) { return text.starts_with("links between nodes"); });
    machine.assumed.push_back(fmt::format("links between nodes: {:.3g} us, {:.3g} GB/s, as told", 1e6 * link.alpha, 1e-9 / link.beta));
  }
  if (o.ranks <= machine.ranks_per_node)  // they all fit on one node
    std::erase_if(machine.assumed, [](const std::string& text) { return text.starts_with("links between nodes"); });
  if (o.speed != 1) {
    for (LayerProfile& layer : profile.model.layers) speed_up(layer, o.speed);
    speed_up(profile.model.loss, o.speed);
    machine.assumed.push_back(fmt::format("cores of {} times the speed of the profile's", o.speed));
  }
  return profile;
}

nlohmann::json row(const Candidate& c) {
  const Prediction& p = c.prediction;
  const GridShape& grid = c.scheme.grid;
  nlohmann::json json{{"scheme", to_string(c.scheme, {.micro_batches = 0})}, {"grid", to_string(grid)}, {"ranks", grid.size()}, {"schedule", c.scheme.schedule},
                      {"chunks", c.scheme.chunks}, {"shard", c.scheme.shard}, {"micro_batches", c.scheme.micro_batches}, {"recompute", c.scheme.recompute},
                      {"step_ms", 1e3 * p.step}, {"images_per_second", p.images_per_second}, {"idle_share", p.idle_share},
                      {"exposed_communication_ms", 1e3 * p.exposed_communication}, {"bytes", p.traffic.bytes}, {"messages", p.traffic.messages},
                      {"parameter_bytes", p.memory.parameters}, {"gradient_bytes", p.memory.gradients}, {"moment_bytes", p.memory.moments},
                      {"activation_bytes", p.memory.activations}, {"memory_bytes", p.memory.total()}};
  if (!c.refused.empty()) json["refused"] = c.refused;
  return json;
}

void plan(Options o) {
  probe_file(o.json);
  const CostProfile profile = cluster(o);
  PlanRequest request{.ranks = o.ranks, .memory = o.memory.empty() ? 0 : bytes_of(o.memory),
                      .batch = o.batch > 0 ? o.batch : std::max<std::int64_t>(64, 8 * o.ranks)};
  if (o.micro_batches > 0) request.micro_batches = o.micro_batches;

  const auto begin = std::chrono::steady_clock::now();
  const PlanResult result = search_schemes(profile, request);
  const std::string words = explain(result, profile, request);
  const int nodes = (o.ranks + profile.machine.ranks_per_node - 1) / profile.machine.ranks_per_node;
  fmt::print("{} ({}), {} rank(s) on {} node(s), batches of {}\n\n{}\n{}\n{:.1f} s\n", profile.model.name, profile.about, o.ranks, nodes, request.batch, words,
             plan_table(result, o.rows), std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  if (!o.json.empty()) {
    nlohmann::json json{{"ranks", o.ranks}, {"batch", request.batch}, {"memory", request.memory}, {"explanation", words}, {"assumed", profile.machine.assumed},
                        {"fitting", nlohmann::json::array()}, {"refused", nlohmann::json::array()}};
    for (const Candidate& c : result.fitting) json["fitting"].push_back(row(c));
    for (const Candidate& c : result.refused) json["refused"].push_back(row(c));
    write_file(o.json, json.dump(1) + "\n");
    fmt::print("wrote {}\n", o.json);
  }
  require(!result.fitting.empty(), "no scheme on {} ranks fits into {} a rank", o.ranks, bytes_text(request.memory));
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  tandem::Options options;
  CLI::App app{"Searches the scheme that trains a model fastest on some ranks, and says why.", "plan"};
  tandem::add_options(app, options);
  return tandem::run_program(app, argc, argv, [&] { tandem::plan(options); });
}
