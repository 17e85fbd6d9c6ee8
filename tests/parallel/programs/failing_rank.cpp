// A program that fails as its first argument says; failing_rank_test.py watches how the job ends, and kill_test.py what is left.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/real.hpp"
#include "parallel/mpi/environment.hpp"
#include "parallel/mpi/machine.hpp"

using namespace tandem;

namespace {

int fail_as_told(const Communicator& world, int argc, char** argv) {
  const std::string_view how = argc > 1 ? argv[1] : "";
  const int r = world.rank(), last = world.size() - 1;
  std::vector<real> inbox(1);

  if (how == "everyone") throw UsageError("--epochs is -3; expected 1 or more");
  if (how == "everyone_in_own_words") fail("tile {} is unreadable", r);
  if (how == "one" && r == last) fail("the loss is NaN");
  if (how == "one_misused" && r == last) throw UsageError("no such option");
  if (how == "not_an_exception" && r == last) throw 7;
  if (how == "mpi" && r == last) world.send(inbox, 99);
  if (how == "message_under_way" && r == last) {
    const Request arriving = world.irecv(inbox, 0);
    fail("thrown before the message came");
  }
  if (how == "owning") {
    const Communicator copy = world.duplicate();
    if (r == last) fail("thrown by an owner of a communicator");
    copy.barrier();
  }
  if (how == "other_machine") require_same_machine(world, r == last ? "built for another CPU" : machine_signature());
  if (how == "send_first" && r < 2) {  // right only if MPI keeps the 8 bytes for us
    const double out = r;
    double in = -1;
    world.send(std::span(&out, 1), 1 - r);
    world.receive(std::span(&in, 1), 1 - r);
  }
  // Says who it is and waits in MPI, all but the last rank, which computes for the seconds told; the word after that is "done".
  if (how == "wait") {
    fmt::print("{} {}\n", r, getpid());
    std::fflush(stdout);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(argc > 2 ? std::stoi(argv[2]) : 100);
    while (r == last && std::chrono::steady_clock::now() < end) continue;
    world.barrier();
    if (r == 0) fmt::print("done\n");
  }
  if (how != "nothing") world.barrier();  // the ranks that do not fail wait for the one that does
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return mpi::run(argc, argv, fail_as_told); }
