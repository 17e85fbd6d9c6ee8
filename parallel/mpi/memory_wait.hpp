// A wait that MPI does not see: for other ranks to write to memory that all share. `tandem run --watch` wants to know of it.
//
//   MPI_Pcontrol(memory_wait, &wait)      at every turn of the loop that waits, and once when it is over
//
// MPI_Pcontrol is MPI's own way to tell a tool something: it does nothing unless a tool takes its place (MPI 4.0, section 15.2.4), so
// this costs nothing if nobody watches.
#pragma once

#include <mpi.h>

#include <cstdint>

namespace tandem {

inline constexpr int memory_wait = 0x7a4d;

struct MemoryWait {
  const void* key;      // tells waits apart which are under way at the same time
  MPI_Comm comm;
  std::uint64_t round;
  bool (*is_missing)(const void* key, int rank);  // whether we wait for this rank of `comm`: false for all when it is over
};

}  // namespace tandem
