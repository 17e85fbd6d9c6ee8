#include "parallel/trainer.hpp"

#include <bit>
#include <cmath>
#include <numeric>

#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"
#include "core/profile.hpp"
#include "nn/metrics.hpp"
#include "parallel/data/replicas.hpp"
#include "parallel/data/sharded.hpp"
#include "parallel/spatial/ops.hpp"

namespace tandem {
namespace {

enum Total : Index { loss_total, weight_total, correct_total, statistics_begin };

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
      exchange_(std::move(exchange)) {
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
  return whole_sums && (ranks == 1 || (std::has_single_bit(ranks) && options_.micro_batches % ranks == 0 && exchange_->keeps_rank_tree()));
}

StepResult Trainer::step(const Batch& batch, double learning_rate) {
  require(static_cast<std::int64_t>(batch.micro_batches.size()) == mine_.size(), "trainer: the batch has {} micro-batches, this rank runs {}",
          batch.micro_batches.size(), mine_.size());
  sums_.assign(parameters_.size() + 1, PairwiseSum(mine_.size()));
  exchange_->begin_step();
  for (std::size_t i = 0; i < batch.micro_batches.size(); ++i) {
    if (batch.micro_batches[i].size() > 0)
      run_micro_batch(batch, batch.micro_batches[i]);
    else
      exchange_->idle_pass();
    // What got nothing (an empty micro-batch, an unused parameter) skips this leaf of its tree, but still joins the reduction.
    for (std::size_t slot = 0; slot < sums_.size(); ++slot)
      if (sums_[slot].arrived() == static_cast<Index>(i)) add(slot, {});
  }
  if (mine_.size() < divide_up(options_.micro_batches, grid_.data().size())) exchange_->idle_pass();  // others have one micro-batch more

  {
    const ProfileScope scope("sum of gradients");
    exchange_->finish();
  }
  Tensor totals = exchange_->slot(exchange_->totals_slot());
  broadcast(totals.values().first(statistics_begin), grid_.pipeline().size() - 1, grid_.pipeline());  // only the last stage sees labels
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
    double scale = 1 / weight;
    if (options_.clip > 0) {
      result.gradient_norm = global_gradient_norm(scale);
      scale *= clip_factor(result.gradient_norm, options_.clip);
    }
    optimizer_.step(learning_rate, scale);
  }
  {
    const ProfileScope scope("new parameters to all");
    exchange_->publish();
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

void Trainer::run_micro_batch(const Batch& batch, Range rows) {
  const auto begin = static_cast<std::size_t>(rows.begin), size = static_cast<std::size_t>(rows.size());
  const Context context{.training = true, .seed = options_.seed, .step = batch.step,
                        .samples = std::span(batch.samples).subspan(begin, size)};
  const Variable output = model_.forward(batch.x.rows(rows.begin, rows.end), context);
  const LossPart loss = [&] {
    if (!grid_.last_stage()) return LossPart{.sum = output};  // the 0 that send() gave
    const ProfileScope scope("loss");
    LossPart part = loss_(output, std::span(batch.labels).subspan(begin, size));
    part.sum = counted_once(part.sum, grid_.spatial());
    return part;
  }();

  // Ranks that have parts of one image have all seen the whole batch's labels and statistics: the first of them tells.
  Tensor totals(exchange_->slot(exchange_->totals_slot()).shape());
  totals[loss_total] = loss.sum.value().item();
  totals[weight_total] = loss.weight;
  totals[correct_total] = loss.correct;
  std::size_t statistics = statistics_begin;
  for (Module* module : with_statistics_) {
    const auto count = static_cast<std::size_t>(module->statistics_size());
    module->take_statistics(totals.values().subspan(statistics, count));
    statistics += count;
  }
  if (grid_.spatial().rank() != 0) totals.fill(0);
  add(exchange_->totals_slot(), totals);

  backward(loss.sum, {.leaf_ready = [this](Variable leaf) {
    const auto found = slot_of_.find(leaf);
    if (found == slot_of_.end()) return;
    const ProfileScope scope("sum of gradients");
    Tensor gradient = leaf.gradient();
    leaf.set_gradient({});
    add(found->second, std::move(gradient));
    exchange_->progress();
  }});
  exchange_->end_pass();
}

// Adds one leaf to a slot's tree; hands the sum over when it was the last.
void Trainer::add(std::size_t slot, Tensor part) {
  PairwiseSum& sum = sums_[slot];
  sum.add(std::move(part));
  if (!sum.complete()) return;
  exchange_->give(slot, sum.take_total());
}

}  // namespace tandem
