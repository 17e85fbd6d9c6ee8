#include "core/memory.hpp"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "core/error.hpp"

namespace tandem {
namespace {

// The classes in order of size: number n holds n lines of 64 bytes up to 8 lines, then 4 classes to a power of two.
struct SizeClass {
  std::size_t number, bytes;
};
constexpr std::size_t class_count = 256;

// The smallest class that holds `bytes`: 1 to 8 steps of 64 bytes, or 5 to 8 steps of 128, 256, ...
SizeClass size_class(std::size_t bytes) {
  bytes = std::max<std::size_t>(bytes, 1);
  const std::size_t step = std::max(std::bit_floor(bytes - 1) / 4, memory_alignment), steps = (bytes + step - 1) / step;
  const auto doublings = static_cast<std::size_t>(std::countr_zero(step / memory_alignment));
  return {4 * doublings + steps, steps * step};
}

// Memory of the system, or null. What is as large as a huge page (2 MiB on x86-64 and on most ARM) begins where one can, and asks
// for them: a core keeps the addresses of some 2000 pages at hand, which is 8 MiB in pages of 4 KiB but 4 GiB in huge ones.
void* ask_system(std::size_t bytes) {
  constexpr std::size_t huge_page = 2 << 20;
  void* block = nullptr;
  if (posix_memalign(&block, bytes < huge_page ? memory_alignment : huge_page, bytes) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  if (bytes >= huge_page) madvise(block, bytes, MADV_HUGEPAGE);  // advice: where it is refused, small pages serve
#endif
  return block;
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

// Held for some ten instructions only, so that waiting for it awake is cheaper than a mutex, which pays to be left as well.
class SpinLock {
 public:
  void lock() {
    while (taken_.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
  }
  void unlock() { taken_.clear(std::memory_order_release); }

 private:
  std::atomic_flag taken_;
};

class Pool {
 public:
  Pool() { keep_freed_memory(); }

  void* take(const SizeClass& size, MemoryKind kind) {
    void* block = pop(size, kind);
    if (!block) {
      block = from_system(size.bytes);  // without the lock: this may take long, and may throw
      const std::lock_guard lock(lock_);
      use_.held += size.bytes;
      ++use_.fresh;
      note_taken(size.bytes, kind);
    }
    return block;
  }

  void give(void* block, const SizeClass& size, MemoryKind kind) {
    const std::lock_guard lock(lock_);
    use_.live -= size.bytes;
    if (kind == MemoryKind::scratch) use_.scratch -= size.bytes;
    cached_[size.number] = new (block) Cached{cached_[size.number], size.bytes};
  }

  void release() {
    const std::lock_guard lock(lock_);
    for (Cached*& first : cached_)
      while (first) {
        Cached* const block = std::exchange(first, first->next);
        use_.held -= block->bytes;
        std::free(block);
      }
  }

  MemoryUse use() {
    const std::lock_guard lock(lock_);
    return use_;
  }

  void reset_peak() {
    const std::lock_guard lock(lock_);
    use_.peak = use_.live;
    use_.peak_scratch = use_.scratch;
  }

 private:
  // A cached block is nobody's, so it serves to chain itself to the next of its class.
  struct Cached {
    Cached* next;
    std::size_t bytes;
  };

  void* pop(const SizeClass& size, MemoryKind kind) {
    const std::lock_guard lock(lock_);
    Cached*& first = cached_[size.number];
    if (!first) return nullptr;
    note_taken(size.bytes, kind);
    return std::exchange(first, first->next);
  }

  void note_taken(std::size_t bytes, MemoryKind kind) {
    use_.live += bytes;
    if (kind == MemoryKind::scratch) use_.scratch += bytes;
    if (use_.live <= use_.peak) return;
    use_.peak = use_.live;
    use_.peak_scratch = use_.scratch;
  }

  void* from_system(std::size_t bytes) {
    void* const block = ask_system(bytes);
    const auto mib = [](std::size_t n) { return static_cast<double>(n) / (1 << 20); };
    require(block != nullptr, "memory: the system has no {:.1f} MiB more ({:.1f} MiB are in use)", mib(bytes), mib(use().live));
    touch(block, bytes);  // all of it: the next to get this block may use more of it than the first
    touch_reserve();      // again each time, because small blocks come out of it too
    return block;
  }

  SpinLock lock_;
  std::array<Cached*, class_count> cached_{};
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

std::size_t huge_page_bytes() {
  std::ifstream lines("/proc/self/smaps_rollup");  // Linux; elsewhere there is no such file
  constexpr std::string_view name = "AnonHugePages:";
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name)) return std::stoull(line.substr(name.size())) << 10;
  return 0;
}

std::shared_ptr<void> take_memory(std::size_t count, std::size_t each, MemoryKind kind) {
  constexpr std::size_t most = std::size_t{1} << 50;  // a thousand TiB
  require(count < most / each, "memory: {} values of {} bytes were asked for", count, each);
  const SizeClass size = size_class(count * each);
  return {pool().take(size, kind), [size, kind](void* block) { pool().give(block, size, kind); }};
}

}  // namespace tandem
