// The caching pool: what comes back is handed out again, and the books balance.
#include "core/memory.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "tests/support.hpp"

namespace tandem {
namespace {

// Bytes that a request really takes.
std::size_t bytes_taken(std::size_t asked) {
  const std::size_t before = memory_use().live;
  const auto block = take_memory(asked);
  return memory_use().live - before;
}

TEST_CASE("memory: a block that was given back is handed out again, the newest first") {
  std::shared_ptr<void> a = take_memory(5000), b = take_memory(5000);
  void* const first = a.get();
  void* const second = b.get();
  CHECK(first != second);
  a.reset();
  b.reset();
  const std::size_t fresh = memory_use().fresh;
  a = take_memory(4900);  // of the same class
  b = take_memory(5120);
  CHECK(a.get() == second);
  CHECK(b.get() == first);
  CHECK(memory_use().fresh == fresh);

  // Negative control: a third one, or one of another class, has to come from the system.
  release_cached_memory();
  const auto third = take_memory(5000);
  CHECK(memory_use().fresh == fresh + 1);
}

TEST_CASE("memory: a block wastes less than a fifth from 256 bytes on, and less than 64 bytes below") {
  for (std::size_t asked = 0; asked < 70000; asked += asked < 3000 ? 1 : 97) {
    const std::size_t taken = bytes_taken(asked);
    REQUIRE(taken >= asked);
    REQUIRE(taken % memory_alignment == 0);
    if (asked > 256)
      REQUIRE(5 * (taken - asked) < taken);
    else
      REQUIRE(taken - asked <= memory_alignment);
  }
  CHECK(bytes_taken(1025) == 1280);  // the classes that the page names
  CHECK(bytes_taken(1281) == 1536);
  CHECK(bytes_taken(1793) == 2048);
  release_cached_memory();
}

TEST_CASE("memory: blocks begin on 64 bytes and do not overlap") {
  std::vector<Scratch<std::uint8_t>> blocks;
  for (std::size_t i = 0; i < 200; ++i) {
    blocks.emplace_back(1 + 37 * i % 900);
    CHECK(reinterpret_cast<std::uintptr_t>(blocks.back().data()) % memory_alignment == 0);
    std::ranges::fill(blocks.back().values(), static_cast<std::uint8_t>(i));
  }
  for (std::size_t i = 0; i < blocks.size(); ++i)
    CHECK(std::ranges::all_of(blocks[i].values(), [i](std::uint8_t v) { return v == static_cast<std::uint8_t>(i); }));
}

TEST_CASE("memory: live, peak and held follow what is taken and dropped") {
  release_cached_memory();
  reset_memory_peak();
  const MemoryUse before = memory_use();
  {
    const auto a = take_memory(1 << 20);
    const auto b = take_memory(1 << 20);
    CHECK(memory_use().live == before.live + (2 << 20));
  }
  MemoryUse after = memory_use();
  CHECK(after.live == before.live);
  CHECK(after.peak == before.peak + (2 << 20));
  CHECK(after.held == before.held + (2 << 20));  // cached, not returned
  release_cached_memory();
  reset_memory_peak();
  after = memory_use();
  CHECK(after.held == before.held);
  CHECK(after.peak == after.live);
}

TEST_CASE("memory: work areas have books of their own, also of the moment of the peak") {
  reset_memory_peak();
  const MemoryUse before = memory_use();
  const auto tensor = take_memory(1 << 20);
  {
    const Scratch<std::uint8_t> area(1 << 16);
    CHECK(memory_use().scratch == before.scratch + (1 << 16));
    const auto another = take_memory(1 << 20);
  }
  const Scratch<std::uint8_t> after_the_peak(1 << 18);
  const MemoryUse use = memory_use();
  CHECK(use.peak == before.live + (2 << 20) + (1 << 16));
  CHECK(use.peak_scratch == before.scratch + (1 << 16));
  CHECK(use.scratch == before.scratch + (1 << 18));
}

TEST_CASE("memory: what is as large as a huge page begins on one") {
  constexpr std::size_t huge = 2 << 20;
  for (const std::size_t bytes : {huge, huge + 1, 5 * huge}) {
    const auto block = take_memory(bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(block.get()) % huge == 0);
  }
  // Whether the system then gives huge pages is its affair; it never says more than the process has.
  CHECK(huge_page_bytes() <= memory_use().held + (std::size_t{1} << 30));
}

TEST_CASE("memory: work of one shape asks the system once, other shapes ask again") {
  const auto work = [](Index n) {
    Tensor a({n, 30}), b({n});
    a = Tensor({n, 30});  // two at once
  };
  work(64);
  const std::size_t fresh = memory_use().fresh;
  for (int step = 0; step < 100; ++step) work(64);
  CHECK(memory_use().fresh == fresh);
  work(6400);
  CHECK(memory_use().fresh > fresh);
}

TEST_CASE("memory: threads may take, share and drop blocks, also those that another thread took") {
  const std::size_t live = memory_use().live;
  constexpr std::size_t threads = 4, rounds = 2000;
  std::vector<std::shared_ptr<void>> handed_over(threads);
  std::vector<int> damaged(threads);
  {
    std::vector<std::jthread> workers;
    for (std::size_t t = 0; t < threads; ++t)
      workers.emplace_back([&, t] {
        Random random(1, t);
        for (std::size_t round = 0; round < rounds; ++round) {
          const Scratch<std::uint32_t> a(1 + random.below(500)), b(1 + random.below(500));
          std::ranges::fill(a.values(), static_cast<std::uint32_t>(t));
          std::ranges::fill(b.values(), static_cast<std::uint32_t>(t + threads));
          for (const std::uint32_t v : a.values()) damaged[t] += v != t;
          handed_over[t] = take_memory(300);
        }
      });
  }
  for (const int count : damaged) CHECK(count == 0);
  CHECK(memory_use().live > live);
  handed_over.clear();  // dropped on this thread
  CHECK(memory_use().live == live);
}

TEST_CASE("memory: sizes beyond reason are an Error that names them, and leave the books as they were") {
  reset_memory_peak();
  const MemoryUse before = memory_use();
  CHECK(error_of([] { take_memory(std::size_t{1} << 60); }) ==
        "memory: 1152921504606846976 values of 1 bytes were asked for");
  // 2^62 values of 4 bytes are 2^64 bytes, which a careless product takes for 0.
  CHECK(error_of([] { Scratch<std::uint32_t>(std::size_t{1} << 62); }) ==
        "memory: 4611686018427387904 values of 4 bytes were asked for");
  CHECK(error_of([] { Scratch<std::uint32_t>(static_cast<std::size_t>(Index{-1})); }) ==
        "memory: 18446744073709551615 values of 4 bytes were asked for");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // these end the program on a refused allocation
  CHECK(error_of([] { take_memory(std::size_t{1} << 49); }).starts_with("memory: the system has no 536870912.0 MiB more ("));
#endif
  const MemoryUse after = memory_use();
  CHECK(after.live == before.live);
  CHECK(after.peak == before.peak);
  CHECK(after.fresh == before.fresh);
}

TEST_CASE("memory: blocks of no bytes exist, and are apart") {
  const auto a = take_memory(0), b = take_memory(0);
  CHECK(a.get() != nullptr);
  CHECK(a.get() != b.get());
}

}  // namespace
}  // namespace tandem
