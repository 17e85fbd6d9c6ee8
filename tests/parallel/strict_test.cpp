// `tandem run --strict` (parallel/mpi/strict/): when do the sends of MPI complete?
//
//   rank 0    send ───────────────> returned!
//   rank 1    wait for "returned", but not for ever       receiving!  receive
//
// The two words are said in shared memory, without MPI. Synchronous means that "receiving" was said before the send returned;
// a send that MPI buffers returns while rank 1 still waits.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>

#include "parallel/mpi/communicator.hpp"
#include "parallel/mpi/error.hpp"

using namespace tandem;

namespace {

// --strict tells it the ranks so; whether the library was really loaded is what the tests find out.
bool strict() {
  const char* const library = std::getenv("TANDEM_STRICT");
  return library != nullptr && *library != 0;
}

struct Words {
  std::atomic<int> returned, receiving;
};

// Did rank 0's `send`, of one int to rank 1, return before rank 1 was ready to receive? To be called on two ranks.
// `synchronous` is what we expect, and decides only how long rank 1 waits.
bool returns_early(const Communicator& pair, const std::function<void(int& value, MPI_Comm comm)>& send,
                   bool synchronous = strict()) {
  MPI_Win window = MPI_WIN_NULL;
  Words* words = nullptr;
  MPI_Aint bytes = 0;
  int unit = 0, value = 7, early = 0;
  mpi_check(MPI_Win_allocate_shared(pair.rank() == 0 ? sizeof(Words) : 0, 1, MPI_INFO_NULL, pair.handle(), &words, &window),
            "MPI_Win_allocate_shared");
  mpi_check(MPI_Win_shared_query(window, 0, &bytes, &unit, &words), "MPI_Win_shared_query");
  if (pair.rank() == 0) words->returned = words->receiving = 0;
  pair.barrier();

  if (pair.rank() == 0) {
    send(value, pair.handle());
    early = words->receiving == 0;
    words->returned = 1;
  } else {
    // Patient where the word must come, so that a slow machine does not fail; where it must not, a moment is enough.
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(synchronous ? 50 : 20'000);
    while (words->returned == 0 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    words->receiving = 1;
    value = 0;
    mpi_check(MPI_Recv(&value, 1, MPI_INT, 0, 0, pair.handle(), MPI_STATUS_IGNORE), "MPI_Recv");
    CHECK(value == 7);
  }
  mpi_check(MPI_Bcast(&early, 1, MPI_INT, 0, pair.handle()), "MPI_Bcast");
  MPI_Win_free(&window);
  return early != 0;
}

void wait(MPI_Request& request) { mpi_check(MPI_Wait(&request, MPI_STATUS_IGNORE), "MPI_Wait"); }

}  // namespace

TEST_CASE("strict: every kind of send completes only when its receiver is there, else before") {
  const auto world = Communicator::world();
  const auto pair = world.split(world.rank() < 2 ? 0 : 1, world.rank());
  if (world.size() < 2 || world.rank() >= 2) return;

  CHECK(strict() != returns_early(pair, [](int& x, MPI_Comm comm) { MPI_Send(&x, 1, MPI_INT, 1, 0, comm); }));
  CHECK(strict() != returns_early(pair, [](int& x, MPI_Comm comm) { MPI_Rsend(&x, 1, MPI_INT, 1, 0, comm); }));
  CHECK(strict() != returns_early(pair, [](int& x, MPI_Comm comm) {
    MPI_Request request;
    MPI_Isend(&x, 1, MPI_INT, 1, 0, comm, &request);
    wait(request);
  }));
  CHECK(strict() != returns_early(pair, [](int& x, MPI_Comm comm) {
    MPI_Request request;
    MPI_Irsend(&x, 1, MPI_INT, 1, 0, comm, &request);
    wait(request);
  }));
  // Open MPI 4.1 lets a persistent send wait for its receiver in any case, so only one side of the law can be seen.
  if (strict()) CHECK(!returns_early(pair, [](int& x, MPI_Comm comm) {
    MPI_Request request;
    MPI_Send_init(&x, 1, MPI_INT, 1, 0, comm, &request);
    MPI_Start(&request);
    wait(request);
    MPI_Request_free(&request);
  }));
  CHECK(strict() != returns_early(pair, [](int& x, MPI_Comm comm) {
    int none = 0;
    MPI_Sendrecv(&x, 1, MPI_INT, 1, 0, &none, 1, MPI_INT, MPI_PROC_NULL, 0, comm, MPI_STATUS_IGNORE);
  }));
  CHECK(strict() != returns_early(pair, [](int& x, MPI_Comm comm) {
    MPI_Sendrecv_replace(&x, 1, MPI_INT, 1, 0, MPI_PROC_NULL, 0, comm, MPI_STATUS_IGNORE);
  }));
  CHECK(!returns_early(pair, [](int& x, MPI_Comm comm) { MPI_Ssend(&x, 1, MPI_INT, 1, 0, comm); }, true));
}
