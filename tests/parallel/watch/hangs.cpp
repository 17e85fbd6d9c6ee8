// Programs that hang, and a few that only look so, by name: watch_test.py runs them under `tandem run --watch`. MPI alone, but for
// ring() and window(). Each line at which a rank waits says so in a comment that the test searches for.
#include <mpi.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "parallel/collectives/collectives.hpp"
#include "parallel/collectives/shared_window.hpp"
#include "parallel/mpi/environment.hpp"

namespace {

int rank = 0, ranks = 0;
std::vector<char> large(1 << 20);

void recv(int from, int tag) {
  int x = 0;
  MPI_Recv(&x, 1, MPI_INT, from, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);  // waits: recv
}

void send(int to, int tag) {
  const int x = rank;
  MPI_Send(&x, 1, MPI_INT, to, tag, MPI_COMM_WORLD);  // waits: send
}

void send_large(int to) {
  MPI_Send(large.data(), static_cast<int>(large.size()), MPI_CHAR, to, 5, MPI_COMM_WORLD);  // waits: large
}

void compute(double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) continue;
}

void recv_recv() {
  if (rank < 2) recv(1 - rank, 3);
}

void recv_recv_other_tags() {
  if (rank < 2) recv(1 - rank, rank == 0 ? 7 : 3);
}

void send_send() {
  if (rank < 2) send_large(1 - rank), recv(1 - rank, 5);
}

void wrong_tag() {
  if (rank == 0) recv(1, 3);
  if (rank == 1) send(0, 7);
}

void wrong_tag_large() {
  if (rank == 0) recv(1, 3);
  if (rank == 1) send_large(0);
}

void wrong_communicator() {
  MPI_Comm copy;
  MPI_Comm_dup(MPI_COMM_WORLD, &copy);
  int x = 0;
  if (rank == 0) MPI_Recv(&x, 1, MPI_INT, 1, 0, copy, MPI_STATUS_IGNORE);  // waits: copy
  if (rank == 1) send(0, 0);
  MPI_Comm_free(&copy);
}

void mismatched() {
  double x = 0, sum = 0;
  if (rank == 0)
    MPI_Bcast(&x, 1, MPI_DOUBLE, 1, MPI_COMM_WORLD);  // waits: bcast
  else
    MPI_Allreduce(&x, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);  // waits: allreduce
}

void wrong_root() {
  int x = 0;
  MPI_Bcast(&x, 1, MPI_INT, (rank + 1) % ranks, MPI_COMM_WORLD);  // waits: root
}

void other_communicator() {
  MPI_Comm a, b;
  MPI_Comm_dup(MPI_COMM_WORLD, &a);
  MPI_Comm_dup(MPI_COMM_WORLD, &b);
  MPI_Comm_set_name(a, "a");
  MPI_Comm_set_name(b, "b");
  MPI_Barrier(rank == 0 ? a : b);  // waits: one of two
}

void early_finalize() {
  if (rank == 0) recv(1, 3);
}

void unequal_steps() {
  double x = 0, sum = 0;
  for (int step = 0; step < (rank == 0 ? 11 : 10); ++step)
    MPI_Allreduce(&x, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);  // waits: step
}

void early_exit() {
  if (rank == 1) std::exit(0);
  recv(1, 3);
}

void nobody_sends() {
  int x = 0, y = 0;
  MPI_Request both[2];
  if (rank == 0) {
    MPI_Irecv(&x, 1, MPI_INT, 1, 1, MPI_COMM_WORLD, &both[0]);
    MPI_Irecv(&y, 1, MPI_INT, 1, 1, MPI_COMM_WORLD, &both[1]);
    MPI_Waitall(2, both, MPI_STATUSES_IGNORE);  // waits: all
  }
  if (rank == 1) send(0, 1);
  MPI_Barrier(MPI_COMM_WORLD);  // waits: barrier
}

void test_loop() {
  int x = 0, done = 0;
  MPI_Request request;
  MPI_Irecv(&x, 1, MPI_INT, (rank + 1) % ranks, 2, MPI_COMM_WORLD, &request);
  while (!done) MPI_Test(&request, &done, MPI_STATUS_IGNORE);  // waits: test
}

void any_source() {
  if (rank == 0) recv(MPI_ANY_SOURCE, MPI_ANY_TAG);
  MPI_Barrier(MPI_COMM_WORLD);  // waits: after any
}

void three() { recv((rank + 1) % ranks, 3); }

// Ranks 0 and 1 wait for each other, the last one computes for longer than the watch may take.
void two_of_three() {
  if (rank < 2) recv(1 - rank, 3);
  compute(20);
}

void sendrecv() {
  int x = rank, y = 0;
  MPI_Sendrecv(&x, 1, MPI_INT, 1 - rank, 1, &y, 1, MPI_INT, 1 - rank, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);  // waits: sendrecv
}

void pending_ibarrier() {
  MPI_Request request;
  if (rank == 0) {
    MPI_Ibarrier(MPI_COMM_WORLD, &request);
    MPI_Wait(&request, MPI_STATUS_IGNORE);  // waits: ibarrier
  } else {
    recv(0, 1);
  }
}

