#include "core/memory.hpp"

#include <sys/resource.h>

#include <bit>
#include <cstdlib>
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

class Pool {
 public:
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
    require(block != nullptr, "memory: the system has no {:.1f} MiB more ({:.1f} MiB are in use)", mib(bytes), mib(use_.live));
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
