// From main() to ranks and back: starting MPI, and ending it when something went wrong.
//
//   int train(const Communicator& world, int argc, char** argv) { ... return 0; }
//   int main(int argc, char** argv) { return mpi::run(argc, argv, train); }
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "parallel/mpi/communicator.hpp"

namespace tandem {

namespace mpi {

// Starts MPI (MPI_THREAD_FUNNELED: threads may exist, only the main one calls MPI), runs `main` on every rank, ends MPI and
// returns what `main` returned.
//
// An exception that leaves `main` ends the *whole job*, because one rank that leaves alone is a hang of the others:
//   - if every rank fails in the same way (a bad option, an unreadable folder), rank 0 prints the message, once, as it is;
//   - else each failing rank prints "rank 2 of 4: message" and the job is aborted.
// Exit status: 2 for UsageError, 1 for everything else, on every rank.
//
// Error if the ranks' machines do not compute alike; see require_same_machine.
int run(int argc, char** argv, const std::function<int(const Communicator& world, int argc, char** argv)>& main);

}  // namespace mpi

// What decides the layout of data and the bits of results, as text: instruction set, vector width, byte order, sizeof(real),
// compiler, and what the CPU could do beyond that (libm and BLAS choose their code by it while running).
std::string machine_signature();

// Error on every rank, naming both hosts, if some rank's signature is not rank 0's. Collective.
void require_same_machine(const Communicator& comm, std::string_view signature);

}  // namespace tandem