// A short message waits in a buffer of MPI, unless sends are synchronous (--strict).
void short_send_send() {
  send(1 - rank, 4);
  recv(1 - rank, 4);
}

void throws() {
  if (rank == 1) throw std::runtime_error("tile 7 is unreadable");
  recv(1, 3);
}

// Whoever catches an error and ends in peace leaves the others alone.
void throws_and_catches() {
  try {
    throws();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
}

// With MPI_THREAD_MULTIPLE, see main(): a thread beside the main one calls MPI, so nobody can judge this rank, though it hangs at the end.
void threads() {
  const auto exchange = [](int tag) {
    int x = rank, y = 0;
    for (int i = 0; i < 1000; ++i)
      MPI_Sendrecv(&x, 1, MPI_INT, 1 - rank, tag, &y, 1, MPI_INT, 1 - rank, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  };
  std::thread other(exchange, 1);
  exchange(2);
  other.join();
}

void threads_allowed() { recv(1 - rank, 3); }

// Quiet ones: they end well.
void slow_ping_pong() {
  for (int i = 0; i < 8; ++i) {
    if (rank == i % 2) compute(0.7), send(1 - rank, i);
    else recv(1 - rank, i);
  }
}

void one_computes(double seconds) {
  if (rank == 1) compute(seconds);
  MPI_Barrier(MPI_COMM_WORLD);
}

void one_sleeps(double seconds) {
  if (rank == 1) usleep(static_cast<unsigned>(seconds * 1e6));
  int done = 0;
  MPI_Request request;
  MPI_Ibarrier(MPI_COMM_WORLD, &request);
  while (!done) MPI_Test(&request, &done, MPI_STATUS_IGNORE);
}

// It sleeps between its questions, and goes on by itself after a while.
void asks_and_sleeps(double seconds) {
  if (rank == 1) return recv(0, 0);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  for (int found = 0; !found && std::chrono::steady_clock::now() < end; usleep(1000))
    MPI_Iprobe(1, 0, MPI_COMM_WORLD, &found, MPI_STATUS_IGNORE);
  send(1, 0);
}

// Rank 0 asks often, then computes long, and sends what rank 1 has been waiting for meanwhile.
void asks_then_computes(double seconds) {
  int x = 0, done = 0;
  if (rank == 1) compute(2.5), recv(0, 0), send(0, 1);
  if (rank == 0) {
    MPI_Request request;
    MPI_Irecv(&x, 1, MPI_INT, 1, 1, MPI_COMM_WORLD, &request);
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(2.4);
    while (std::chrono::steady_clock::now() < end) MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    compute(seconds);
    send(1, 0);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
  }
}

// Each waits for what the other will begin after it has computed, asking now and then: legal, and not a cycle.
void computes_and_asks(double seconds) {
  int x = 0, y = rank, done = 0;
  MPI_Request in, out;
  MPI_Irecv(&x, 1, MPI_INT, 1 - rank, 0, MPI_COMM_WORLD, &in);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) compute(0.0005), MPI_Test(&in, &done, MPI_STATUS_IGNORE);
  MPI_Isend(&y, 1, MPI_INT, 1 - rank, 0, MPI_COMM_WORLD, &out);
  MPI_Wait(&in, MPI_STATUS_IGNORE);
  MPI_Wait(&out, MPI_STATUS_IGNORE);
}

// Through our own library: the report must name the line here, not one of parallel/.
void ring() {
  const auto world = tandem::Communicator::world();
  std::vector<tandem::real> values(100);
  if (rank != 0) tandem::run(tandem::ring_allreduce, values, world);  // waits: ring
}

void window() {
  const auto world = tandem::Communicator::world();
  tandem::SharedWindow shared(world, 100);
  if (rank != 0) shared.start(0, 100)->wait();  // waits: window
  world.barrier();                              // waits: barrier beside the window
}

#define NAMED(f) {#f, f}
const std::map<std::string, void (*)()> programs = {
    NAMED(recv_recv), NAMED(recv_recv_other_tags), NAMED(send_send), NAMED(short_send_send), NAMED(wrong_tag), NAMED(wrong_tag_large),
    NAMED(wrong_communicator), NAMED(mismatched), NAMED(wrong_root), NAMED(other_communicator), NAMED(early_finalize),
    NAMED(unequal_steps), NAMED(early_exit), NAMED(throws), NAMED(throws_and_catches), NAMED(nobody_sends), NAMED(test_loop),
    NAMED(any_source), NAMED(three), NAMED(two_of_three), NAMED(sendrecv), NAMED(pending_ibarrier), NAMED(threads),
    NAMED(threads_allowed), NAMED(slow_ping_pong), NAMED(ring), NAMED(window)};
const std::map<std::string, void (*)(double)> timed = {
    NAMED(one_computes), NAMED(one_sleeps), NAMED(asks_and_sleeps), NAMED(computes_and_asks),
    NAMED(asks_then_computes)};

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  int provided = 0;
  if (name.starts_with("threads"))
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  else
    MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (rank == 0) std::printf("%f\n", std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count());
  if (rank == 0) std::fflush(stdout);
  if (programs.contains(name)) programs.at(name)();
  else timed.at(name)(std::atof(argv[2]));
  MPI_Finalize();
  if (rank == 0) std::puts("done");
}
