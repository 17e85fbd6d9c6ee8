// A step's pass over this rank's micro-batches: what the trainer answers when the executor asks for inputs and brings gradients.
//
//     executor:   F0        F1        B0              B1                       gradients of a stage come micro-batch by micro-batch,
//     trees:      totals 0  totals 1  leaf 0 of each  leaf 1: sum complete     each joins the fixed tree of its parameter; after the last
//     exchange:                                       | bucket starts ...      the sum over replicas begins
//
// Part of trainer.cpp.
#pragma once

#include "core/profile.hpp"
#include "parallel/spatial/ops.hpp"
#include "parallel/trainer.hpp"

namespace tandem {

enum Total : Index { loss_total, weight_total, correct_total, statistics_begin };  // places in the totals of a micro-batch

class Trainer::StepPass final : public Pass {
 public:
  StepPass(Trainer& trainer, const Batch& batch)
      : t_(trainer), batch_(batch), micros_(batch.micro_batches.size()), done_(t_.pipeline_.stages.size(), 0), totals_(micros_),
        forward_left_(micros_, t_.pipeline_.stages.size()), backward_left_(micros_, t_.pipeline_.stages.size()) {
    sums_.assign(t_.parameters_.size() + 1, PairwiseSum(t_.mine_.size()));
    for (std::size_t i = 0; i < t_.ties_.size(); ++i)
      for (const int user : t_.ties_[i].users) tied_sums_.emplace(std::pair(user, i), PairwiseSum(t_.mine_.size()));
  }

  Index rows(int micro) const override { return range(micro).size(); }
  Tensor input(int micro) override { return batch_.x.rows(range(micro).begin, range(micro).end); }
  Context context(int micro) const override {
    return {.training = true, .seed = t_.options_.seed, .step = batch_.step, .samples = of(batch_.samples, micro)};
  }

  Variable loss(int micro, const Variable& output, bool again) override {
    const ProfileScope scope("loss");
    const LossPart part = t_.loss_(output, of(batch_.labels, micro));
    const Variable sum = counted_once(part.sum, t_.grid_.spatial());
    if (!again) {
      Tensor& totals = totals_of(micro);
      totals[loss_total] = sum.value().item();
      totals[weight_total] = part.weight;
      totals[correct_total] = part.correct;
    }
    return sum;
  }

  void forward_done(const Stage& stage, int micro) override {
    Index begin = statistics_begin;
    for (Module* module : t_.with_statistics_) {
      const Index count = module->statistics_size();
      if (std::ranges::count(stage.modules, module))
        module->take_statistics(totals_of(micro).values().subspan(count_of(begin), count_of(count)));
      begin += count;
    }
    forward_passed(micro);
  }

  void leaf_ready(const Stage& stage, const Variable& leaf) override {
    const auto slot = t_.slot_of_.find(leaf);
    const auto tie = std::ranges::find(t_.ties_, leaf, &PipelineStages::Tie::variable);
    const bool copy = tie != t_.ties_.end() && tie->owner != stage.index;
    if (slot == t_.slot_of_.end() && !copy) return;
    const ProfileScope scope("sum of gradients");
    Tensor gradient = leaf.gradient();
    Variable(leaf).set_gradient({});
    if (copy)
      tied_sums_.at({stage.index, static_cast<std::size_t>(tie - t_.ties_.begin())}).add(std::move(gradient));
    else
      add(slot->second, std::move(gradient));
    progress();
  }

  // What got nothing (an empty micro-batch, an unused parameter) skips this leaf of its tree, but still joins the reduction.
  void gradients_done(const Stage& stage, int micro) override {
    const std::size_t place = t_.stage_of(stage.index);
    const Index done = done_[place]++;
    for (const std::size_t slot : t_.slots_of_[place])
      if (sums_[slot].arrived() == done) add(slot, {});
    for (auto& [key, sum] : tied_sums_)
      if (key.first == stage.index && sum.arrived() == done) sum.add({});
    const bool empty = rows(micro) == 0;
    if (empty) forward_passed(micro);
    if (--backward_left_[static_cast<std::size_t>(micro)] > 0) return;
    if (empty)
      t_.exchange_->idle_pass();
    else
      t_.exchange_->end_pass();
  }

