// Communicators and windows, as the board knows them: by an id that is the same on all their ranks, and with the ranks' numbers in
// MPI_COMM_WORLD. MPI's handles mean something to one process only.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <type_traits>
#include <vector>

#include "parallel/mpi/watch/board.hpp"

namespace tandem::watch {

struct Comm {
  GroupId id = unknown_group;
  std::vector<int> world;  // its ranks, as ranks of MPI_COMM_WORLD
  Group* group = nullptr;  // null: not on the board
  int world_rank(int rank) const;
};

// A handle of MPI as a number: a pointer in Open MPI, an int in MPICH.
template <class Handle>
std::uint64_t key_of(Handle handle) {
  if constexpr (std::is_pointer_v<Handle>) return reinterpret_cast<std::uint64_t>(handle);
  else return static_cast<std::uint32_t>(handle);
}

const Comm& comm_of(std::uint64_t handle);  // of a communicator or a window
void begin_world();

}  // namespace tandem::watch
