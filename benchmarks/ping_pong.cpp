// How long a short and a long message take, and a small MPI_Allreduce: what MPI itself does on this machine, and, started once with and
// once without `--watch`, what it costs to be watched (parallel/mpi/watch/).
//
//   ./tandem run -n 2 ping_pong; ./tandem run -n 2 --watch ping_pong
//
// A message goes to rank 1 and back many times; its time is half of that. The median over rounds, as seen by rank 0.
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/error.hpp"
#include "parallel/mpi/environment.hpp"

namespace tandem {
namespace {

constexpr int rounds = 51;

// Microseconds that `body` takes.
template <class Body>
double median_time(int repetitions, Body&& body) {
  std::array<double, rounds> times;
  for (double& time : times) {
    MPI_Barrier(MPI_COMM_WORLD);
    const double begin = MPI_Wtime();
    for (int i = 0; i < repetitions; ++i) body();
    time = (MPI_Wtime() - begin) / repetitions * 1e6;
  }
  std::ranges::nth_element(times, times.begin() + rounds / 2);
  return times[rounds / 2];
}

void ping_pong(int rank, std::vector<char>& bytes) {
  const int n = static_cast<int>(bytes.size());
  const auto send = [&] { MPI_Send(bytes.data(), n, MPI_CHAR, 1 - rank, 0, MPI_COMM_WORLD); };
  const auto receive = [&] { MPI_Recv(bytes.data(), n, MPI_CHAR, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE); };
  if (rank == 0) send(), receive();
  else receive(), send();
}

int measure(const Communicator& world, int, char**) {
  require(world.size() == 2, "ping_pong: {} ranks; expected 2", world.size());
  const auto print = [&](std::string_view what, double microseconds) {
    if (world.rank() == 0) fmt::print("{:<24}{:10.3f} us\n", what, microseconds);
  };
  for (const auto& [size, repetitions] : {std::pair{8, 2000}, {4096, 2000}, {1 << 20, 200}}) {
    std::vector<char> bytes(static_cast<std::size_t>(size));
    print(fmt::format("{} bytes, one way", size), median_time(repetitions, [&] { ping_pong(world.rank(), bytes); }) / 2);
  }
  double x = 1, sum = 0;
  print("MPI_Allreduce of 8 bytes", median_time(2000, [&] { MPI_Allreduce(&x, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD); }));
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) { return tandem::mpi::run(argc, argv, tandem::measure); }
