#include "core/memory.hpp"

#include <sys/resource.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "core/error.hpp"

namespace tandem {
namespace {

// The smallest of 4, 5, 6, 7 times a power of two that holds `bytes`.
std::size_t size_class(std::size_t bytes) {
  if (bytes <= memory_alignment) return memory_alignment;
  const std::size_t step = std::max(std::bit_floor(bytes - 1) / 4, memory_alignment);
  return (bytes + step - 1) / step * step;
}

// Writes to every page, so that later writes find it there.
void touch(void* block, std::size_t bytes) {
  constexpr std::size_t page = 4096;  // the smallest of any system we run on
  for (std::size_t offset = 0; offset < bytes; offset += page) static_cast<volatile char*>(block)[offset] = 0;
}

// The graph of a step is made of small pieces from malloc. Told to give nothing back, and with a reserve of touched pages, it
// finds a place for them without asking the system.
void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
}
void touch_reserve() {
  constexpr std::size_t piece = 64 << 10;  // well below the 128 KiB from which glibc asks the system for each block separately
  std::array<void*, 16> reserve;
  for (void*& block : reserve)
    if ((block = std::malloc(piece))) touch(block, piece);
  for (void* block : reserve) std::free(block);
}

class Pool {
 public:
  Pool() { keep_freed_memory(); }

  void* take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    void* const block = find(bytes);
    use_.live += bytes;
    use_.peak = std::max(use_.peak, use_.live);
    return block;
  }

  void give(void* block, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    use_.live -= bytes;
    cached_[bytes].push_back(block);
  }

  void release() {
    const std::lock_guard lock(mutex_);
    for (auto& [bytes, blocks] : cached_) {
      for (void* block : blocks) std::free(block);
      use_.held -= bytes * blocks.size();
      blocks.clear();
    }
  }

  MemoryUse use() {
    const std::lock_guard lock(mutex_);
    return use_;
  }

  void reset_peak() {
    const std::lock_guard lock(mutex_);
    use_.peak = use_.live;
  }

 private:
  static double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

  void* find(std::size_t bytes) {
    auto& cache = cached_[bytes];
    if (!cache.empty()) {
      void* const block = cache.back();
      cache.pop_back();
      return block;
    }
    void* const block = std::aligned_alloc(memory_alignment, bytes);
    require(block != nullptr, "memory: the system has no {:.1f} MiB more ({:.1f} MiB are in use)", mib(bytes),
            mib(use_.live));
    touch(block, bytes);  // all of it: the next to get this block may use more of it than the first
    touch_reserve();      // again each time, because small blocks come out of it too
    use_.held += bytes;
    ++use_.fresh;
    cache.reserve(64);
    return block;
  }

  std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> cached_;
  MemoryUse use_;
};

// Never destroyed: tensors with static storage may outlive any other static object.
Pool& pool() {
  static Pool* const pool = new Pool;
  return *pool;
}

}  // namespace

MemoryUse memory_use() { return pool().use(); }
void reset_memory_peak() { pool().reset_peak(); }

SystemUse system_use() {
  SystemUse use;
#ifdef __GLIBC__
  const auto heap = mallinfo2();
  use.heap = static_cast<std::int64_t>(heap.arena + heap.hblkhd);
#endif
#ifdef RUSAGE_THREAD
  std::int64_t faults = 0;
#pragma omp parallel reduction(+ : faults)
  {
    rusage thread{};
    getrusage(RUSAGE_THREAD, &thread);
    faults += thread.ru_minflt + thread.ru_majflt;
  }
  use.page_faults = faults;
#else
  rusage process{};
  getrusage(RUSAGE_SELF, &process);
  use.page_faults = process.ru_minflt + process.ru_majflt;
#endif
  return use;
}

void release_cached_memory() { pool().release(); }

std::shared_ptr<void> take_memory(std::size_t count, std::size_t each) {
  constexpr std::size_t most = std::size_t{1} << 50;  // a thousand TiB
  require(count < most / each, "memory: {} values of {} bytes were asked for", count, each);
  const std::size_t rounded = size_class(count * each);
  return {pool().take(rounded), [rounded](void* block) { pool().give(block, rounded); }};
}

}  // namespace tandem
