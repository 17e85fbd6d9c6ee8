#include "parallel/trainer.hpp"

#include <bit>
#include <cmath>
#include <numeric>
#include <set>

#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"
#include "core/profile.hpp"
#include "nn/metrics.hpp"
#include "parallel/data/replicas.hpp"
#include "parallel/data/sharded.hpp"
#include "parallel/pipeline/simulate.hpp"
#include "parallel/pipeline/transfers.hpp"
#include "parallel/pipeline/validate.hpp"
#include "parallel/step_pass.hpp"
#include "parallel/trace.hpp"

namespace tandem {
namespace {

Index statistics_size(const std::vector<Module*>& modules) {
  Index size = 0;
  for (const Module* module : modules) size += module->statistics_size();
  return size;
}

std::vector<Module*> modules_with_statistics(Module& model) {
  std::vector<Module*> modules = model.modules();
  std::erase_if(modules, [](const Module* m) { return m->statistics_size() == 0; });
  return modules;
}

}  // namespace

Loss classification_loss(real smoothing) {
  return [smoothing](const Variable& logits, std::span<const std::int32_t> labels) {
    const CrossEntropyOptions options{.smoothing = smoothing};
    const std::vector<std::int32_t> predicted = predictions(logits.value());
    real correct = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) correct += predicted[i] == labels[i];
    return LossPart{cross_entropy_sum(logits, labels, options), cross_entropy_weight(labels, options), correct};
  };
}

std::unique_ptr<GradientExchange> make_exchange(Module& model, const ProcessGrid& grid, int stage, GradientBuckets::Options options) {
  const Index totals = statistics_begin + statistics_size(modules_with_statistics(model));
  if (stage == 0) return std::make_unique<GradientBuckets>(model.parameters(), totals, grid.replicas(), std::move(options));
  if (stage < 0 || stage > 3) throw UsageError(fmt::format("there is no sharding of stage {}; there are 0 (none), 1, 2 and 3", stage));
  if (options.algorithm != "auto")
    throw UsageError(fmt::format("allreduce '{}' and sharding of stage {}: sharded gradients are summed by reduce-scatter; leave it at auto",
                                 options.algorithm, stage));
  return std::make_unique<ShardedExchange>(model, totals, grid.replicas(),
                                           ShardedExchange::Options{.stage = stage, .bucket_bytes = options.bucket_bytes});
}

Trainer::Trainer(Module& model, Optimizer& optimizer, Loss loss, const ProcessGrid& grid, std::unique_ptr<GradientExchange> exchange, Options options)
    : model_(model),
      optimizer_(optimizer),
      loss_(std::move(loss)),
      grid_(grid),
      options_(options),
      mine_(part(options.micro_batches, grid.data().rank(), grid.data().size())),
      parameters_(model.parameters()),
      with_statistics_(modules_with_statistics(model)),
      exchange_(std::move(exchange)),
      pipeline_{.stages = {}, .ranks_of_stages = {}, .comm = grid.pipeline(), .recompute = options.recompute} {
  if (const int ranks = grid.data().size(); ranks > options.micro_batches)
    throw UsageError(fmt::format("{} ranks for {} micro-batches: each rank needs at least one; use --micro-batches {} or fewer ranks",
                                 ranks, options.micro_batches, std::bit_ceil(static_cast<unsigned>(ranks))));
  for (std::size_t i = 0; i < parameters_.size(); ++i) slot_of_.emplace(parameters_[i].variable, i);

  // Every rank starts from the first replica's weights, whatever each has initialised or loaded. What a tensor group holds in whole it
  // holds alike.
  const auto share = [&](Tensor& values, bool sliced) {
    broadcast(values.values(), 0, grid.replicas());
    if (!sliced) broadcast(values.values(), 0, grid.tensor());
  };
  for (Parameter& p : parameters_) share(p.variable.value(), p.slice.has_value());
  for (Buffer& b : model.buffers()) share(b.values, b.slice.has_value());
  make_pipeline();
  share_tied_values();

  std::vector<std::string> mine;
  for (const Parameter& p : parameters_) mine.push_back(p.name);
  const std::vector<std::string> whole = union_over_ranks(mine, grid.model());
  // Places for at least the blocks of the longest slice; what a tensor group holds in whole gets more than it needs.
  std::vector<std::int64_t> counts(whole.size(), 0);
  for (const Parameter& p : parameters_)
    counts[static_cast<std::size_t>(std::ranges::lower_bound(whole, p.name) - whole.begin())] = square_blocks(p.variable.value().size());
  sum_over_ranks(counts, grid.model());
  std::size_t begin = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    blocks_of_[whole[i]] = {.begin = begin, .count = count_of(counts[i])};
    begin += count_of(counts[i]);
  }
  blocks_ = begin;
}

