// The order of samples, how a global batch falls to ranks and micro-batches, and the thread that loads ahead.
#include "nn/data.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <numeric>
#include <string>

#include "tests/support.hpp"

namespace tandem {
namespace {

using Samples = std::vector<std::int64_t>;

// Sample i is the pair (i, step it was loaded in), its label i % 7. Counts its calls; fails at one step if told to.
class Counting : public Dataset {
 public:
  explicit Counting(std::int64_t size, std::int64_t bad_step = -1) : size_(size), bad_step_(bad_step) {}
  std::int64_t size() const override { return size_; }
  Shape sample_shape() const override { return {2}; }
  int classes() const override { return 7; }
  void load(std::span<const std::int64_t> samples, std::int64_t step, Tensor& x,
            std::span<std::int32_t> labels) const override {
    ++loads;
    require(step != bad_step_, "counting: step {} is bad", step);
    REQUIRE(x.shape() == Shape{static_cast<Index>(samples.size()), 2});
    REQUIRE(labels.size() == samples.size());
    for (std::size_t i = 0; i < samples.size(); ++i) {
      x[static_cast<Index>(2 * i)] = static_cast<real>(samples[i]);
      x[static_cast<Index>(2 * i + 1)] = static_cast<real>(step);
      labels[i] = static_cast<std::int32_t>(samples[i] % 7);
    }
  }
  mutable std::atomic<int> loads{0};

