// Memory for tensors: a caching pool.
//
// A training step makes and drops the same tensors over and over. Asking the system each time costs page faults: the kernel
// must find and clear every 4 KiB page before the first write. The pool keeps what is dropped, sorted by size, and hands it
// out again, so that after the second step of fixed shape nothing is asked from the system any more.
//
//   take(bytes)   the newest cached block of that size class, else fresh memory from the system
//   give back     to the cache of its size class, when the last owner lets go
//
// Size classes: powers of two with three steps between (1024, 1280, 1536, 1792, 2048, ...), so a block of 256 bytes or more
// wastes less than a fifth; below that they are multiples of 64.
// Blocks begin on 64 bytes (a cache line and the widest vector) and may be taken and dropped on any thread. Blocks of 2 MiB and
// more begin on 2 MiB and ask for huge pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "core/real.hpp"

namespace tandem {

inline constexpr std::size_t memory_alignment = 64;

struct MemoryUse {
  std::size_t live = 0;          // bytes now owned by tensors and work areas
  std::size_t scratch = 0;       // of these, by work areas (Scratch)
  std::size_t peak = 0;          // largest `live` since reset_memory_peak()
  std::size_t peak_scratch = 0;  // `scratch` at that moment
  std::size_t held = 0;          // bytes the pool has from the system, live or cached
  std::size_t fresh = 0;         // how often the system was asked; constant in a steady step
};
MemoryUse memory_use();
void reset_memory_peak();

// The same seen by the operating system, with what the C and C++ libraries take for themselves. A steady step changes neither.
struct SystemUse {
  std::int64_t heap = 0;         // bytes that malloc has from the system (0 where the C library does not tell)
  std::int64_t page_faults = 0;  // since the start, of this thread and those it computes with; of all threads where unknown
};
SystemUse system_use();

// Bytes of this process that stand in huge pages (2 MiB and more), which the pool asks for; 0 also where the system does not tell.
std::size_t huge_page_bytes();

// Gives every cached block back to the system.
void release_cached_memory();

// A block of at least `count` values of `each` bytes, not initialised. Throws Error naming the size if it is beyond reason or the
// system has no more.
enum class MemoryKind : bool { tensor, scratch };  // in which of the books it stands
std::shared_ptr<void> take_memory(std::size_t count, std::size_t each = 1, MemoryKind kind = MemoryKind::tensor);

// `count` uninitialised values of T that live as long as the object: a work area that costs no system call.
template <class T = real>
class Scratch {
 public:
  explicit Scratch(std::size_t count)
      : memory_(take_memory(count, sizeof(T), MemoryKind::scratch)), values_(static_cast<T*>(memory_.get()), count) {}
  T* data() const { return values_.data(); }
  std::size_t size() const { return values_.size(); }
  T& operator[](std::size_t i) const { return values_[i]; }
  std::span<T> values() const { return values_; }
  std::span<T> first(std::size_t count) const { return values_.first(count); }

 private:
  std::shared_ptr<void> memory_;
  std::span<T> values_;
};

}  // namespace tandem
