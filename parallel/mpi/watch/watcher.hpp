// A thread of rank 0 looks at the board ten times a second. If there is a knot (knot.hpp), it tells why, and ends the job.
//
// It judges only ranks that have been *quiet* for two seconds, so that whatever was under way has arrived. A rank is quiet if
//   - it is in one blocking MPI call, or
//   - it asks MPI again and again in vain (Test, Iprobe, the shared window's barrier): at least 100 times, without sleeping, and using
//     less than 50 us of processor time from one question to the next: more would be computation, with a look at MPI now and then.
// A rank that computes, sleeps, reads a file or waits for its user is not quiet, nor is one that is stopped, or held by a debugger.
//
// It is a thread of a rank, not the launcher or a guard, because it shares the board already. MPI_Finalize returns only when all ranks
// have come to it, so rank 0 is there as long as others can hang.
#pragma once

#include <span>

#include "parallel/mpi/watch/board.hpp"

namespace tandem::watch {

inline constexpr int exit_code = 123;  // 124 to 127 are those of `timeout` and the shell

void start_watching(std::span<Page> board);

}  // namespace tandem::watch
