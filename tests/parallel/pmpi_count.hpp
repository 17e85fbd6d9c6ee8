// What this rank hands to MPI, counted at MPI's own door.
//
// MPI names every function twice: MPI_Isend is a weak symbol that a program may define itself, PMPI_Isend is the real one
// (MPI 4.0, chapter 15). pmpi_count.cpp defines the sends, counts, and passes them on. So nothing we believe about our own
// code enters the numbers.
//
// With TANDEM_STRICT=1 in the environment it passes every send on as its *synchronous* form, which completes only when the
// receiver is there. MPI may always behave so, but does it only for long messages. Code that hangs then was wrong before.
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