  void progress() override { t_.exchange_->progress(); }

  // The gradients of copies go to the owner of each tied parameter, which waits for them.
  void finish_ties() {
    const Communicator& comm = t_.grid_.pipeline();
    for (std::size_t i = 0; i < t_.ties_.size(); ++i) {
      const PipelineStages::Tie& tie = t_.ties_[i];
      const int owner = t_.pipeline_.rank_of(tie.owner);
      for (const int user : tie.users) {
        const int from = t_.pipeline_.rank_of(user);
        if (comm.rank() != from && comm.rank() != owner) continue;
        Tensor part = comm.rank() == from ? tied_sums_.at({user, i}).take_total() : Tensor(tie.variable.shape());
        if (!part.defined()) part = Tensor::zeros(tie.variable.shape());
        if (from != owner && comm.rank() == from) comm.send(part.values(), owner);
        if (from != owner && comm.rank() == owner) comm.receive(part.values(), from);
        if (comm.rank() == owner) sums_[t_.slot_of_.at(tie.variable)].add_to_total(std::move(part));
      }
      if (comm.rank() == owner) give(t_.slot_of_.at(tie.variable));
    }
  }

 private:
  Range range(int micro) const { return batch_.micro_batches[static_cast<std::size_t>(micro)]; }
  template <class T>
  std::span<const T> of(const std::vector<T>& values, int micro) const {
    return std::span(values).subspan(static_cast<std::size_t>(range(micro).begin), static_cast<std::size_t>(range(micro).size()));
  }

  Tensor& totals_of(int micro) {
    Tensor& totals = totals_[static_cast<std::size_t>(micro)];
    if (!totals.defined()) totals = Tensor::zeros(t_.exchange_->slot(t_.exchange_->totals_slot()).shape());
    return totals;
  }

  // Totals join their tree in the order of micro-batches, each when this rank's last stage has seen it.
  void forward_passed(int micro) {
    --forward_left_[static_cast<std::size_t>(micro)];
    for (; next_totals_ < micros_ && forward_left_[next_totals_] == 0; ++next_totals_) {
      Tensor totals = std::exchange(totals_[next_totals_], {});
      if (!totals.defined() && range(static_cast<int>(next_totals_)).size() > 0) totals = Tensor::zeros(t_.exchange_->slot(t_.exchange_->totals_slot()).shape());
      // Ranks that have parts of one image have all seen the whole batch's labels and statistics: the first of them tells.
      if (totals.defined() && t_.grid_.spatial().rank() != 0) totals.fill(0);
      add(t_.exchange_->totals_slot(), std::move(totals));
    }
  }

  bool tied(std::size_t slot) const {
    return slot < t_.parameters_.size() &&
           std::ranges::find(t_.ties_, t_.parameters_[slot].variable, &PipelineStages::Tie::variable) != t_.ties_.end();
  }

  // Adds one leaf to a slot's tree; hands the sum over when it was the last.
  void add(std::size_t slot, Tensor part) {
    sums_[slot].add(std::move(part));
    if (sums_[slot].complete() && !tied(slot)) give(slot);
  }
  void give(std::size_t slot) { t_.exchange_->give(slot, sums_[slot].take_total()); }

  Trainer& t_;
  const Batch& batch_;
  std::size_t micros_, next_totals_ = 0;
  std::vector<PairwiseSum> sums_;                                     // by slot
  std::map<std::pair<int, std::size_t>, PairwiseSum> tied_sums_;      // of copies: by stage and tie
  std::vector<Index> done_;                                           // by stage: micro-batches
  std::vector<Tensor> totals_;                                        // by micro-batch, until they have joined the tree
  std::vector<std::size_t> forward_left_, backward_left_;             // by micro-batch: stages of this rank
};

}  // namespace tandem
