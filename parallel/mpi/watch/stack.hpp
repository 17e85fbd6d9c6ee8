// Where in the program a rank waits. No thread can walk another one's stack, so the waiting thread does it itself, in a signal handler:
//
//   reporter        asked += 1
//   that rank's watcher thread      signal SIGURG to the thread of its last MPI call
//   that thread                     writes down its return addresses
//   that rank's watcher thread      says in which file each lies (only its own process knows), answered = asked
//   reporter        asks addr2line for the lines
//
// SIGURG, because nobody notices it who does not handle it. It comes only when the job is about to be ended.
#pragma once

#include <string>
#include <vector>

#include "parallel/mpi/watch/board.hpp"

namespace tandem::watch {

void handle_stack_signal();    // once, by the thread that calls MPI_Init
void answer(Page& page);       // by the watcher thread: writes the stack onto the page

struct Line {
  std::string function, file;  // file is empty where it is not known
  int number = 0;
};

// The user's lines, the innermost first: not those of MPI, of system libraries, nor of our own parallel/.
std::vector<Line> user_lines(const Page& page);
std::vector<Line> user_lines(const Place* begin, const Place* end);
Place place_of(std::uintptr_t return_address);

// "student/halo.cpp:31 in exchange(), from main.cpp:12": at most three places
std::string text(const std::vector<Line>& lines);

}  // namespace tandem::watch
