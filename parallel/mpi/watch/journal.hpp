// What a rank writes on its page of the board, and when. The interposed calls (messages.cpp, requests.cpp, collectives.cpp, windows.cpp)
// are one-liners over this.
//
//   blocking call      Blocked in(call, {operations});  next(...);       state blocked from the first line to the end of the block
//   a request begins   remember(request, operation)
//   a request ends     completed(request, status)
//   Test says no       asked_in_vain(call, ...)                          state polling, and one more poll
//
// Everything else that MPI does for the rank, such as beginning a send, is progress: `moved()`.
#pragma once

#include <dlfcn.h>
#include <mpi.h>

#include <initializer_list>
#include <span>
#include <vector>

#include "parallel/mpi/watch/board.hpp"

namespace tandem::watch {

// This rank's page: at first one that nobody else sees; begin() puts the one on the board in its place.
Page& page();
void take_page(Page* shared);

// The function of this name in the libraries loaded after this one: that of --strict, else MPI's own.
template <class Function>
Function* next(Function&, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}
#define TANDEM_NEXT(name)                                       \
  [] {                                                          \
    static auto* const f = tandem::watch::next(name, #name);    \
    return f;                                                   \
  }()
#define TANDEM_HERE reinterpret_cast<std::uintptr_t>(__builtin_return_address(0))

// A communicator, or the ranks of a window.
struct Comm {
  GroupId id = unknown_group;
  std::vector<int> world;  // its ranks, as ranks of MPI_COMM_WORLD
  Group* group = nullptr;  // null: not on the board
  int world_rank(int rank) const;
};
Comm* comm_of(MPI_Comm handle);
Comm* comm_of(MPI_Win window);
void begin_comm(MPI_Comm handle);  // collective: its ranks agree on an id
void begin_window(MPI_Win window, MPI_Comm comm);
void end_comm(MPI_Comm handle);
void end_window(MPI_Win window);
void name_comm(MPI_Comm handle, const char* name);

// Descriptions of operations. A send and a collective are counted as begun.
Operation sending(Call call, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, std::uintptr_t where);
Operation sending_later(Call call, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, std::uintptr_t where);
Operation receiving(Call call, int n, MPI_Datatype type, int from, int tag, MPI_Comm comm, std::uintptr_t where);
Operation probing(Call call, int from, int tag, MPI_Comm comm, std::uintptr_t where);
Operation gathering(Call call, Comm* comm, int root, std::int64_t bytes, std::uintptr_t where);  // any collective
Operation one_sided(Call call, Comm* comm, std::uintptr_t where);
std::int64_t bytes_of(int n, MPI_Datatype type);

void remember(MPI_Request request, Operation operation);
void prepare(MPI_Request persistent, Operation operation);
void start(MPI_Request persistent);
void forget(MPI_Request request);
void completed(MPI_Request request, const MPI_Status& status);
void message_taken(MPI_Comm comm, const MPI_Status& status);
void cancel_seen();

void moved();
void asked_in_vain(Call call, bool all, std::span<const MPI_Request> requests);
void asked_in_vain(const Operation& probe);

class Blocked {
 public:
  Blocked(Call call, std::initializer_list<Operation> operations);
  Blocked(Call call, bool all, std::span<const MPI_Request> requests);
  Blocked(const Blocked&) = delete;
  Blocked& operator=(const Blocked&) = delete;
  ~Blocked();
};

}  // namespace tandem::watch
