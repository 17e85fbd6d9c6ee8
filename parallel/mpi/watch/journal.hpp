// What a rank writes on its page of the board, and when. The interposed calls (messages.cpp, requests.cpp, collectives.cpp,
// communicators.cpp) are one-liners over this.
//
//   blocking call      Blocked in(call, {operations});  TANDEM_NEXT(...);    state blocked from the first line to the end of the block
//   a request begins   remember(request, operation)
//   a request ends     completed(request, status)
//   Test says no       asked_in_vain(call, ...)                              state polling, and one more poll
//
// Everything else that MPI does for the rank, such as beginning a send, is progress: `moved()`.
//
// Only the thread that called MPI_Init writes. If another one calls MPI too, the page is incomplete from then on, and says so.
#pragma once

#include <dlfcn.h>
#include <mpi.h>

#include <initializer_list>
#include <span>

#include "parallel/mpi/watch/board.hpp"
#include "parallel/mpi/watch/communicators.hpp"

namespace tandem::watch {

// The function of this name in the libraries loaded after this one: that of --strict, else MPI's own.
#define TANDEM_NEXT(name)                                                                          \
  [] {                                                                                             \
    static auto* const f = reinterpret_cast<decltype(&name)>(dlsym(RTLD_NEXT, #name));             \
    return f;                                                                                      \
  }()

void take_page(Page* shared);  // by the thread that calls MPI_Init; before that, nothing is written
Page* page();                  // where this thread may write; null: nowhere

// Descriptions of operations. sending() and gathering() also count them as begun.
Operation sending(Name call, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm);
Operation sending_later(Name call, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm);  // persistent
Operation receiving(Name call, int n, MPI_Datatype type, int from, int tag, MPI_Comm comm);
Operation probing(Name call, int from, int tag, MPI_Comm comm);
Operation gathering(Name call, const Comm& comm, int root, std::int64_t bytes);  // any collective
std::int64_t bytes_of(int n, MPI_Datatype type);

// Requests, by key_of(the handle).
void remember(std::uint64_t request, Operation operation);
void prepare(std::uint64_t persistent, Operation operation);
void start(std::uint64_t persistent);
void forget(std::uint64_t request);
void completed(std::uint64_t request, const MPI_Status& status);
void message_taken(MPI_Comm comm, const MPI_Status& status);

void moved();
void asked_in_vain(Name call, bool all, std::span<const MPI_Request> requests);
void asked_in_vain(const Operation& operation);  // remembered, or a probe

class Blocked {
 public:
  Blocked(Name call, std::initializer_list<Operation> operations);
  Blocked(Name call, bool all, std::span<const MPI_Request> requests);
  Blocked(const Blocked&) = delete;
  Blocked& operator=(const Blocked&) = delete;
  ~Blocked() { moved(); }
};

}  // namespace tandem::watch
