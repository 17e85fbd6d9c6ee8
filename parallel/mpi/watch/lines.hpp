// Source lines of a stack, from the debug information of the program, as addr2line (binutils) reads it. A program compiled without -g
// has function names only.
#pragma once

#include <string>
#include <vector>

#include "parallel/mpi/watch/board.hpp"

namespace tandem::watch {

struct Line {
  std::string function, file;  // empty where they are not known
  int number = 0;
};

// The user's lines, the innermost first: not those of the standard library or of our own parallel/, unless there are
// no others.
std::vector<Line> user_lines(const Page& page);

}  // namespace tandem::watch
