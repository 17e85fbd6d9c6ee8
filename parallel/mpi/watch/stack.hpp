// Where in the program a rank waits. No process can walk another one's stack, so the waiting thread does it itself, in a handler of
// SIGURG, a signal that nobody notices who does not handle it. It comes only when the job is about to be ended.
//
//   rank 0's watcher                      rank r, in MPI_Recv
//     ask_for_stack   -- SIGURG -->         writes onto its page in which file each return address lies: only its process knows
//     has answered?   <-- answered --       goes on waiting
//     lines.hpp: asks addr2line for the lines
#pragma once

#include "parallel/mpi/watch/board.hpp"

namespace tandem::watch {

void handle_stack_signal();  // once, by the thread that calls MPI_Init
void ask_for_stack(Page& page);

}  // namespace tandem::watch
