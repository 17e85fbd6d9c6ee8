// Programs that hang, and a few that only look so, by name: watch_test.py runs them under `tandem run --watch`. MPI alone, but for the
// last ones. Each line at which a rank waits says so in a comment that the test searches for.
#include <mpi.h>

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
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
  if (rank == 0) MPI_Recv(&x, 1, MPI_INT, 1, 0, copy, MPI_STATUS_IGNORE);
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
  MPI_Barrier(rank == 0 ? a : b);
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

const std::map<std::string, void (*)()> programs = {
    {"recv_recv", recv_recv}, {"recv_recv_other_tags", recv_recv_other_tags}, {"send_send", send_send}, {"wrong_tag", wrong_tag},
    {"wrong_tag_large", wrong_tag_large}, {"wrong_communicator", wrong_communicator}, {"mismatched", mismatched},
    {"wrong_root", wrong_root}, {"other_communicator", other_communicator}, {"early_finalize", early_finalize},
    {"unequal_steps", unequal_steps}, {"early_exit", early_exit}, {"nobody_sends", nobody_sends}, {"test_loop", test_loop},
    {"any_source", any_source}, {"three", three}, {"two_of_three", two_of_three}, {"sendrecv", sendrecv},
    {"pending_ibarrier", pending_ibarrier}, {"slow_ping_pong", slow_ping_pong}, {"ring", ring}, {"window", window}};
const std::map<std::string, void (*)(double)> timed = {
    {"one_computes", one_computes}, {"one_sleeps", one_sleeps}, {"computes_and_asks", computes_and_asks}};

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const std::string name = argc > 1 ? argv[1] : "";
  if (rank == 0) std::puts("begun"), std::fflush(stdout);
  if (programs.contains(name)) programs.at(name)();
  else if (timed.contains(name)) timed.at(name)(std::atof(argv[2]));
  MPI_Finalize();
  if (rank == 0) std::puts("done");
}