bool Trainer::same_bits_as_serial() const {
  const auto ranks = static_cast<unsigned>(grid_.data().size());
  const bool whole_sums = grid_.tensor().size() == 1 && grid_.spatial().size() == 1;
  return in_order_ && ties_.empty() && whole_sums && (ranks == 1 || (std::has_single_bit(ranks) && options_.micro_batches % ranks == 0 && exchange_->keeps_rank_tree()));
}

// What this rank runs in a step: its stages, and their schedule. A model that is no pipeline is one stage, on each rank of its own.
void Trainer::make_pipeline() {
  const auto* stages = dynamic_cast<const PipelineStages*>(&model_);
  ScheduleChoice choice;
  if (stages) {
    choice = stages->schedule();
    pipeline_.ranks_of_stages = stages->ranks_of_stages();
    ties_ = stages->ties();
    for (const PipelineStages::Chunk& chunk : stages->chunks()) {
      Stage& stage = pipeline_.stages.emplace_back(Stage{.index = chunk.stage, .run = {}, .input = {}});
      stage.run = [stages, &chunk](const Variable& x, const Context& context) { return stages->run(chunk, x, context); };
      stage.input = [&chunk](Index rows) { return message_shape(rows, chunk.input); };
      for (const Step& step : chunk.steps)
        if (step.kind == Step::Kind::layer) std::ranges::copy(step.layer().modules(), std::back_inserter(stage.modules));
    }
  } else {
    pipeline_.ranks_of_stages = {grid_.pipeline().rank()};
    pipeline_.stages = {{.index = 0, .run = [this](const Variable& x, const Context& context) { return model_.forward(x, context); },
                         .input = {}, .modules = model_.modules()}};
  }
  const int ranks = stages ? grid_.pipeline().size() : 1, rank = stages ? grid_.pipeline().rank() : 0;
  const Schedule schedule = choice.of(ranks, static_cast<int>(mine_.size()));
  if (choice.given) simulate(schedule, {});  // a deadlock is told now, not waited for
  in_order_ = out_of_order(schedule).empty();
  program_ = with_transfers(schedule).programs[static_cast<std::size_t>(rank)];
  if (exchange_->one_pass_at_a_time()) {
    if (std::ranges::max(live_micro_batches(schedule)) > 1)
      throw UsageError("sharding of stage 3 brings layers together pass by pass, and this schedule has several micro-batches under way; "
                       "use the naive schedule, or sharding of stage 2");
    if (options_.recompute) throw UsageError("sharding of stage 3 counts the passes of each layer, and recomputation has one more; use stage 2");
  }

  for (const Stage& stage : pipeline_.stages) {
    std::set<std::size_t> slots;
    for (const Module* module : stage.modules)
      for (const Parameter& p : module->parameters()) slots.insert(slot_of_.at(p.variable));
    slots_of_.emplace_back(slots.begin(), slots.end());
  }
}

std::size_t Trainer::stage_of(int index) const {
  return static_cast<std::size_t>(std::ranges::find(pipeline_.stages, index, &Stage::index) - pipeline_.stages.begin());
}

