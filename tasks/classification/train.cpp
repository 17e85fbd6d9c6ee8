#include "tasks/classification/train.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cmath>

#include "core/threads.hpp"
#include "parallel/collectives/collectives.hpp"
#include "parallel/place.hpp"
#include "parallel/state.hpp"
#include "tasks/classification/tile_dataset.hpp"
#include "tasks/report/progress.hpp"

namespace tandem {
namespace {

class Clock {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Where this rank's time went, summed over steps.
struct Times {
  double training = 0, data = 0;
  std::int64_t images = 0;
};

std::string host_name() {
  char name[256] = "unknown";
  gethostname(name, sizeof name - 1);
  return name;
}

std::size_t bytes(const Tensor& x) { return x.values().size_bytes(); }

// What lives now, between two steps.
StepMemory memory_between_steps(const Module& model, const Optimizer& optimizer, const Trainer& trainer) {
  StepMemory memory{.gradients = trainer.exchange().gradient_bytes(), .between_steps = memory_use().live};
  std::size_t pieces = 0;  // of stage 3, which keeps no whole ones
  for (const Parameter& p : model.parameters()) memory.parameters += bytes(p.variable.value());
  for (const Parameter& p : trainer.exchange().owned()) pieces += bytes(p.variable.value());
  memory.parameters = std::max(memory.parameters, pieces);
  for (const Buffer& moment : optimizer.state()) memory.optimizer += bytes(moment.values);
  return memory;
}

void note_peak(StepMemory& memory) {
  const MemoryUse use = memory_use();
  memory.peak = use.peak;
  memory.scratch = use.peak_scratch;
  memory.held = use.held;
  memory.huge_pages = huge_page_bytes();
}

std::vector<RankRow> gather_rows(const RankRow& mine, const Communicator& world) {
  const nlohmann::json text{mine.rank, mine.host, mine.threads, mine.images, mine.compute_seconds, mine.communication_seconds,
                            mine.data_seconds};
  std::vector<RankRow> rows;
  for (const std::string& line : gather_text(text.dump(), world)) {
    const auto j = nlohmann::json::parse(line);
    rows.push_back({j[0], j[1], j[2], j[3], j[4], j[5], j[6]});
  }
  return rows;
}

// Brings the whole model together in `classifier`, and its moments, from all parts (`one_part`: it is whole already). Collective. The moments are whole on rank 0 only.
std::shared_ptr<const Optimizer> gather_model(Classifier& classifier, const std::shared_ptr<Module>& my_part, const Optimizer& optimizer,
                                              const ProcessGrid& grid, bool one_part) {
  if (one_part) {
    classifier.model = std::static_pointer_cast<Sequential>(my_part);
    return {std::shared_ptr<void>(), &optimizer};  // borrowed
  }
  classifier.build();
  const std::shared_ptr<Optimizer> moments = make_optimizer(classifier.settings.optimizer, classifier.model->parameters(), 0);
  moments->set_steps(optimizer.steps());
  gather_state(owned_parts(checkpoint_state(*my_part, &optimizer), grid),
               grid.world().rank() == 0 ? checkpoint_state(*classifier.model, moments.get()) : std::vector<Buffer>(), grid.world());
  for (Buffer& b : checkpoint_state(*classifier.model, nullptr)) broadcast(b.values.values(), 0, grid.world());
  return moments;
}

}  // namespace

RateSchedule learning_rates(const TrainingSettings& s, std::int64_t steps) {
  const double peak = peak_learning_rate(s);
  if (s.schedule == "one-cycle") return one_cycle({.peak = peak, .steps = steps});
  RateSchedule schedule;
  if (s.schedule == "cosine")
    schedule = cosine({.from = peak, .steps = steps});
  else if (s.schedule == "step")
    schedule = step_decay({.rate = peak, .every = (steps + 2) / 3});
  else if (s.schedule == "constant")
    schedule = constant(peak);
  else
    throw UsageError(fmt::format("there is no schedule '{}'; there are one-cycle, cosine, step and constant", s.schedule));
  return s.warm_up > 0 ? warm_up(s.warm_up, std::move(schedule)) : schedule;
}

TrainingResult train(const LabelledData& data, const TrainingSettings& settings, const RunOptions& run, const Communicator& world) {
  const TileSet& tiles = data.tiles;
  TrainingResult result{
      .classifier = {.settings = settings, .classes = tiles.classes, .image = {tiles.height, tiles.width, tiles.channels},
                     .statistics = channel_statistics(tiles, data.split.train), .data = data.name},
      .epochs = {}, .test = {ConfusionMatrix(static_cast<int>(tiles.classes.size()))}, .ranks = {}, .grid = {}, .allreduce = {}};
  Classifier& classifier = result.classifier;
  classifier.build();
  const ProcessGrid grid(world, grid_shape(run.grid, world.size()));
  const Index rows = divide_up(settings.batch, settings.micro_batches);
  const std::string schedule = !run.schedule.empty() ? run.schedule : run.shard == 3 ? "naive" : "1f1b";
  const std::shared_ptr<Module> my_part = place_on_grid(std::exchange(classifier.model, nullptr), classifier.image, rows, grid,
                                                        schedule_choice(schedule, run.chunks));
  Module& model = *my_part;
  result.grid = to_string(grid.shape());

  const TileAugmentation augmentation = settings.augment
      ? TileAugmentation{.shift = static_cast<int>(settings.shift), .brightness = static_cast<real>(settings.brightness)}
      : TileAugmentation::none();
  const TileDataset training(tiles, data.split.train, classifier.statistics, augmentation, settings.seed);
  const TileDataset validation(tiles, data.split.validation, classifier.statistics);
  const TileDataset test(tiles, data.split.test, classifier.statistics);

  auto exchange = make_exchange(model, grid, run.shard, run.buckets);
  const bool one_part = grid.only_data() && !exchange->sharded();
  const auto optimizer = make_optimizer(settings.optimizer, exchange->owned(), static_cast<real>(settings.weight_decay));
  if (run.resume) {
    // Every rank loads, though the trainer copies rank 0's weights: the moments are each rank's own.
    const auto load = [&] {
      const Classifier saved = load_classifier(run.checkpoint);
      // The statistics of the training part are a fingerprint of the data.
      require(saved.classes == classifier.classes && saved.image == classifier.image &&
                  saved.statistics.mean == classifier.statistics.mean && saved.statistics.deviation == classifier.statistics.deviation,
              "{}: it learned from other data ({}); a resumed run is the same run", run.checkpoint, saved.data);
      load_checkpoint(run.checkpoint, model, optimizer.get(), one_part ? Extent::whole_model : Extent::part_of_model);
    };
    on_rank_0(world, load);
    if (world.rank() != 0) load();
  }
  Trainer trainer(model, *optimizer, classification_loss(static_cast<real>(settings.smoothing)), grid, std::move(exchange),
                  {.micro_batches = settings.micro_batches, .seed = settings.seed, .clip = settings.clip, .recompute = run.recompute,
                   .check_replicas = run.check_replicas});
  result.allreduce = trainer.exchange().algorithm();
  result.shard = run.shard;
  result.same_bits_as_serial = trainer.same_bits_as_serial();

  const Sampler sampler(training.size(), settings.batch, settings.seed);
  const std::int64_t per_epoch = sampler.batches_per_epoch(), all_steps = per_epoch * settings.epochs;
  const std::int64_t first_epoch = optimizer->steps() / per_epoch;
  require(optimizer->steps() <= all_steps && optimizer->steps() % per_epoch == 0,
          "{}: it stands at step {}, which is no end of an epoch of {} steps; was it made with other data?", run.checkpoint,
          optimizer->steps(), per_epoch);
  const std::int64_t last_epoch = run.stop_after > 0 ? std::min(settings.epochs, first_epoch + run.stop_after) : settings.epochs;
  const RateSchedule rate = learning_rates(settings, all_steps);
  Loader loader(training, sampler, {.first_step = optimizer->steps(), .steps = (last_epoch - first_epoch) * per_epoch,
                                    .micro_batches = settings.micro_batches, .mine = trainer.my_micro_batches()});

  // The first steps fill the memory pool and make connections: what profile and memory report begins after them, if there are more.
  const std::int64_t warm_up = std::min<std::int64_t>(2, (last_epoch - first_epoch) * per_epoch - 1);

  Times times;
  const Clock whole;
  for (std::int64_t epoch = first_epoch; epoch < last_epoch; ++epoch) {
    const Clock clock;
    StepResult sum;
    {
      ProgressBar bar(fmt::format("epoch {:2d}/{}", epoch + 1, settings.epochs), per_epoch, world.rank() == 0);
      for (std::int64_t i = 0; i < per_epoch; ++i) {
        const std::int64_t done = (epoch - first_epoch) * per_epoch + i;
        const Profiling profiling(done >= warm_up ? run.profile : nullptr);
        result.profiled_steps += done >= warm_up;
        if (done == warm_up) {
          result.memory = memory_between_steps(model, *optimizer, trainer);
          reset_memory_peak();
        }
        const Clock waiting;
        const std::optional<Batch> batch = [&] {
          const ProfileScope scope("data");
          return loader.next();
        }();
        times.data += waiting.seconds();
        const StepResult step = trainer.step(*batch, rate(batch->step));
        sum.loss += step.loss, sum.weight += step.weight, sum.correct += step.correct;
        times.images += static_cast<std::int64_t>(batch->samples.size());
        bar.update(i + 1, fmt::format("loss {:.3f}", step.loss / step.weight));
      }
    }
    if (epoch - first_epoch == warm_up / per_epoch) note_peak(result.memory);
    const double seconds = clock.seconds();
    times.training += seconds;

    trainer.exchange().make_whole();
    const Score checked = score(model, validation, grid);
    // The last step may have broken the weights after its loss was looked at. Keep the last good checkpoint.
    require(std::isfinite(checked.loss), "training: the loss is {} on validation images after epoch {}; a smaller learning rate may help",
            checked.loss, epoch + 1);
    const EpochRow row{.epoch = static_cast<int>(epoch + 1), .train_loss = sum.loss / sum.weight, .validation_loss = checked.loss,
                       .train_accuracy = sum.correct / static_cast<double>(training.size()),
                       .validation_accuracy = accuracy(checked.confusion),
                       .images_per_second = static_cast<double>(training.size()) / seconds,
                       .learning_rate = rate((epoch + 1) * per_epoch - 1)};
    result.epochs.push_back(row);
    if (!run.checkpoint.empty()) {
      const auto moments = gather_model(classifier, my_part, *optimizer, grid, one_part);
      on_rank_0(world, [&] { classifier.save(run.checkpoint, *moments); });
    }
    if (run.on_epoch) run.on_epoch(row);
  }
  result.seconds = whole.seconds();
  const double trained = static_cast<double>(training.size()) * static_cast<double>(last_epoch - first_epoch);
  result.images_per_second = times.training > 0 ? trained / times.training : 0;
  result.ranks = gather_rows({.rank = world.rank(), .host = host_name(), .threads = thread_count(), .images = times.images,
                              .compute_seconds = times.training - times.data - trainer.waited(),
                              .communication_seconds = trainer.waited(), .data_seconds = times.data}, world);
  result.test = score(model, test, grid);
  gather_model(classifier, my_part, *optimizer, grid, one_part);
  return result;
}

}  // namespace tandem
