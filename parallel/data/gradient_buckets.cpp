#include "parallel/data/gradient_buckets.hpp"

namespace tandem {

GradientBuckets::GradientBuckets(const std::vector<Shape>& shapes, const Communicator& comm, Options options)
    : comm_(comm), slots_(shapes.size()), bucket_of_(shapes.size()) {
  // Lay the slots out in reverse order; each begins on 64 bytes, so that its bits do not depend on its neighbours' sizes.
  constexpr std::size_t line = memory_alignment / sizeof(real);
  std::vector<std::size_t> offset(shapes.size());
  std::size_t count = 0;
  for (std::size_t i = shapes.size(); i-- > 0;) {
    if (buckets_.empty() || (count - buckets_.back().begin) * sizeof(real) >= options.bucket_bytes)
      buckets_.push_back({.begin = count});
    offset[i] = count;
    bucket_of_[i] = buckets_.size() - 1;
    count += (static_cast<std::size_t>(shapes[i].size()) + line - 1) / line * line;
    buckets_.back().end = count;
    buckets_.back().missing = ++buckets_.back().parameters;
  }

  memory_ = summed_memory(options.algorithm, count, static_cast<int>(std::max<std::size_t>(1, buckets_.size())), comm);
  // A tensor on memory that belongs to memory_.
  all_ = Tensor({static_cast<Index>(count)}, std::shared_ptr<real>(std::shared_ptr<void>(), memory_->mine().data()));
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const auto begin = static_cast<Index>(offset[i]);
    slots_[i] = all_.rows(begin, begin + shapes[i].size()).reshape(shapes[i]);
  }
}

void GradientBuckets::ready(std::size_t i) {
  --buckets_[bucket_of_[i]].missing;
  for (; started_ < buckets_.size() && buckets_[started_].missing == 0; ++started_) start(buckets_[started_], static_cast<int>(started_));
}

void GradientBuckets::start(Bucket& bucket, int index) {
  if (comm_.size() > 1) bucket.sum = memory_->start(bucket.begin, bucket.end - bucket.begin, index);
}

void GradientBuckets::progress() {
  for (std::size_t b = 0; b < started_; ++b)
    if (buckets_[b].sum && buckets_[b].sum->progress()) buckets_[b].sum.reset();
}

void GradientBuckets::finish() {
  require(started_ == buckets_.size(), "gradient buckets: bucket {} still misses {} gradients", started_,
          started_ < buckets_.size() ? buckets_[started_].missing : 0);
  for (Bucket& bucket : buckets_) {
    if (bucket.sum) bucket.sum->wait();
    bucket.sum.reset();
    bucket.missing = bucket.parameters;
  }
  started_ = 0;
}

}  // namespace tandem
