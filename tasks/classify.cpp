// classify: trains a convolutional network on image tiles by data parallelism, scores it, and uses it.
//
//   ./tandem run -n 2 classify                                     the embedded landscapes, two ranks
//   ./tandem run -n 2 classify --data EuroSAT --checkpoint eurosat.safetensors --report eurosat.html
//   ./tandem run classify --checkpoint eurosat.safetensors --predict a.jpg b.png
#include <fmt/format.h>

#include <chrono>

#include "core/file.hpp"
#include "core/threads.hpp"
#include "parallel/collectives/collectives.hpp"
#include "parallel/mpi/environment.hpp"
#include "parallel/mpi/options.hpp"
#include "tasks/classification/outcome.hpp"
#include "tasks/classification/tile_dataset.hpp"
#include "tasks/imagery/image.hpp"
#include "tasks/report/plot.hpp"
#include "tasks/report/profile_report.hpp"

namespace tandem {
namespace {

struct Options {
  TrainingSettings settings;
  DataRequest data;
  RunOptions run;
  std::string evaluate, json, report, picture, profile;
  std::vector<std::string> predict;
  int threads = 0;
  bool memory = false;
};

void declare(CLI::App& app, Options& o) {
  app.add_option("--data", o.data.path, "folder of class folders of JPEG or PNG tiles, or of MNIST's IDX files; else made-up landscapes");
  app.add_option("--tiles", o.data.synthetic, "how many landscapes to make up")->capture_default_str()->check(CLI::Range(100, 1000000));
  app.add_flag("--skip-bad", o.data.skip_bad, "leave out files that are no images of the right size, and say which");
  app.add_flag("--cache,!--no-cache", o.data.cache, "keep decoded images in a file for the next run (on unless --no-cache)");
  add_options(app, o.settings);
  app.add_option("--grid", o.run.grid, "how the ranks share the work: numbers of ranks on the axes data, pipeline, tensor and spatial, as in data=2,pipeline=2 (else all "
                 "are data-parallel)");
  app.add_option("--pipeline-schedule", o.run.schedule, "in which order micro-batches go through the pipeline axis: naive, gpipe, 1f1b, interleaved, zb-h1, or "
                 "a schedule's CSV file (else 1f1b, or naive with --shard 3)");
  app.add_option("--chunks", o.run.chunks, "stages a rank, of the interleaved schedule")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_flag("--recompute", o.run.recompute, "keep no activations for the backward pass but compute them again: less memory, one more forward");
  app.add_option("--shard", o.run.shard, "what data-parallel ranks share out: 1 moments, 2 and gradients, 3 and parameters; 0 nothing")
      ->check(CLI::Range(0, 3))->capture_default_str();
  app.add_option("--allreduce", o.run.buckets.algorithm, summed_memory_names() + " (the ring keeps the serial bits on 2 ranks, naive on 3, tree on 2^k, the others always)")->capture_default_str();
  app.add_option("--bucket-bytes", o.run.buckets.bucket_bytes, "gradients that are summed at a time")->capture_default_str()->check(CLI::Range(1, 2000000000));
  app.add_option("--check-replicas", o.run.check_replicas, "compare the data-parallel ranks' weights every so many steps")
      ->check(CLI::Range(1, 1000000000));
  app.add_option("--threads", o.threads, "threads of each rank; else OMP_NUM_THREADS")->check(CLI::Range(1, 1024));
  app.add_option("--checkpoint", o.run.checkpoint, "file for the trained model (safetensors), written after each epoch");
  app.add_flag("--resume", o.run.resume, "go on from --checkpoint, with the settings kept in it")->needs("--checkpoint");
  app.add_option("--stop-after", o.run.stop_after, "leave after so many epochs, to be resumed later")->check(CLI::Range(1, 1000000000));
  app.add_option("--evaluate", o.evaluate, "score this image folder with --checkpoint instead of training")->needs("--checkpoint");
  app.add_option("--predict", o.predict, "name the class of these images with --checkpoint instead of training")->needs("--checkpoint");
  app.add_option("--json", o.json, "write the results to this file");
  app.add_option("--report", o.report, "write a page with curves, confusion matrix and examples to this file (HTML)");
  app.add_option("--picture", o.picture, "write the confusion matrix to this file (SVG)");
  app.add_option("--profile", o.profile, "print where the time of a step goes on rank 0, and draw it in this file (SVG)")->type_name("FILE");
  app.add_flag("--memory", o.memory, "print what a step keeps in memory on rank 0");
  app.footer("Example:  tandem run -n 2 classify --data eurosat --checkpoint eurosat.safetensors --report eurosat.html");
}

// Resuming starts from the settings in the checkpoint; a setting given again must be the same.
bool parse(Options& o, const Communicator& world, int argc, char** argv) {
  const char* const about = "Trains, scores and uses a classifier of image tiles, on any number of ranks.";
  CLI::App app{about, "classify"};
  declare(app, o);
  if (!parse_options(app, argc, argv, world)) return false;
  const bool training = o.evaluate.empty() && o.predict.empty();
  const auto refuse = [](bool given, std::string_view option, std::string_view why) {
    if (given) throw UsageError(fmt::format("{} {}", option, why));
  };
  refuse(!o.evaluate.empty() && !o.predict.empty(), "--evaluate", "and --predict are two runs");
  refuse(!training && !o.report.empty(), "--report", "is the page of a training run; --picture shows the confusion matrix of --evaluate");
  refuse(!training && (o.run.resume || o.run.stop_after), "--resume and --stop-after", "go with training");
  refuse(!training && (o.memory || !o.profile.empty()), "--memory and --profile", "are about training steps");
  refuse(!training && !o.run.grid.empty(), "--grid", "shares out a training run; scoring takes all ranks as they are");
  refuse(!training && (o.run.check_replicas || o.run.shard || o.run.buckets.algorithm != "auto"), "--check-replicas, --shard and --allreduce",
         "are about training steps");
  grid_shape(o.run.grid, world.size());  // throws what is wrong before any data are read
  if (!o.run.schedule.empty()) schedule_choice(o.run.schedule, o.run.chunks);
  check_summed_memory_name(o.run.buckets.algorithm);
  refuse(!o.predict.empty() && !o.picture.empty(), "--picture", "needs true classes; --predict has none");
  if (!o.run.resume) return true;

  Options again;
  const TrainingSettings saved = load_classifier(o.run.checkpoint).settings;
  again.settings = saved;
  CLI::App second{about, "classify"};
  declare(second, again);
  parse_options(second, argc, argv, world);
  const nlohmann::json before = saved, now = again.settings;
  for (const auto& [name, value] : before.items())
    if (value != now[name])
      throw UsageError(fmt::format("--resume: {} is {} in {}, but {} was given; a resumed run is the same run", name, value.dump(),
                                   o.run.checkpoint, now[name].dump()));
  o = again;
  return true;
}

// Finds out before hours of training whether the results can be written.
void check_outputs(const Options& o, const Communicator& world) {
  on_rank_0(world, [&] {
    const bool training = o.evaluate.empty() && o.predict.empty();
    for (const std::string& path : {o.json, o.report, o.picture, o.profile, training ? o.run.checkpoint : std::string()})
      if (!path.empty()) const NewFile probe(path);  // gone again at once
    if (!o.report.empty() || !o.picture.empty()) svg(Plot{});  // is gnuplot there?
  });
}

void tell_left_out(const TileSet& tiles, const Communicator& world) {
  if (world.rank() != 0) return;
  for (const BadFile& bad : tiles.bad) fmt::print("left out: {}\n", bad.reason);
  if (!tiles.note.empty()) fmt::print("note: {}\n", tiles.note);
}

void train_and_tell(const Options& o, const Communicator& world, const std::string& command) {
  const LabelledData data = read_labelled_data(o.data, world);
  tell_left_out(data.tiles, world);
  RunOptions run = o.run;
  if (world.rank() == 0) {
    fmt::print("{}: {} images of {}x{}x{} in {} classes; {} to train, {} to validate, {} to test\n", data.name, data.tiles.size(),
               data.tiles.height, data.tiles.width, data.tiles.channels, data.tiles.classes.size(), data.split.train.size(),
               data.split.validation.size(), data.split.test.size());
    fmt::print("{} on {} rank(s) of {} thread(s) ({}), batches of {} in {} micro-batches\n", o.settings.model, world.size(), thread_count(),
               to_string(grid_shape(o.run.grid, world.size())), o.settings.batch, o.settings.micro_batches);
    std::fflush(stdout);
    run.on_epoch = [&](const EpochRow& row) {
      fmt::print("{}\n", epoch_line(row, o.settings.epochs));
      std::fflush(stdout);
    };
  }
  Profile profile;
  if (world.rank() == 0 && !o.profile.empty()) run.profile = &profile;
  const TrainingResult result = train(data, o.settings, run, world);
  on_rank_0(world, [&] {
    fmt::print("{}", summary_text(result, world.size()));
    if (!o.json.empty()) write_file(o.json, summary_json(result, world.size()).dump(2) + "\n");
    if (!o.picture.empty()) write_file(o.picture, svg(confusion_map(result.test.confusion, data.tiles.classes)));
    if (!o.report.empty()) write_file(o.report, training_report_page(make_report(result, data, command)));
    if (o.memory) fmt::print("\n{}", memory_table(result.memory));
    if (!o.profile.empty() && result.profiled_steps == 0) {
      fmt::print("\nno step was left to run, so there is no profile\n");
    } else if (!o.profile.empty()) {
      fmt::print("\n{}", profile_table(profile, result.profiled_steps, measure_machine()));
      write_file(o.profile, profile_picture(profile, result.profiled_steps, command));
    }
    for (const std::string& path : {o.run.checkpoint, o.json, o.picture, o.report, result.profiled_steps ? o.profile : std::string()})
      if (!path.empty()) fmt::print("wrote {}\n", path);
  });
}

// As the model sees the world: labels of a folder count from its own classes, but the model knows classes by name; files decode to
// three channels, but it may have learned from one.
TileSet fit_to_model(TileSet tiles, const Classifier& classifier) {
  std::vector<std::int32_t> label_of;
  for (const std::string& name : tiles.classes) {
    const auto found = std::ranges::find(classifier.classes, name);
    require(found != classifier.classes.end(), "evaluate: the model knows no class '{}'; it knows {}", name,
            fmt::join(classifier.classes, ", "));
    label_of.push_back(static_cast<std::int32_t>(found - classifier.classes.begin()));
  }
  if (classifier.image[2] == 1 && tiles.channels == 3) {
    std::vector<std::uint8_t> pixels;
    for (Index i = 0; i < tiles.size(); ++i) std::ranges::copy(grey(tiles.image(i)).pixels, std::back_inserter(pixels));
    tiles.own(std::move(pixels));
    tiles.channels = 1;
  }
  for (std::int32_t& label : tiles.labels) label = label_of[static_cast<std::size_t>(label)];
  tiles.classes = classifier.classes;
  return tiles;
}

void evaluate(Options o, const Communicator& world) {
  const Classifier classifier = load_classifier(o.run.checkpoint);
  o.data.path = o.evaluate;
  const TileSet tiles = fit_to_model(read_scoring_folder(o.data, world), classifier);
  tell_left_out(tiles, world);
  const Shape image{tiles.height, tiles.width, tiles.channels};
  require(image == classifier.image, "evaluate: the images are {}, the model wants {}", image, classifier.image);
  std::vector<Index> all(static_cast<std::size_t>(tiles.size()));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<Index>(i);
  const TileDataset dataset(tiles, all, classifier.statistics);
  const auto start = std::chrono::steady_clock::now();
  const Score result = score(*classifier.model, dataset, ProcessGrid(world));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  on_rank_0(world, [&] {
    const ConfusionMatrix& c = result.confusion;
    fmt::print("{}\naccuracy {:.2f} %   kappa {:.4f}   macro F1 {:.4f}   loss {:.4f}   ({} images)\n", table(c, classifier.classes),
               100 * accuracy(c), kappa(c), macro_f1(c), result.loss, c.samples());
    nlohmann::json j = score_json(result, classifier.classes);
    j["weights_hash"] = hex(weights_hash(*classifier.model));
    j["seconds"] = seconds;
    j["images_per_second"] = static_cast<double>(c.samples()) / seconds;
    j["epochs"] = classifier.settings.epochs;
    j["ranks"] = world.size();
    j["threads"] = thread_count();
    if (!o.json.empty()) write_file(o.json, j.dump(2) + "\n");
    if (!o.picture.empty()) write_file(o.picture, svg(confusion_map(c, classifier.classes)));
  });
}

void predict(const Options& o, const Communicator& world) {
  on_rank_0(world, [&] {
    const Classifier classifier = load_classifier(o.run.checkpoint);
    TileSet tiles{.height = classifier.image[0], .width = classifier.image[1], .channels = classifier.image[2],
                  .classes = classifier.classes, .labels = std::vector<std::int32_t>(o.predict.size())};
    std::vector<std::uint8_t> pixels;
    for (const std::string& path : o.predict) {
      Image image = read_image(path);
      if (classifier.image[2] == 1) image = grey(image);
      const Shape shape{image.height, image.width, image.channels};
      require(shape == classifier.image, "{}: the image is {}, the model wants {}", path, shape, classifier.image);
      pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
    }
    tiles.own(std::move(pixels));
    std::vector<Index> all(o.predict.size());
    std::vector<std::int64_t> samples(o.predict.size());
    for (std::size_t i = 0; i < all.size(); ++i) samples[i] = all[i] = static_cast<Index>(i);
    const Tensor p = probabilities(*classifier.model, TileDataset(tiles, all, classifier.statistics), samples);
    const std::vector<std::int32_t> best = predictions(p);
    nlohmann::json rows = nlohmann::json::array();
    for (std::size_t i = 0; i < best.size(); ++i) {
      const std::string& name = classifier.classes[static_cast<std::size_t>(best[i])];
      const double confidence = p[static_cast<Index>(i) * p.dim(1) + best[i]];
      fmt::print("{}: {} ({:.1f} %)\n", o.predict[i], name, 100 * confidence);
      rows.push_back({{"file", o.predict[i]}, {"class", name}, {"confidence", confidence}});
    }
    if (!o.json.empty()) write_file(o.json, nlohmann::json{{"predictions", rows}}.dump(2) + "\n");
  });
}

int classify(const Communicator& world, int argc, char** argv) {
  Options options;
  if (!parse(options, world, argc, argv)) return 0;
  if (options.threads > 0) set_thread_count(options.threads);
  options.data.seed = options.settings.seed;
  check_outputs(options, world);
  if (!options.predict.empty())
    predict(options, world);
  else if (!options.evaluate.empty())
    evaluate(options, world);
  else
    train_and_tell(options, world, fmt::format("tandem run -n {} classify {}", world.size(), fmt::join(argv + 1, argv + argc, " ")));
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) { return tandem::mpi::run(argc, argv, tandem::classify); }
