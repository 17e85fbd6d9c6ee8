// MPI's return codes as exceptions.
//
// MPI ends the whole program on an error unless told to return codes (MPI_ERRORS_RETURN, which mpi::run sets). A code that
// nobody reads is worse than an abort, so every call of ours goes through mpi_check.
#pragma once

#include <mpi.h>

#include <string_view>

namespace tandem {

// Throws Error "MPI_Isend: MPI_ERR_RANK: invalid rank" if `code` is not MPI_SUCCESS.
//
//   mpi_check(MPI_Barrier(comm), "MPI_Barrier");
void mpi_check(int code, std::string_view call);

}  // namespace tandem
