#include "nn/data.hpp"

#include <algorithm>
#include <utility>

#include "core/threads.hpp"

namespace tandem {

// --- Sampler --------------------------------------------------------------------------------------------------------------

Sampler::Sampler(std::int64_t samples, std::int64_t batch, std::uint64_t seed, bool shuffle)
    : samples_(samples), batch_(batch), seed_(seed), shuffle_(shuffle) {
  require(samples > 0, "sampler: there are {} samples to choose from; at least one is needed", samples);
  require(batch > 0, "sampler: a batch of {} samples; at least one is needed", batch);
}

std::int64_t Sampler::batches_per_epoch() const { return (samples_ - 1) / batch_ + 1; }

std::vector<std::int64_t> Sampler::batch(std::int64_t step) const {
  require(step >= 0, "sampler: step {} is negative", step);
  const std::int64_t epoch = shuffle_ ? step / batches_per_epoch() : 0;  // unshuffled epochs are all alike
  if (epoch != cached_epoch_) {
    if (shuffle_) {
      order_ = permutation(samples_, Random(seed_, mix(hash("sampler"), static_cast<std::uint64_t>(epoch))));
    } else {
      order_.resize(static_cast<std::size_t>(samples_));
      for (std::int64_t i = 0; i < samples_; ++i) order_[static_cast<std::size_t>(i)] = i;
    }
    cached_epoch_ = epoch;
  }
  const std::int64_t begin = step % batches_per_epoch() * batch_;
  const std::int64_t size = std::min(batch_, samples_ - begin);
  return {order_.begin() + begin, order_.begin() + begin + size};
}

// --- Loader ---------------------------------------------------------------------------------------------------------------

Shape batch_shape(Index rows, const Shape& sample) {
  Shape shape{rows};
  for (const Index extent : sample) shape.push_back(extent);
  return shape;
}

namespace {

// Rows of the global batch that fall into the micro-batches `mine`.
Range rows_of(Range mine, std::int64_t global_size, std::int64_t micro_batches) {
  return {part(global_size, mine.begin, micro_batches).begin, part(global_size, mine.end, micro_batches).begin};
}

}  // namespace

Loader::Loader(const Dataset& data, Sampler sampler, Options options)
    : data_(data), sampler_(std::move(sampler)), options_(options) {
  const auto [first_step, steps, M, mine, ahead] = options_;
  require(first_step >= 0 && steps >= 0, "loader: {} steps from step {} on", steps, first_step);
  require(M >= 1 && 0 <= mine.begin && mine.begin < mine.end && mine.end <= M,
          "loader: micro-batches [{},{}) of {} were asked for; each rank needs at least one", mine.begin, mine.end, M);
  require(sampler_.samples() == data.size(), "loader: the sampler orders {} samples, the dataset has {}", sampler_.samples(),
          data.size());
  require(ahead >= 1, "loader: {} batches ahead; at least one is needed", ahead);

  // `ahead` batches wait or are being filled, the training loop holds one and takes the next before it drops that. With as
  // many blocks in the pool from the start, the number of allocations does not depend on who is faster.
  if (steps > 0) {
    const auto global_size = static_cast<std::int64_t>(sampler_.batch(first_step).size());
    const Shape shape = batch_shape(rows_of(mine, global_size, M).size(), data_.sample_shape());
    std::vector<Tensor> blocks;
    for (int i = 0; i < ahead + 2; ++i) blocks.emplace_back(shape);
  }
  thread_ = std::thread(&Loader::work, this);
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::optional<Batch> Loader::next() {
  std::unique_lock lock(mutex_);
  if (delivered_ == options_.steps) return std::nullopt;
  changed_.wait(lock, [&] { return !ready_.empty() || failure_; });
  if (ready_.empty()) std::rethrow_exception(failure_);

  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  ++delivered_;
  lock.unlock();
  changed_.notify_all();
  return batch;
}

void Loader::work() {
  set_thread_count(1);  // of this thread alone: the other cores belong to the training loop
  try {
    for (std::int64_t i = 0; i < options_.steps; ++i) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stop_ || ready_.size() < static_cast<std::size_t>(options_.ahead); });
        if (stop_) return;
      }
      Batch batch = load(options_.first_step + i);  // without the lock: next() may take earlier batches meanwhile
      {
        const std::lock_guard lock(mutex_);
        ready_.push_back(std::move(batch));
      }
      changed_.notify_all();
    }
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
    changed_.notify_all();
  }
}

Batch Loader::load(std::int64_t step) const {
  const std::vector<std::int64_t> global = sampler_.batch(step);
  const auto global_size = static_cast<std::int64_t>(global.size());
  const std::int64_t M = options_.micro_batches;
  const Range rows = rows_of(options_.mine, global_size, M);

  Batch batch;
  batch.step = step;
  batch.global_size = global_size;
  batch.samples.assign(global.begin() + rows.begin, global.begin() + rows.end);
  batch.x = Tensor(batch_shape(rows.size(), data_.sample_shape()));
  batch.labels.resize(batch.samples.size());
  for (std::int64_t i = options_.mine.begin; i < options_.mine.end; ++i) {
    const Range micro = part(global_size, i, M);
    batch.micro_batches.push_back({micro.begin - rows.begin, micro.end - rows.begin});
  }
  if (!batch.samples.empty()) data_.load(batch.samples, step, batch.x, batch.labels);
  return batch;
}

}  // namespace tandem
