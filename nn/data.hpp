// Data: what a sample is (Dataset), in which order samples come (Sampler), how they reach the training in time (Loader).
//
// A global batch of B samples is cut into M contiguous micro-batches; a data-parallel rank r of N runs a contiguous range:
//
//   epoch's permutation   | batch 0                         | batch 1 ...
//   B = 10, M = 4         | 0 1 | 2 3 4 | 5 6 | 7 8 9       |                 micro-batch i is [i B / M, (i+1) B / M)
//   N = 2                 |   rank 0    |   rank 1          |
//
// Every rank derives all of this itself from (seed, epoch); nothing is sent.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "core/random.hpp"
#include "core/tensor.hpp"

namespace tandem {

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};
// Part `i` of `parts` contiguous parts of [0, n), whose sizes differ by at most one.
inline Range part(std::int64_t n, std::int64_t i, std::int64_t parts) { return {i * n / parts, (i + 1) * n / parts}; }

// [rows, sample...]
Shape batch_shape(Index rows, const Shape& sample);

// Samples that can be asked for in any order, from any thread.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  virtual Shape sample_shape() const = 0;  // of one sample, e.g. [64,64,3]
  virtual int classes() const = 0;

  // Writes samples[i] to x[i] (x is [samples.size(), sample_shape()...]) and its label to labels[i]. Augmentation, if any,
  // draws from (seed, sample, step) alone. Must be safe to call from several threads. Never called with no samples.
  virtual void load(std::span<const std::int64_t> samples, std::int64_t step, Tensor& x,
                    std::span<std::int32_t> labels) const = 0;
};

// The order of samples: a fresh permutation each epoch, keyed by (seed, epoch). Its only state is a cache, so a resumed run
// needs nothing but the number of the step. Give each thread its own copy.
//
// Errors: no samples, a batch of less than one.
class Sampler {
 public:
  Sampler(std::int64_t samples, std::int64_t batch, std::uint64_t seed, bool shuffle = true);
  std::int64_t samples() const { return samples_; }
  std::int64_t batches_per_epoch() const;                    // ceil(samples / batch): the last batch may be smaller
  std::vector<std::int64_t> batch(std::int64_t step) const;  // global batch of a global step, counted over all epochs

 private:
  std::int64_t samples_, batch_;
  std::uint64_t seed_;
  bool shuffle_;
  mutable std::int64_t cached_epoch_ = -1;  // the permutation of one epoch is kept
  mutable std::vector<std::int64_t> order_;
};

// This rank's share of one global batch, and how it falls into micro-batches.
struct Batch {
  std::int64_t step = 0;
  std::int64_t global_size = 0;
  std::vector<std::int64_t> samples;  // identities of the rows of x
  Tensor x;                           // [samples.size(), ...]
  std::vector<std::int32_t> labels;
  std::vector<Range> micro_batches;  // rows of x; empty ranges where the batch is smaller than M
};

// Loads batches `first_step`, first_step + 1, ... on a thread of its own, up to `ahead` batches before they are asked for:
//
//   loading thread    | load 5 | load 6 |  waits: 2 are ready   | load 7 |
//   training loop     |      step 4        next() |      step 5        next() |
//
// The batches do not depend on timing. An exception of the dataset is rethrown by next() when its batch is due. The
// destructor waits for the one load under way, not for unread batches.
class Loader {
 public:
  struct Options {
    std::int64_t first_step = 0;
    std::int64_t steps = 0;          // how many batches in all
    std::int64_t micro_batches = 1;  // M
    Range mine = {0, 1};             // the micro-batches that this rank runs: part(M, rank, ranks)
    int ahead = 2;
  };
  Loader(const Dataset& data, Sampler sampler, Options options);  // `data` must outlive the loader
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  std::optional<Batch> next();  // nothing after the last batch

 private:
  Batch load(std::int64_t step) const;
  void work();

  const Dataset& data_;
  Sampler sampler_;  // used by the loading thread alone
  Options options_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Batch> ready_;
  std::exception_ptr failure_;  // set once, after the last batch that could be loaded
  std::int64_t delivered_ = 0;
  bool stop_ = false;

  std::thread thread_;  // last member: it starts when all others exist
};

}  // namespace tandem
