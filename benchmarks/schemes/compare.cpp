// compare: one model, one batch, the same starting weights; every parallel scheme side by side.
//
//   ./tandem run -n 2 compare                                       all schemes that two ranks allow
//   ./tandem run -n 4 compare --model even --micro-batches 32 --schemes "serial; pipeline=4 gpipe; pipeline=4 1f1b" --html schemes.html
//
// How it measures. The schemes take turns, round after round, so that a disturbance hits all alike; a step's time is that of the slowest rank,
// and the median over the rounds counts. Beside them each rank trains alone, all at the same time, on its own share: that is as fast as so many
// processes can be on this machine, and the measure for a scheme's efficiency. Predictions come from a cost profile (`measure`), which is taken
// before and without the schemes.
//
//   round 1   alone | serial | data=2 | pipeline=2 1f1b | ...        serial: rank 0 works, the others sleep
//   round 2   alone | serial | data=2 | ...
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <set>

#include "benchmarks/result_file.hpp"
#include "benchmarks/schemes/comparison.hpp"
#include "benchmarks/schemes/page.hpp"
#include "core/threads.hpp"
#include "parallel/measure_costs.hpp"
#include "parallel/mpi/environment.hpp"
#include "parallel/mpi/options.hpp"
#include "tasks/classification/labelled_data.hpp"
#include "tasks/classification/tile_dataset.hpp"

