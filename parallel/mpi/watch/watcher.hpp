// The thread beside each rank's main thread, which looks ten times a second. One of them, the *reporter*, looks at the whole board; if
// its process ends, another takes over. It is a thread of a rank, not the launcher or a guard, because it shares the board already and
// must know what a process knows: where its libraries lie. And ranks that outlive the reporter find a new one by themselves.
//
// A rank is *quiet*, and may be judged, if for two seconds
//   - it is in one blocking MPI call, or
//   - it asks MPI again and again in vain (Test, Iprobe, the shared window's barrier), at least 100 times, using less than 50 us of
//     processor time from one question to the next: more would be computation, with a look at MPI now and then.
// A rank that computes, sleeps, reads a file or waits for its user is not quiet, nor is one that a debugger holds.
#pragma once

#include "parallel/mpi/watch/board.hpp"

namespace tandem::watch {

inline constexpr int exit_code = 123;  // 124 to 127 are those of `timeout` and the shell

void start_watching(Board& board, int rank);

}  // namespace tandem::watch
