// From main() to ranks and back: starting MPI, and ending it when something went wrong.
//
//   int train(const Communicator& world, int argc, char** argv) { ... return 0; }
//   int main(int argc, char** argv) { return mpi::run(argc, argv, train); }
#pragma once

#include <functional>

#include "parallel/mpi/communicator.hpp"

namespace tandem::mpi {

// Starts MPI (MPI_THREAD_FUNNELED: threads may exist, only the main one calls MPI), runs `main` on every rank, ends MPI and
// returns what `main` returned.
//
// An exception that leaves `main` ends the *whole job*, because one rank that leaves alone is a hang of the others:
//   - every rank fails with the same words (a bad option, an unreadable folder): rank 0 prints "error: words", once;
//   - else each rank that fails prints "rank 2 of 4: words", and the job is aborted if some ranks do not fail.
// Exit status, on every rank: 2 for UsageError, 1 for any other exception.
//
// Error if the hosts do not compute alike; see machine.hpp.
int run(int argc, char** argv, const std::function<int(const Communicator& world, int argc, char** argv)>& main);

}  // namespace tandem::mpi