namespace tandem {
namespace {

struct Options {
  std::string model = "cnn", data, schemes, json, csv, html, profile;
  std::int64_t batch = 64;
  int micro_batches = 8, rounds = 0, threads = 1, ranks = 0;
  double seconds = 0, loss = 0;
  bool quick = false, scaling = false;
};

std::optional<Options> parse(const Communicator& world, int argc, char** argv) {
  Options o;
  CLI::App app{"Every parallel scheme on one model and one batch: time, speed-up, messages, memory, predicted and measured.", "compare"};
  app.add_option("--model", o.model, "cnn, resnet, even (equal layers), unet, mlp784, mlp10m or shallow")->capture_default_str();
  app.add_option("--data", o.data, "train on the first tiles of this folder of class folders (models cnn, resnet and mlp), else on made-up images");
  app.add_option("--schemes", o.schemes, "which, separated by ;  as in \"serial; data=2 shard=1; pipeline=2 zb-h1\" (all that the ranks allow)");
  app.add_option("--ranks", o.ranks, "use so many of the ranks (all)")->check(CLI::Range(1, 1 << 20));
  app.add_option("--batch", o.batch, "images of a step, all ranks together")->capture_default_str()->check(CLI::Range(1, 1 << 20));
  app.add_option("--micro-batches", o.micro_batches, "M, the same for all schemes that do not say m=")->capture_default_str()->check(CLI::Range(1, 1 << 20));
  app.add_option("--profile", o.profile, "cost profile to predict from, as `measure` writes it (else it is measured now)")->type_name("FILE");
  app.add_option("--threads", o.threads, "threads of a rank")->capture_default_str()->check(CLI::Range(1, 1024));
  app.add_option("--rounds", o.rounds, "turns that each scheme takes (7; quick: 3)")->check(CLI::NonNegativeNumber);
  app.add_option("--seconds", o.seconds, "length of a turn (0.5; quick: 0.2)")->check(CLI::NonNegativeNumber);
  app.add_option("--to-loss", o.loss, "also train each from the start until the mean loss of the batch is this")->check(CLI::NonNegativeNumber);
  app.add_flag("--scaling", o.scaling, "also 1, 2, 4, ... ranks of data parallelism and of 1F1B, on the same batch and on one that grows");
  app.add_flag("--quick", o.quick, "fewer and shorter turns");
  app.add_option("--json", o.json, "write the result to this file")->type_name("FILE");
  app.add_option("--csv", o.csv, "write the table to this file")->type_name("FILE");
  app.add_option("--html", o.html, "write a page with timelines and charts to this file")->type_name("FILE");
  app.footer("Example:  tandem run -n 2 compare --quick --html schemes.html");
  if (!parse_options(app, argc, argv, world)) return std::nullopt;
  if (o.rounds == 0) o.rounds = o.quick ? 3 : 7;
  if (o.seconds == 0) o.seconds = o.quick ? 0.2 : 0.5;
  if (o.ranks == 0) o.ranks = world.size();
  if (o.ranks > world.size()) throw UsageError(fmt::format("--ranks {}: there are {}", o.ranks, world.size()));
  if (o.batch < o.micro_batches) throw UsageError(fmt::format("a batch of {} cannot make {} micro-batches", o.batch, o.micro_batches));
  return o;
}

// What p ranks can do, each scheme by itself and, where p is a product, two together.
std::string all_schemes(int p) {
  if (p == 1) return "serial; serial recompute; serial m=1";
  std::string text = fmt::format("serial; serial m=1; data={0}; data={0} shard=1; data={0} shard=2; data={0} shard=3; pipeline={0} naive; pipeline={0} gpipe; "
                                 "pipeline={0} 1f1b; pipeline={0} 1f1b recompute; pipeline={0} interleaved v=2; pipeline={0} zb-h1; tensor={0}; spatial={0}", p);
  for (int a = 2; a * 2 <= p; ++a)
    if (p % a == 0) text += fmt::format("; data={0},pipeline={1} 1f1b; data={0},tensor={1}; pipeline={0},tensor={1} 1f1b", a, p / a);
  return text;
}

// Seconds of a step on the slowest rank, the mean over `steps`.
double time_steps(SchemeTraining& training, int steps) {
  training.comm().barrier();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < steps; ++i) training.step();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / steps;
  return max_over_ranks(seconds, training.comm());
}

// A scheme with what it needs to be timed again and again. Ranks that it does not use have no training.
struct Contender {
  SchemeRow row;
  std::unique_ptr<Communicator> comm;
  std::unique_ptr<SchemeTraining> training;
  int steps = 1;  // of a turn
};

Contender enter(const Scheme& scheme, const Subject& subject, std::int64_t batch, const Options& o, const CostProfile& profile, const Scheme& defaults,
                const Communicator& world) {
  Contender c;
  c.row = {.scheme = scheme, .name = to_string(scheme, defaults), .ranks = static_cast<int>(scheme.grid.size()), .step_seconds = {}, .traffic = {}, .memory = {},
           .predicted = predict(profile, scheme, batch), .measured = {}, .hash = {}};
  const int count = c.row.ranks;
  c.comm = std::make_unique<Communicator>(world.split(world.rank() < count ? 0 : 1, world.rank()));
  on_first_ranks(count, world, [&] {
    c.training = std::make_unique<SchemeTraining>(subject, batch, scheme, c.row.predicted.stages, *c.comm);
    for (int i = 0; i < hash_steps; ++i) c.training->step();
    c.row.hash = hex(c.training->weights_hash());
    c.row.same_bits = c.training->same_bits_as_serial();
    c.row.memory = c.training->memory();
    c.row.traffic = c.training->traffic();
    c.steps = std::max(1, static_cast<int>(std::ceil(o.seconds / time_steps(*c.training, 2))));
  });
  return c;
}

// Every rank trains for itself on its share, with micro-batches of the same size; images/s of the slowest.
class Alone {
 public:
  Alone(const Subject& subject, const Options& o, const Communicator& world)
      : self_(world.split(world.rank(), 0)), share_(divide_up(o.batch, o.ranks)),
        training_(subject, share_, {.micro_batches = static_cast<int>(std::max<std::int64_t>(1, divide_up(o.micro_batches, o.ranks)))}, {}, self_), world_(world) {
    time_steps(training_, 2);
    steps_ = std::max(1, static_cast<int>(std::ceil(o.seconds / max_over_ranks(time_steps(training_, 1), world))));
  }
  double images_per_second() {
    world_.barrier();
    return static_cast<double>(share_) / max_over_ranks(time_steps(training_, steps_), world_);
  }

