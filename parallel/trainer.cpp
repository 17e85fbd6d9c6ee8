#include "parallel/trainer.hpp"

#include <bit>
#include <chrono>
#include <cmath>

#include "core/ops.hpp"
#include "core/profile.hpp"
#include "nn/metrics.hpp"

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

Trainer::Trainer(Module& model, Optimizer& optimizer, Loss loss, const Communicator& comm, Options options)
    : model_(model),
      optimizer_(optimizer),
      loss_(std::move(loss)),
      comm_(comm),
      options_(options),
      mine_(part(options.micro_batches, comm.rank(), comm.size())),
      parameters_(model.parameters()),
      with_statistics_(modules_with_statistics(model)),
      totals_slot_(parameters_.size()),
      buckets_(slot_shapes(), comm, options.buckets) {
  if (comm.size() > options.micro_batches)
    throw UsageError(fmt::format("{} ranks for {} micro-batches: each rank needs at least one; use --micro-batches {} or fewer ranks",
                                 comm.size(), options.micro_batches, std::bit_ceil(static_cast<unsigned>(comm.size()))));
  for (std::size_t i = 0; i < parameters_.size(); ++i) slot_of_.emplace(parameters_[i].variable, i);

  // Every rank starts from rank 0's weights, whatever each has initialised or loaded.
  for (Parameter& p : parameters_) broadcast(p.variable.value().values(), 0, comm);
  for (Buffer& b : model.buffers()) broadcast(b.values.values(), 0, comm);
}

std::vector<Shape> Trainer::slot_shapes() const {
  std::vector<Shape> shapes;
  for (const Parameter& p : parameters_) shapes.push_back(p.variable.shape());
  shapes.push_back({statistics_begin + statistics_size(with_statistics_)});
  return shapes;
}

bool Trainer::same_bits_as_serial() const {
  const auto ranks = static_cast<unsigned>(comm_.size());
  return ranks == 1 || (std::has_single_bit(ranks) && options_.micro_batches % ranks == 0 && buckets_.keeps_tree_order());
}

StepResult Trainer::step(const Batch& batch, double learning_rate) {
  require(static_cast<std::int64_t>(batch.micro_batches.size()) == mine_.size(), "trainer: the batch has {} micro-batches, this rank runs {}",
          batch.micro_batches.size(), mine_.size());
  sums_.assign(parameters_.size() + 1, PairwiseSum(mine_.size()));
  for (std::size_t i = 0; i < batch.micro_batches.size(); ++i) {
    if (batch.micro_batches[i].size() > 0) run_micro_batch(batch, batch.micro_batches[i]);
    // What got nothing (an empty micro-batch, an unused parameter) skips this leaf of its tree, but still joins the reduction.
    for (std::size_t slot = 0; slot < sums_.size(); ++slot)
      if (sums_[slot].arrived() == static_cast<Index>(i)) add(slot, {});
  }

  const auto start = std::chrono::steady_clock::now();
  {
    const ProfileScope scope("sum of gradients");
    buckets_.finish();
  }
  waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  const Tensor totals = summed(totals_slot_);
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
  const ProfileScope scope("update");
  for (std::size_t i = 0; i < parameters_.size(); ++i) parameters_[i].variable.set_gradient(summed(i));
  double scale = 1 / weight;
  if (options_.clip > 0) {
    result.gradient_norm = scale * gradient_norm(parameters_);
    scale *= clip_factor(result.gradient_norm, options_.clip);
  }
  optimizer_.step(learning_rate, scale);
  for (Parameter& p : parameters_) p.variable.set_gradient({});
  sums_.clear();
  return result;
}

void Trainer::run_micro_batch(const Batch& batch, Range rows) {
  const auto begin = static_cast<std::size_t>(rows.begin), size = static_cast<std::size_t>(rows.size());
  const Context context{.training = true, .seed = options_.seed, .step = batch.step,
                        .samples = std::span(batch.samples).subspan(begin, size)};
  const Variable output = model_.forward(batch.x.rows(rows.begin, rows.end), context);
  const LossPart loss = [&] {
    const ProfileScope scope("loss");
    return loss_(output, std::span(batch.labels).subspan(begin, size));
  }();

  Tensor totals(buckets_.slot(totals_slot_).shape());
  totals[loss_total] = loss.sum.value().item();
  totals[weight_total] = loss.weight;
  totals[correct_total] = loss.correct;
  std::size_t statistics = statistics_begin;
  for (Module* module : with_statistics_) {
    const auto count = static_cast<std::size_t>(module->statistics_size());
    module->take_statistics(totals.values().subspan(statistics, count));
    statistics += count;
  }
  add(totals_slot_, totals);

  backward(loss.sum, {.leaf_ready = [this](Variable leaf) {
    const auto found = slot_of_.find(leaf);
    if (found == slot_of_.end()) return;
    const ProfileScope scope("sum of gradients");
    Tensor gradient = leaf.gradient();
    leaf.set_gradient({});
    add(found->second, std::move(gradient));
    buckets_.progress();
  }});
}

// Adds one leaf to a slot's tree; hands the sum over when it was the last.
void Trainer::add(std::size_t slot, Tensor part) {
  PairwiseSum& sum = sums_[slot];
  sum.add(std::move(part));
  if (!sum.complete()) return;
  Tensor place = buckets_.slot(slot);
  if (const Tensor total = sum.total(); !total.defined())
    place.fill(real(-0.0));  // the one number that changes nothing when it is added, not even the sign of a zero
  else if (!alone())
    place.copy_from(total);
  buckets_.ready(slot);
}

// A slot's sum over all ranks, after buckets_.finish(). A rank that is alone uses its own, where it was made.
Tensor Trainer::summed(std::size_t slot) const {
  const Tensor own = alone() ? sums_[slot].total() : Tensor();
  return own.defined() ? own : buckets_.slot(slot);
}

}  // namespace tandem
