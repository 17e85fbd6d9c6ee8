// Do all hosts of this job compute alike?
//
// Messages travel as raw bytes, and training promises equal bits on any number of ranks. Both fail silently if one host is
// built for wider vectors, another byte order or another `real`, so such a job is refused before it starts.
#pragma once

#include <string>
#include <string_view>

#include "parallel/mpi/communicator.hpp"

namespace tandem {

// What decides the layout of data and the bits of results, as text: instruction set, vector width, byte order, sizeof(real),
// compiler, and what the CPU could do beyond that (libm and BLAS choose their code by it while running). At most 200 bytes.
//   "x86-64, vectors of 64 bytes, little-endian, real of 4 bytes, GCC 12.2.0, CPU has avx2 fma avx512f"
std::string machine_signature();

// Error if this program is built for instructions that this CPU lacks (it would die of SIGILL, without a word).
void require_suitable_cpu();

// Error, the same on every rank, naming two hosts, if some rank's signature is not rank 0's. Collective.
void require_same_machine(const Communicator& comm, std::string_view signature);

}  // namespace tandem