 private:
  Communicator self_;
  std::int64_t share_;
  SchemeTraining training_;
  const Communicator& world_;
  int steps_ = 1;
};

// Trains from the start until the mean loss of the batch is small enough. The first step's loss is of the starting weights.
void train_to_loss(SchemeRow& row, const Subject& subject, const Options& o, const Communicator& comm) {
  constexpr int most_steps = 60;
  constexpr double rate = 0.05;
  SchemeTraining training(subject, o.batch, row.scheme, row.predicted.stages, comm);
  comm.barrier();
  const auto begin = std::chrono::steady_clock::now();
  for (int step = 1; step <= most_steps; ++step) {
    const StepResult result = training.step(rate);  // the same on every rank
    if (result.loss / result.weight > o.loss) continue;
    row.steps_to_loss = step;
    row.seconds_to_loss = max_over_ranks(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), comm);
    return;
  }
}

// 1, 2, 4, ... ranks: the batch as it is (strong), and a part of it for each of the ranks that work (weak), with as many images in a micro-batch.
std::vector<ScalingPoint> scaling(const Subject& subject, const Options& o, const CostProfile& profile, const Communicator& world) {
  struct Entry {
    ScalingPoint point;
    std::int64_t batch;
    Contender contender;
  };
  std::vector<Entry> entries;
  for (const std::string_view kind : {"data", "pipeline"})
    for (const bool weak : {false, true})
      for (int p = 1; p <= o.ranks; p *= 2) {
        Scheme scheme{.micro_batches = weak ? std::max(1, o.micro_batches * p / o.ranks) : o.micro_batches};
        (kind == "data" ? scheme.grid.data : scheme.grid.pipeline) = p;
        const std::int64_t batch = weak ? std::max<std::int64_t>(scheme.micro_batches, o.batch * p / o.ranks) : o.batch;
        try {
          entries.push_back({{.kind = std::string(kind), .ranks = p, .weak = weak}, batch, enter(scheme, subject, batch, o, profile, {}, world)});
        } catch (const UsageError&) {  // more stages than layers, or ranks than micro-batches
        }
      }
  for (int round = 0; round < o.rounds; ++round)
    for (auto& [point, batch, c] : entries)
      on_first_ranks(c.row.ranks, world, [&, &row = c.row, &training = c.training, steps = c.steps] { row.step_seconds.push_back(time_steps(*training, steps)); });
  std::vector<ScalingPoint> points;
  for (Entry& entry : entries) {
    if (world.rank() != 0) continue;
    entry.point.images_per_second = entry.contender.row.images_per_second(entry.batch);
    points.push_back(entry.point);
  }
  return points;
}

// Measured at the sizes of micro-batches that the schemes have, so that none is guessed from others.
CostProfile profile_for(const std::vector<Scheme>& schemes, const Subject& subject, const Options& o, const Communicator& world) {
  if (!o.profile.empty()) return load_cost_profile(o.profile);
  CostProfile profile{.about = "measured by compare", .machine = profile_machine(world), .model = {}};
  const Workload work = subject.work();
  initialise(*work.model, 1);
  std::set<std::int64_t> rows{1};
  for (const Scheme& scheme : schemes) rows.insert(divide_up(o.batch, scheme.micro_batches));
  ModelMeasurement how;
  how.rows.assign(rows.begin(), rows.end());
  profile.model = profile_model(o.model, *work.model, work.image, work.loss, how, world, profile.machine.slowdown);
  return profile;
}

