#include <doctest/doctest.h>

#include <numeric>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "parallel/collectives/collectives.hpp"
#include "parallel/mpi/communicator.hpp"
#include "parallel/mpi/machine.hpp"
#include "tests/parallel/pmpi_count.hpp"

using namespace tandem;

namespace {

std::string message_of(auto&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("communicator: a message around the ring arrives whole, whatever its length") {
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank(), next = (r + 1) % p, prev = (r + p - 1) % p;
  for (const std::size_t n : {0, 1, 7, 100003}) {  // the last is far beyond every eager limit
    std::vector<real> out(n), in(n, real{-1}), expected(n);
    std::iota(out.begin(), out.end(), static_cast<real>(r));
    std::iota(expected.begin(), expected.end(), static_cast<real>(prev));
    world.exchange(out, next, in, prev, 5);
    CHECK(in == expected);
  }
}

TEST_CASE("communicator: any trivially copyable value is a message") {
  struct Sample {
    int id;
    double loss;
  };
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank();
  const std::vector<Sample> out{{r, 0.5 * r}, {-r, 2}};
  std::vector<Sample> in(2);
  world.exchange(out, (r + 1) % p, in, (r + p - 1) % p);
  CHECK(in[0].id == (r + p - 1) % p);
  CHECK(in[0].loss == 0.5 * in[0].id);
  static_assert(!MessageRange<std::vector<std::string>&>, "a string is a pointer to its text");
  static_assert(!MessageRange<std::vector<real>>, "a temporary dies before isend has read it");
}

TEST_CASE("communicator: split makes groups by colour, ordered by key; each group has messages of its own") {
  const auto world = Communicator::world();
  const int r = world.rank();
  const auto half = world.split(r % 2, -r);  // even and odd ranks, the last first
  CHECK(half.size() == (world.size() + 1 - r % 2) / 2);
  CHECK(half.rank() == half.size() - 1 - r / 2);

  const auto copy = world.duplicate();
  CHECK(copy.rank() == r);
  const int to_world = 1, to_copy = 2;
  int from_world = 0, from_copy = 0;
  {
    auto first = world.isend(std::span(&to_world, 1), r);
    auto second = copy.isend(std::span(&to_copy, 1), r);
    copy.receive(std::span(&from_copy, 1), r);  // the one sent first on `world`, with the same tag, is not taken for it
    world.receive(std::span(&from_world, 1), r);
  }
  CHECK(from_world == 1);
  CHECK(from_copy == 2);
}

TEST_CASE("communicator: moving hands over the group, and the empty one may die") {
  auto a = Communicator::world().duplicate();
  const int size = a.size();
  auto b = std::move(a);
  CHECK(b.size() == size);
  a = Communicator::world().split_by_node();
  CHECK(a.size() == size);  // these tests run on one host
  a = std::move(b);
  a.barrier();
}

TEST_CASE("request: test() becomes true; a request that is dropped has been waited for") {
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank();
  const std::vector<int> out(1000, r);
  std::vector<int> in(1000, -1);
  {
    auto arriving = world.irecv(in, (r + p - 1) % p);
    auto leaving = world.isend(out, (r + 1) % p);
  }
  CHECK(in == std::vector<int>(1000, (r + p - 1) % p));

  auto arriving = world.irecv(in, r, 3);
  CHECK(!arriving.test());  // nobody has sent yet
  auto leaving = world.isend(out, r, 3);
  while (!arriving.test())
    ;
  CHECK(arriving.test());  // and stays so
  CHECK(in == out);
  CHECK(Request().test());
}

TEST_CASE("communicator: mistakes are named with their values") {
  const auto world = Communicator::world();
  const int r = world.rank();
  std::vector<char> four(4), two(2);

  auto leaving = world.isend(two, r);
  CHECK(message_of([&] { world.receive(four, r); }) ==
        fmt::format("receive: rank {} sent 2 bytes with tag 0; expected 4", r));
  leaving.wait();
  CHECK(contains(message_of([&] { world.send(two, world.size()); }), "MPI_Isend: MPI_ERR_RANK"));
  CHECK(contains(message_of([&] { world.send(two, r, -1); }), "send: tag -1 is outside 0.."));
  CHECK(message_of([&] { (void)world.split(-1, 0); }) == "split: colour -1 is negative");

  // Never read: the length alone is refused.
  const std::span<char> huge(four.data(), std::size_t{1} << 31);
  CHECK(message_of([&] { world.send(huge, r); }) == "send: 2147483648 bytes in one message; MPI takes at most 2147483647");
}

TEST_CASE("machine: hosts that compute alike are accepted; one that does not is named on every rank") {
  const auto world = Communicator::world();
  CHECK(message_of([&] { require_same_machine(world, machine_signature()); }) == "");
  CHECK(message_of([&] { require_suitable_cpu(); }) == "");

  const int last = world.size() - 1;
  const std::string mine = world.rank() == last && last > 0 ? "pdp-11, middle-endian" : machine_signature();
  const std::string message = message_of([&] { require_same_machine(world, mine); });
  if (last == 0) {
    CHECK(message == "");
  } else {
    char host[MPI_MAX_PROCESSOR_NAME] = {};
    int length = 0;
    MPI_Get_processor_name(host, &length);
    CHECK(contains(message, fmt::format("rank 0 on {} is", host)));
    CHECK(contains(message, fmt::format("rank {} on {} is", last, host)));
    CHECK(contains(message, "is 'pdp-11, middle-endian'"));
  }
}

TEST_CASE("counting: a message is counted where it is sent") {
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank();
  std::vector<double> out(3), in(3);
  const Traffic traffic = traffic_of(world, [&] { world.exchange(out, (r + 1) % p, in, (r + p - 1) % p); });
  CHECK(traffic == Traffic{static_cast<std::size_t>(p), static_cast<std::size_t>(p) * 24});
  CHECK(traffic_of(world, [] {}) == Traffic{0, 0});
}
