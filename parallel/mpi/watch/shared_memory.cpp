// Waits on memory, such as the barriers of the shared window: memory_wait.hpp tells how they come here.
#include <cstdarg>

#include "parallel/mpi/memory_wait.hpp"
#include "parallel/mpi/watch/journal.hpp"

using namespace tandem::watch;

namespace {

void publish(const tandem::MemoryWait& wait) {
  Page* const mine = page();
  if (mine == nullptr) return;
  const Comm& comm = comm_of(key_of(wait.comm));
  Operation now{.key = key_of(wait.key), .number = wait.round, .group = comm.id, .call = "the shared window's barrier", .role = Role::window};
  for (std::size_t r = 0; r < comm.world.size(); ++r)
    if (wait.is_missing(wait.key, static_cast<int>(r))) now.missing.set(static_cast<std::size_t>(comm.world[r]));
  const Operation* const before = find_request(*mine, now.key);
  if (now.missing.none()) {
    if (before != nullptr) forget(now.key);
    return;
  }
  if (before == nullptr || before->missing != now.missing || before->number != now.number) remember(now.key, now);
  asked_in_vain(now);
}

}  // namespace

extern "C" int MPI_Pcontrol(const int level, ...) {
  if (level != tandem::memory_wait) return MPI_SUCCESS;
  va_list arguments;
  va_start(arguments, level);
  publish(*va_arg(arguments, const tandem::MemoryWait*));
  va_end(arguments);
  return MPI_SUCCESS;
}