// On the ranks that are used, `world`.
void compare_all(const std::vector<Scheme>& schemes, const Options& o, const Scheme& defaults, const std::string& command, const Communicator& world) {
  const ResultFile json(o.json, world), csv(o.csv, world), html(o.html, world);  // whether they can be written, now and not after all measuring
  Subject subject{.model = o.model};
  if (!o.data.empty()) {
    const LabelledData data = read_labelled_data({.path = o.data}, world);
    subject.images = std::make_shared<TileDataset>(data.tiles, data.split.train, channel_statistics(data.tiles, data.split.train));
  }

  const bool talks = world.rank() == 0;
  const CostProfile profile = profile_for(schemes, subject, o, world);
  Comparison result{.model = o.model, .machine = profile.about, .batch = o.batch, .ranks = o.ranks, .threads = o.threads, .rounds = o.rounds,
                    .defaults = defaults, .rows = {}, .scaling = {}, .loss = o.loss};
  if (talks) fmt::print("{}, batch {} in {} micro-batches, {} ranks of {} thread(s), {} rounds\n\n", o.model, o.batch, o.micro_batches, o.ranks, o.threads, o.rounds);

  std::vector<Contender> contenders;
  for (const Scheme& scheme : schemes) {
    try {
      contenders.push_back(enter(scheme, subject, o.batch, o, profile, defaults, world));
    } catch (const UsageError& error) {  // every rank throws the same
      if (!o.schemes.empty()) throw;
      if (talks) fmt::print("left out: {}: {}\n", to_string(scheme, defaults), error.what());
    }
  }
  Alone alone(subject, o, world);
  std::vector<double> alone_rates;
  for (int round = 0; round < o.rounds; ++round) {
    alone_rates.push_back(alone.images_per_second());
    for (Contender& c : contenders)
      on_first_ranks(c.row.ranks, world, [&] { c.row.step_seconds.push_back(time_steps(*c.training, c.steps)); });
  }
  for (Contender& c : contenders) on_first_ranks(c.row.ranks, world, [&] { c.row.measured = c.training->traced(); });
  if (o.loss > 0)
    for (Contender& c : contenders) on_first_ranks(c.row.ranks, world, [&] { train_to_loss(c.row, subject, o, *c.comm); });
  if (o.scaling) result.scaling = scaling(subject, o, profile, world);
  result.images_alone = median(alone_rates);
  for (Contender& c : contenders) {
    if (!talks) continue;
    c.row.alone_share = c.row.images_per_second(o.batch) / (c.row.ranks * result.images_alone);
    result.rows.push_back(std::move(c.row));
  }
  if (talks) fmt::print("{}", table_of(result));
  json.write(talks ? json_of(result) : nlohmann::json());
  on_rank_0(world, [&] {
    if (!o.csv.empty()) write_file(o.csv, csv_of(result));
    if (!o.html.empty()) write_file(o.html, page_of(result, command));
    for (const std::string& path : {o.json, o.csv, o.html})
      if (!path.empty()) fmt::print("wrote {}\n", path);
  });
}

int compare(const Communicator& all, int argc, char** argv) {
  const std::optional<Options> options = parse(all, argc, argv);
  if (!options) return 0;
  const Options& o = *options;
  const Scheme defaults{.micro_batches = o.micro_batches};
  const std::vector<Scheme> schemes = parse_schemes(o.schemes.empty() ? all_schemes(o.ranks) : o.schemes, defaults);
  for (const Scheme& scheme : schemes)
    if (scheme.grid.size() > o.ranks)
      throw UsageError(fmt::format("{} takes {} ranks, and there are {}; start more with tandem run -n", to_string(scheme, defaults), scheme.grid.size(), o.ranks));
  set_thread_count(o.threads);
  const std::string command = fmt::format("tandem run -n {} compare {}", all.size(), fmt::join(argv + 1, argv + argc, " "));
  const Communicator world = all.split(all.rank() < o.ranks ? 0 : 1, all.rank());
  on_first_ranks(o.ranks, all, [&] { compare_all(schemes, o, defaults, command, world); });
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) { return tandem::mpi::run(argc, argv, tandem::compare); }
