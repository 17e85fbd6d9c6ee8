// A steady step asks the operating system for nothing: memory moves in circles. The training is that of the benchmarks.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "benchmarks/resident.hpp"
#include "core/memory.hpp"

using namespace tandem;

namespace {

struct Asked {
  std::int64_t heap, page_faults;
  std::size_t fresh;
};

// What steps ask for after the first two. The system may take a page away by itself when memory is scarce or idle, and its return
// counts as a fault; so of three windows of `steps` steps the calmest counts. A step that faults would show in all of them.
Asked asked(const std::string& model, std::int64_t batch, std::int64_t micro_batches, int steps, const Communicator& comm) {
  ResidentTraining training(model, batch, micro_batches, comm);
  training.step();
  training.step();
  const SystemUse start = system_use();
  const std::size_t fresh = memory_use().fresh;
  std::int64_t fewest_faults = std::numeric_limits<std::int64_t>::max();
  SystemUse before = start, after;
  for (int window = 0; window < 3; ++window, before = after) {
    for (int step = 0; step < steps; ++step) training.step();
    after = system_use();
    fewest_faults = std::min(fewest_faults, after.page_faults - before.page_faults);
  }
  return {after.heap - start.heap, fewest_faults, memory_use().fresh - fresh};
}

// Sanitizers put their own memory in place of malloc's, and let go of nothing.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

}  // namespace

TEST_CASE("after the second step on a batch of fixed shape neither the heap grows nor a page faults" *
          doctest::skip(sanitized)) {
  const Communicator world = Communicator::world(), alone = world.split(world.rank(), 0);
  for (const auto& [model, micro_batches] :
       std::vector<std::pair<std::string, int>>{{"cnn", 1}, {"resnet", 2}, {"shallow", 1}}) {
    CAPTURE(model);
    const Asked now = asked(model, 4, micro_batches, 4, alone);
    CHECK(now.heap == 0);
    CHECK(now.page_faults == 0);
    CHECK(now.fresh == 0);
  }
}

TEST_CASE("a tensor that is kept shows as fresh memory, as heap and as page faults" * doctest::skip(sanitized)) {
  const SystemUse before = system_use();
  const std::size_t fresh = memory_use().fresh;
  const Tensor kept = Tensor::zeros({Index{1} << 24});
  const SystemUse after = system_use();
  CHECK(memory_use().fresh == fresh + 1);
  CHECK(after.heap > before.heap);
  CHECK(after.page_faults > before.page_faults);
}
