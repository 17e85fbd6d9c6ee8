#include "parallel/data/gradient_buckets.hpp"

namespace tandem {

GradientBuckets::GradientBuckets(const std::vector<Parameter>& parameters, Index totals, const Communicator& comm, Options options)
    : GradientExchange(parameters, {slot_shapes(parameters, totals), buckets_by_size(slot_shapes(parameters, totals), options.bucket_bytes)}),
      comm_(comm),
      begin_{0} {
  for (const std::size_t size : layout_.sizes) begin_.push_back(begin_.back() + size);
  memory_ = summed_memory(options.algorithm, alone() ? 0 : begin_.back(), static_cast<int>(layout_.sizes.size()), comm);
  if (alone()) {
    for (const BucketLayout::Place& place : layout_.places) slots_.push_back(Tensor(Shape(place.shape), nullptr));
    for (const Parameter& p : parameters) own(p, {});
    return;
  }
  // A tensor on memory that belongs to memory_.
  all_ = Tensor({static_cast<Index>(begin_.back())}, std::shared_ptr<real>(std::shared_ptr<void>(), memory_->mine().data()));
  for (const BucketLayout::Place& place : layout_.places) {
    const auto begin = static_cast<Index>(begin_[place.bucket] + place.begin);
    slots_.push_back(all_.rows(begin, begin + place.shape.size()).reshape(place.shape));
  }
  for (std::size_t i = 0; i < parameters_.size(); ++i) own(parameters_[i], slots_[i]);
}

bool GradientBuckets::keep(std::size_t slot, const Tensor& sum) {
  if (!alone()) return false;
  slots_[slot] = sum.defined() ? sum : Tensor::full(layout_.places[slot].shape, real(-0.0));
  if (slot != totals_slot()) move_owned_gradient(slot, slots_[slot]);
  return true;
}

// Every rank has made the same update. One that is alone gives its gradients' memory back.
void GradientBuckets::send_values() {
  if (!alone()) return;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i] = Tensor(Shape(layout_.places[i].shape), nullptr);
    if (i != totals_slot()) move_owned_gradient(i, {});
  }
}

std::unique_ptr<Collective> GradientBuckets::start(std::size_t bucket) {
  return alone() ? nullptr : memory_->start(begin_[bucket], layout_.sizes[bucket], static_cast<int>(bucket));
}

}  // namespace tandem