// Copies of a tied parameter follow their owner.
void Trainer::share_tied_values() {
  for (PipelineStages::Tie& tie : ties_)
    for (const int user : tie.users)
      if (const int from = pipeline_.rank_of(tie.owner), to = pipeline_.rank_of(user); from != to) {
        if (grid_.pipeline().rank() == from) grid_.pipeline().send(tie.variable.value().values(), to);
        if (grid_.pipeline().rank() == to) grid_.pipeline().receive(tie.variable.value().values(), from);
      }
}

StepResult Trainer::step(const Batch& batch, double learning_rate) {
  require(static_cast<std::int64_t>(batch.micro_batches.size()) == mine_.size(), "trainer: the batch has {} micro-batches, this rank runs {}",
          batch.micro_batches.size(), mine_.size());
  const int first_stage = pipeline_.stages.front().index;
  exchange_->begin_step();
  {
    StepPass pass(*this, batch);
    execute(program_, static_cast<int>(mine_.size()), pipeline_, pass);
    pass.finish_ties();
  }
  if (mine_.size() < divide_up(options_.micro_batches, grid_.data().size())) exchange_->idle_pass();  // others have one micro-batch more

  {
    const ProfileScope scope("sum of gradients");
    const auto span = Trace::span({Op::reduce, first_stage});
    exchange_->finish();
  }
  Tensor totals = exchange_->slot(exchange_->totals_slot());
  broadcast(totals.values().first(statistics_begin), pipeline_.ranks_of_stages.back(), grid_.pipeline());  // only the last stage sees labels
  const real weight = totals[weight_total];
  StepResult result{.loss = totals[loss_total], .weight = weight, .correct = totals[correct_total]};
  require(weight > 0, "training: no sample of step {} counts (all labels are ignored or of weight 0)", batch.step);
  require(std::isfinite(result.loss), "training: the loss is {} in step {}; a smaller learning rate than {:.3g} may help", result.loss,
          batch.step, learning_rate);

  std::size_t statistics = statistics_begin;
  for (Module* module : with_statistics_) {
    const auto size = static_cast<std::size_t>(module->statistics_size());
    module->commit_statistics(totals.values().subspan(statistics, size));
    statistics += size;
  }
  {
    const ProfileScope scope("update");
    const auto span = Trace::span({Op::update, first_stage});
    double scale = 1 / weight;
    if (options_.clip > 0) {
      result.gradient_norm = global_gradient_norm(scale);
      scale *= clip_factor(result.gradient_norm, options_.clip);
    }
    optimizer_.step(learning_rate, scale);
  }
  {
    const ProfileScope scope("new parameters to all");
    const auto span = Trace::span({Op::exchange, first_stage});
    exchange_->publish();
    share_tied_values();
  }
  if (options_.check_replicas > 0 && (batch.step + 1) % options_.check_replicas == 0)
    require_equal_replicas(model_, grid_, fmt::format("after step {}", batch.step));
  return result;
}

// Squares of all gradients of the whole model, in the order of names and blocks on every rank: each block is summed where it lies and
// counted once, one of a slice on its rank, one of a whole on the first rank of the tensor group.
double Trainer::global_gradient_norm(double scale) const {
  std::vector<double> squares(blocks_, 0);
  for (const Parameter& p : exchange_->owned()) {
    if (!p.slice && grid_.tensor().rank() != 0) continue;
    const Index first = p.stretch ? p.stretch->begin / square_block : 0;
    const Tensor& gradient = p.variable.gradient();
    square_sums(gradient, std::span(squares).subspan(blocks_of_.at(p.name).begin + count_of(first), count_of(square_blocks(gradient.size()))));
  }
  if (exchange_->sharded()) sum_over_ranks(squares, grid_.replicas());
  sum_over_ranks(squares, grid_.model());
  double total = 0;
  for (const auto& [name, blocks] : blocks_of_) {
    const auto mine = std::span(squares).subspan(blocks.begin, blocks.count);
    total += std::accumulate(mine.begin(), mine.end(), 0.0);
  }
  return scale * std::sqrt(total);
}

}  // namespace tandem
