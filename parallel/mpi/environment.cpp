#include "parallel/mpi/environment.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "core/error.hpp"
#include "core/random.hpp"
#include "parallel/mpi/error.hpp"
#include "parallel/mpi/machine.hpp"

namespace tandem::mpi {

namespace {

using namespace std::chrono_literals;

// How long a failed rank waits to learn whether the others failed too. Long enough for ranks that share a core, short enough
// for whoever waits for the message. Rank 0 must give up first, so that its answer still finds the others waiting.
constexpr auto patience_of_rank_0 = 1000ms;
constexpr auto patience_of_others = 1500ms;

struct Failure {
  int status;
  std::string words;
  std::uint64_t digest() const { return mix(hash(words), static_cast<std::uint64_t>(status)); }
};

// To be called inside a catch block.
Failure current_failure() {
  try {
    throw;
  } catch (const UsageError& error) {
    return {2, error.what()};
  } catch (const std::exception& error) {
    return {1, error.what()};
  } catch (...) {
    return {1, "an exception of unknown type"};
  }
}

void print_own(const Failure& failure, const Communicator& world) {
  std::fflush(stdout);
  fmt::print(stderr, "rank {} of {}: {}\n", world.rank(), world.size(), failure.words);
}

[[noreturn]] void abort_job(const Failure& failure, const Communicator& world) {
  print_own(failure, world);
  MPI_Abort(MPI_COMM_WORLD, failure.status);
  std::abort();  // not reached; MPI_Abort is not declared to never return
}

bool all_complete(std::span<Request> requests, std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!std::ranges::all_of(requests, [](Request& request) { return request.test(); })) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

// Returns if every rank is here, so that MPI can be ended in the regular way; else ends the job.
//
//   rank 0   <-- digest of the words -- ranks 1..p-1      all here, all alike: rank 0 prints for all
//            --- who prints ---------->                   all here, not alike: each prints its own words
//                                                         somebody is missing: print and abort
//
// This uses `line`, a communicator of its own: the messages of the failed program may still be waiting in `world`.
void end_together(const Failure& failure, const Communicator& line) {
  const auto others = static_cast<std::size_t>(line.size() - 1);
  const std::uint64_t mine = failure.digest();

  if (line.rank() == 0) {
    std::vector<std::uint64_t> digests(others);
    std::vector<Request> arriving(others);
    for (std::size_t i = 0; i < others; ++i) arriving[i] = line.irecv(std::span(&digests[i], 1), static_cast<int>(i) + 1);
    if (!all_complete(arriving, patience_of_rank_0)) abort_job(failure, line);
    const bool alike = std::ranges::all_of(digests, [&](std::uint64_t digest) { return digest == mine; });
    for (std::size_t i = 0; i < others; ++i) line.send(std::span(&alike, 1), static_cast<int>(i) + 1);
    if (!alike) return print_own(failure, line);
    std::fflush(stdout);
    fmt::print(stderr, "error: {}\n", failure.words);
  } else {
    bool rank_0_prints = false;
    std::array<Request, 2> talk{line.isend(std::span(&mine, 1), 0), line.irecv(std::span(&rank_0_prints, 1), 0)};
    if (!all_complete(talk, patience_of_others)) abort_job(failure, line);
    if (!rank_0_prints) print_own(failure, line);
  }
}

}  // namespace

int run(int argc, char** argv, const std::function<int(const Communicator& world, int argc, char** argv)>& main) {
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);  // inherited by every communicator made from it
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);

  int status = 0;
  {
    const Communicator world = Communicator::world();
    const Communicator line = world.duplicate();
    try {
      require(provided >= MPI_THREAD_FUNNELED, "this MPI does not allow threads (MPI_THREAD_FUNNELED)");
      require_suitable_cpu();
      require_same_machine(world, machine_signature());
      status = main(world, argc, argv);
    } catch (...) {
      const Failure failure = current_failure();
      status = failure.status;
      try {
        end_together(failure, line);
      } catch (...) {
        abort_job(failure, line);
      }
    }
  }
  MPI_Finalize();
  return status;
}

}  // namespace tandem::mpi
