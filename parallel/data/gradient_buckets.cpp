#include "parallel/data/gradient_buckets.hpp"

namespace tandem {

GradientBuckets::GradientBuckets(const std::vector<Parameter>& parameters, Index totals, const Communicator& comm, Options options)
    : GradientExchange(parameters, {slot_shapes(parameters, totals), buckets_by_size(slot_shapes(parameters, totals), options.bucket_bytes)}),
      comm_(comm),
      begin_{0} {
  for (const std::size_t size : layout_.sizes) begin_.push_back(begin_.back() + size);
  memory_ = summed_memory(options.algorithm, begin_.back(), static_cast<int>(layout_.sizes.size()), comm);
  // A tensor on memory that belongs to memory_.
  all_ = Tensor({static_cast<Index>(begin_.back())}, std::shared_ptr<real>(std::shared_ptr<void>(), memory_->mine().data()));
  for (const BucketLayout::Place& place : layout_.places) {
    const auto begin = static_cast<Index>(begin_[place.bucket] + place.begin);
    slots_.push_back(all_.rows(begin, begin + place.shape.size()).reshape(place.shape));
  }
  for (std::size_t i = 0; i < parameters_.size(); ++i) own(parameters_[i], slots_[i]);
}

std::unique_ptr<Collective> GradientBuckets::start(std::size_t bucket) {
  return comm_.size() == 1 ? nullptr : memory_->start(begin_[bucket], layout_.sizes[bucket], static_cast<int>(bucket));
}

}  // namespace tandem
