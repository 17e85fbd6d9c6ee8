// What this rank hands to MPI, counted at MPI's own door.
//
// MPI's functions can be replaced (MPI 4.0, chapter 15). pmpi_count.cpp defines the sends, counts, and passes them on to the next
// who defines them: MPI, or parallel/mpi/strict/ if `tandem run --strict` put that in between. So nothing we believe about our own
// code enters the numbers.
#pragma once

#include "parallel/collectives/collectives.hpp"

namespace tandem {

// Sent by this rank since the program began, and by all ranks together while `body` runs on all of them.
Traffic sent_so_far();

template <class Body>
Traffic traffic_of(const Communicator& comm, Body&& body) {
  const Traffic before = sent_so_far();
  body();
  const Traffic after = sent_so_far();
  const std::size_t mine[2] = {after.messages - before.messages, after.bytes - before.bytes};
  std::size_t all[2] = {};
  MPI_Allreduce(mine, all, 2, MPI_UINT64_T, MPI_SUM, comm.handle());
  return {.messages = all[0], .bytes = all[1]};
}

}  // namespace tandem