 private:
  std::int64_t size_, bad_step_;
};

Samples epoch_of(const Sampler& sampler, std::int64_t epoch) {
  Samples all;
  for (std::int64_t b = 0; b < sampler.batches_per_epoch(); ++b)
    for (const std::int64_t sample : sampler.batch(epoch * sampler.batches_per_epoch() + b)) all.push_back(sample);
  return all;
}

Samples counted_up(std::int64_t n) {
  Samples all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

TEST_CASE("part: the parts follow each other, cover all, and their sizes differ by at most one") {
  for (const std::int64_t n : {0, 1, 2, 7, 8, 9, 1000})
    for (const std::int64_t parts : {1, 2, 3, 8, 13}) {
      std::int64_t end = 0;
      for (std::int64_t i = 0; i < parts; ++i) {
        const Range range = part(n, i, parts);
        CHECK(range.begin == end);
        CHECK((range.size() == n / parts || range.size() == n / parts + 1));
        end = range.end;
      }
      CHECK(end == n);
    }
}

TEST_CASE("sampler: every epoch holds every sample exactly once, in an order of its own") {
  for (const std::int64_t n : {1, 2, 5, 64, 100})
    for (const std::int64_t batch : {1, 2, 7, 64, 1000}) {
      const Sampler sampler(n, batch, 3);
      for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
        Samples all = epoch_of(sampler, epoch);
        std::ranges::sort(all);
        CHECK(all == counted_up(n));
      }
    }
  const Sampler sampler(100, 7, 3);
  CHECK(epoch_of(sampler, 0) != epoch_of(sampler, 1));
  CHECK(epoch_of(sampler, 0) == epoch_of(Sampler(100, 9, 3), 0));  // the batch cuts the order, it does not change it
  CHECK(epoch_of(sampler, 0) != epoch_of(Sampler(100, 7, 4), 0));  // another seed does
}

TEST_CASE("sampler: without shuffling the samples come as they are numbered, in every epoch") {
  const Sampler sampler(10, 4, 3, false);
  CHECK(sampler.batches_per_epoch() == 3);
  CHECK(sampler.batch(0) == Samples{0, 1, 2, 3});
  CHECK(sampler.batch(5) == Samples{8, 9});
}

TEST_CASE("sampler: a step's batch is the same whichever steps were asked for before") {
  const Sampler fresh(50, 8, 1), used(50, 8, 1);
  used.batch(0);
  used.batch(100);
  for (const std::int64_t step : {20, 3, 20, 6, 7}) CHECK(used.batch(step) == fresh.batch(step));
}

TEST_CASE("sampler: no samples, no batch size and negative steps are refused with their values") {
  CHECK(error_of([] { Sampler(0, 4, 1); }) == "sampler: there are 0 samples to choose from; at least one is needed");
  CHECK(error_of([] { Sampler(4, 0, 1); }) == "sampler: a batch of 0 samples; at least one is needed");
  CHECK(error_of([] { Sampler(4, 1, 1).batch(-1); }) == "sampler: step -1 is negative");
}

TEST_CASE(
    "loader: over the ranks, the micro-batches are the global batch in order, and the same M pieces on any rank count") {
  const std::int64_t M = 8, steps = 9;
  for (const std::int64_t batch : {1, 3, 7, 8, 20}) {  // also fewer samples than M, and an uneven last batch
    const Counting data(53);
    const Sampler sampler(53, batch, 5);
    std::vector<std::vector<Samples>> on_one_rank;
    for (const std::int64_t ranks : {1, 2, 3, 4, 8}) {
      std::vector<std::vector<Samples>> pieces(steps);
      for (std::int64_t rank = 0; rank < ranks; ++rank) {
        const Range mine = part(M, rank, ranks);
        Loader loader(data, sampler, {.steps = steps, .micro_batches = M, .mine = mine});
        for (std::int64_t step = 0; step < steps; ++step) {
          const Batch b = loader.next().value();
          REQUIRE(b.step == step);
          REQUIRE(b.global_size == static_cast<std::int64_t>(sampler.batch(step).size()));
          REQUIRE(static_cast<std::int64_t>(b.micro_batches.size()) == mine.size());
          std::int64_t end = 0;
          for (const Range micro : b.micro_batches) {
            REQUIRE(micro.begin == end);
            end = micro.end;
            pieces[static_cast<std::size_t>(step)].emplace_back(b.samples.begin() + micro.begin,
                                                                b.samples.begin() + micro.end);
          }
          REQUIRE(end == static_cast<std::int64_t>(b.samples.size()));
          REQUIRE(b.x.dim(0) == end);
        }
        CHECK_FALSE(loader.next());
        CHECK_FALSE(loader.next());
      }
      for (std::int64_t step = 0; step < steps; ++step) {
        Samples joined;
        for (const Samples& piece : pieces[static_cast<std::size_t>(step)])
          joined.insert(joined.end(), piece.begin(), piece.end());
        CHECK(joined == sampler.batch(step));
      }
      if (ranks == 1) on_one_rank = pieces;
      CHECK(pieces == on_one_rank);
    }
  }
}

TEST_CASE("loader: rows and labels are those of the samples, loaded for their step") {
  const Counting data(20);
  Loader loader(data, Sampler(20, 6, 2), {.steps = 10, .micro_batches = 2, .mine = {1, 2}});
  while (const auto batch = loader.next())
    for (std::size_t i = 0; i < batch->samples.size(); ++i) {
      CHECK(batch->x[static_cast<Index>(2 * i)] == static_cast<real>(batch->samples[i]));
      CHECK(batch->x[static_cast<Index>(2 * i + 1)] == static_cast<real>(batch->step));
      CHECK(batch->labels[i] == batch->samples[i] % 7);
    }
}

TEST_CASE("loader: starting at step k gives the batches that an uninterrupted run sees from k on") {
  const Counting data(30);
  const Sampler sampler(30, 8, 6);
  Loader whole(data, sampler, {.steps = 12});
  for (int step = 0; step < 5; ++step) whole.next();
  Loader resumed(data, sampler, {.first_step = 5, .steps = 7});
  Loader other(data, Sampler(30, 8, 7), {.first_step = 5, .steps = 7});
  bool other_differs = false;
  while (const auto batch = whole.next()) {
    const auto again = resumed.next();
    REQUIRE(again);
    CHECK(again->step == batch->step);
    CHECK(again->samples == batch->samples);
    CHECK(again->labels == batch->labels);
    CHECK(std::ranges::equal(again->x.values(), batch->x.values()));
    other_differs |= other.next()->samples != batch->samples;
  }
  CHECK_FALSE(resumed.next());
  CHECK(other_differs);
}

TEST_CASE("loader: an error of the dataset arrives after the batches before it, and again if asked again") {
  const Counting data(30, /*bad_step=*/3);
  Loader loader(data, Sampler(30, 10, 1), {.steps = 6});
  for (int step = 0; step < 3; ++step) CHECK(loader.next()->step == step);
  for (int attempt = 0; attempt < 2; ++attempt) CHECK(error_of([&] { loader.next(); }) == "counting: step 3 is bad");
}

TEST_CASE("loader: it ends with batches unread, having loaded no more than `ahead` of them") {
  for (const int ahead : {1, 2, 5}) {
    const Counting data(10);
    {
      Loader loader(data, Sampler(10, 2, 1), {.steps = 1'000'000, .ahead = ahead});
      for (int i = 0; i < 3; ++i) loader.next();
    }
    CHECK(data.loads >= 3);
    CHECK(data.loads <= 3 + ahead);
  }
  const Counting data(10);
  Loader unread(data, Sampler(10, 2, 1), {.steps = 5});  // destroyed without a single next()
}

TEST_CASE("loader: a rank whose micro-batches are empty gets batches without rows and asks the dataset for nothing") {
  const Counting data(4);
  Loader loader(data, Sampler(4, 2, 1),
                {.steps = 2, .micro_batches = 8, .mine = {0, 3}});  // 2 samples: parts 3 and 7 have one
  for (int step = 0; step < 2; ++step) {
    const Batch batch = loader.next().value();
    CHECK(batch.samples.empty());
    CHECK(batch.x.shape() == Shape{0, 2});
    CHECK(batch.micro_batches.size() == 3);
  }
  CHECK(data.loads == 0);
}

TEST_CASE("loader: nothing is asked from the system once it runs") {
  const Counting data(64);
  Loader loader(data, Sampler(64, 16, 1), {.steps = 200, .ahead = 3});
  const std::size_t fresh = memory_use().fresh;
  std::optional<Batch> batch;
  for (int step = 0; step < 200; ++step) batch = loader.next();  // the old batch is dropped after the new one came
  CHECK(memory_use().fresh == fresh);
}

TEST_CASE("loader: options without sense are refused with their values") {
  const Counting data(4);
  const Sampler sampler(4, 2, 1);
  const auto error = [&](Loader::Options options) { return error_of([&] { Loader(data, sampler, options); }); };
  CHECK(error({.first_step = -1, .steps = 2}) == "loader: 2 steps from step -1 on");
  CHECK(error({.steps = 2, .micro_batches = 2, .mine = {2, 3}}) ==
        "loader: micro-batches [2,3) of 2 were asked for; each rank needs at least one");
  CHECK(error({.steps = 2, .micro_batches = 2, .mine = {1, 1}}) ==
        "loader: micro-batches [1,1) of 2 were asked for; each rank needs at least one");
  CHECK(error({.steps = 2, .ahead = 0}) == "loader: 0 batches ahead; at least one is needed");
  CHECK(error_of([&] { Loader(data, Sampler(5, 2, 1), {.steps = 2}); }) ==
        "loader: the sampler orders 5 samples, the dataset has 4");
  CHECK(error({.steps = 0}) == "no error");
}

}  // namespace
}  // namespace tandem
