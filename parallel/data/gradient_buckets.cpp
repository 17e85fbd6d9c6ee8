#include "parallel/data/gradient_buckets.hpp"

#include <array>

namespace tandem {
namespace {

constexpr std::array<std::pair<std::string_view, AllreduceAlgorithm>, 4> names{{
    {"auto", AllreduceAlgorithm::automatic},
    {"window", AllreduceAlgorithm::shared_window},
    {"doubling", AllreduceAlgorithm::recursive_doubling},
    {"ring", AllreduceAlgorithm::ring},
}};

bool on_one_host(const Communicator& comm) { return comm.split_by_node().size() == comm.size(); }

}  // namespace

AllreduceAlgorithm allreduce_algorithm(std::string_view name) {
  for (const auto& [known, algorithm] : names)
    if (known == name) return algorithm;
  throw UsageError(fmt::format("there is no allreduce '{}'; there are auto, window, doubling and ring", name));
}

std::string_view GradientBuckets::algorithm_name() const {
  if (comm_.size() == 1) return "none";
  for (const auto& [name, algorithm] : names)
    if (algorithm == algorithm_) return name;
  return "?";
}

GradientBuckets::GradientBuckets(const std::vector<Shape>& shapes, const Communicator& comm, Options options)
    : comm_(comm), algorithm_(options.algorithm), slots_(shapes.size()), bucket_of_(shapes.size()) {
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

  if (algorithm_ == AllreduceAlgorithm::automatic)
    algorithm_ = on_one_host(comm) ? AllreduceAlgorithm::shared_window : AllreduceAlgorithm::recursive_doubling;
  const Shape flat{static_cast<Index>(count)};
  if (comm.size() > 1 && algorithm_ == AllreduceAlgorithm::shared_window) {
    window_ = std::make_unique<SharedWindow>(comm, count, static_cast<int>(buckets_.size()));
    all_ = Tensor(flat, std::shared_ptr<real>(std::shared_ptr<void>(), window_->mine().data()));  // borrowed from the window
  } else {
    all_ = Tensor(flat);
  }
  all_.fill(0);
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
  if (comm_.size() == 1) return;
  const std::size_t length = bucket.end - bucket.begin;
  if (window_)
    bucket.sum = window_->start(bucket.begin, length, index);
  else if (algorithm_ == AllreduceAlgorithm::recursive_doubling)
    bucket.sum = start_recursive_doubling(all_.values().subspan(bucket.begin, length), comm_, index);
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
  if (comm_.size() > 1 && algorithm_ == AllreduceAlgorithm::ring)
    for (const Bucket& bucket : buckets_) ring_allreduce(all_.values().subspan(bucket.begin, bucket.end - bucket.begin), comm_);
  started_ = 0;
}

}  // namespace tandem
