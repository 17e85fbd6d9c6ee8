#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "parallel/collectives/collectives.hpp"
#include "parallel/collectives/shared_window.hpp"
#include "parallel/collectives/sum.hpp"
#include "tests/parallel/pmpi_count.hpp"

using namespace tandem;

namespace {

using Values = std::vector<real>;

void window_allreduce(std::span<real> values, const Communicator& comm) {
  SharedWindow window(comm, values.size());
  std::ranges::copy(values, window.mine().begin());
  window.allreduce(0, values.size());
  std::ranges::copy(window.mine(), values.begin());
}

struct Algorithm {
  std::string name;
  void (*run)(std::span<real>, const Communicator&);
  bool tree_order;
  Traffic (*traffic)(int, std::size_t);
};
const Algorithm algorithms[] = {
    {"recursive doubling", recursive_doubling_allreduce, true, recursive_doubling_allreduce_traffic},
    {"ring", ring_allreduce, false, ring_allreduce_traffic},
    {"shared window", window_allreduce, true,
     [](int, std::size_t) {
       return Traffic{0, 0};
     }},
};

std::set<std::size_t> lengths(int p) {
  const auto n = static_cast<std::size_t>(p);
  return {0, 1, n - 1, n, n + 1, 97, 4096, 100003};
}

// Small integers: every partial sum is exact in a float, so any order gives the same result.
Values integers(int rank, std::size_t n) {
  Values values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<real>(static_cast<int>(i * 7 + 3) % 11 - 5 + rank);
  return values;
}

// Numbers of very different size: another order of addition rounds differently.
Values numbers(int rank, std::size_t n) {
  Random random(1, static_cast<std::uint64_t>(rank));
  Values values(n);
  for (real& v : values) v = static_cast<real>(random.normal() * std::exp(3 * random.normal()));
  return values;
}

// The rank tree, written a second time as its recursive definition: fold the first pairs, then halve.
real tree(std::span<const real> v) {
  if (v.size() == 1) return v[0];
  if (!std::has_single_bit(v.size())) {
    const std::size_t folded = v.size() - std::bit_floor(v.size());
    Values leaves;
    for (std::size_t i = 0; i < folded; ++i) leaves.push_back(v[2 * i] + v[2 * i + 1]);
    leaves.insert(leaves.end(), v.begin() + static_cast<std::ptrdiff_t>(2 * folded), v.end());
    return tree(leaves);
  }
  return tree(v.first(v.size() / 2)) + tree(v.subspan(v.size() / 2));
}

Values tree_over_ranks(int p, std::size_t n) {
  std::vector<Values> parts;
  for (int rank = 0; rank < p; ++rank) parts.push_back(numbers(rank, n));
  Values sum(n), column(parts.size());
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t rank = 0; rank < parts.size(); ++rank) column[rank] = parts[rank][i];
    sum[i] = tree(column);
  }
  return sum;
}

}  // namespace

TEST_CASE("allreduce: every algorithm gives the sum over the ranks, at every length") {
  const auto world = Communicator::world();
  const int p = world.size();
  for (const auto& algorithm : algorithms)
    for (const std::size_t n : lengths(p)) {
      CAPTURE(algorithm.name);
      CAPTURE(n);
      Values sum = integers(world.rank(), n), expected(n);
      for (int rank = 0; rank < p; ++rank)
        std::ranges::transform(expected, integers(rank, n), expected.begin(), std::plus<>{});
      if (p > 1 && n > 1000) CHECK(sum != expected);  // before the operation the law does not hold
      algorithm.run(sum, world);
      CHECK(sum == expected);
    }
}

TEST_CASE("allreduce: tree-order algorithms give the bits of the rank tree; from three ranks on the ring does not") {
  const auto world = Communicator::world();
  const Values expected = tree_over_ranks(world.size(), 10007);
  for (const auto& algorithm : algorithms) {
    CAPTURE(algorithm.name);
    Values sum = numbers(world.rank(), expected.size());
    algorithm.run(sum, world);
    CHECK((sum == expected) == (algorithm.tree_order || world.size() < 3));
  }
}

TEST_CASE("allreduce: for 2^k ranks the rank tree is the pairwise tree ((0+1)+(2+3))+...") {
  const Values v = numbers(0, 8);
  const real pairwise = ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
  CHECK(tree(v) == pairwise);
  CHECK(tree(v) != std::accumulate(v.begin(), v.end(), real{0}));
}

TEST_CASE("tree_sum: adds any number of vectors in rank-tree order") {
  for (int p = 1; p <= 17; ++p) {
    std::vector<Values> parts;
    for (int rank = 0; rank < p; ++rank) parts.push_back(numbers(rank, 33));
    Values sum(33);
    tree_sum(sum, std::vector<std::span<const real>>(parts.begin(), parts.end()));
    CHECK(sum == tree_over_ranks(p, 33));
  }
}

TEST_CASE("allreduce: messages and bytes at MPI's door are the formulas', exactly") {
  const auto world = Communicator::world();
  for (const auto& algorithm : algorithms)
    for (const std::size_t n : lengths(world.size())) {
      CAPTURE(algorithm.name);
      CAPTURE(n);
      Values values = integers(world.rank(), n);
      const Traffic counted = traffic_of(world, [&] { algorithm.run(values, world); });
      CHECK(counted == algorithm.traffic(world.size(), n * sizeof(real)));
    }
}

TEST_CASE("allreduce: the formulas are those of the literature") {
  // N log2 N n; with r ranks folded in and out + 2 r n; the ring always 2 (N-1) n
  CHECK(recursive_doubling_allreduce_traffic(1, 100) == Traffic{0, 0});
  CHECK(recursive_doubling_allreduce_traffic(4, 100) == Traffic{8, 800});
  CHECK(recursive_doubling_allreduce_traffic(6, 100) == Traffic{12, 1200});
  CHECK(ring_allreduce_traffic(6, 100) == Traffic{60, 1000});

  const Link link{.alpha = 1000, .beta = 10, .gamma = 1};
  CHECK(recursive_doubling_allreduce_cost(1, 100, link) == 0);
  CHECK(recursive_doubling_allreduce_cost(4, 100, link) == 2 * (1000 + 1000 + 100));
  CHECK(recursive_doubling_allreduce_cost(6, 100, link) == 2 * 2100 + 2 * 2000 + 100);
  CHECK(ring_allreduce_cost(4, 100, link) == 6 * 1000 + 1500 + 75);
  CHECK(shared_window_allreduce_cost(4, 100, link) == 2000 + 2000 + 75);
  CHECK(broadcast_cost(1, 100, link) == 0);
  CHECK(broadcast_cost(5, 100, link) == 3 * 2000);
}

TEST_CASE("stepped allreduces: several under way at once do not mix, in whatever order they are stepped") {
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank();
  const std::vector<std::size_t> sizes{1, 50021, 0, 300, 20000};
  SharedWindow window(world, 70322, 5);
  for (int step = 0; step < 20; ++step) {
    std::vector<Values> buckets;
    std::vector<std::unique_ptr<Allreduce>> messages, sums;
    std::size_t offset = 0;
    for (std::size_t b = 0; b < sizes.size(); ++b) {
      buckets.push_back(integers(r + static_cast<int>(b) + step, sizes[b]));
      std::ranges::copy(buckets[b], window.mine().begin() + static_cast<std::ptrdiff_t>(offset));
      messages.push_back(start_recursive_doubling(buckets[b], world, static_cast<int>(b)));
      sums.push_back(window.start(offset, sizes[b], static_cast<int>(b)));
      offset += sizes[b];
    }
    for (std::size_t b = 0; b < sizes.size(); ++b) {
      for (std::size_t turn = 0; turn < sizes.size(); ++turn) {  // each rank in another order
        const std::size_t other = (turn + static_cast<std::size_t>(r + step)) % sizes.size();
        messages[other]->progress();
        sums[other]->progress();
      }
      messages[b]->wait();
      sums[b]->wait();
      CHECK(sums[b]->progress());  // and stays done
    }
    offset = 0;
    for (std::size_t b = 0; b < sizes.size(); ++b) {
      Values expected(sizes[b]);
      for (int rank = 0; rank < p; ++rank)
        std::ranges::transform(expected, integers(rank + static_cast<int>(b) + step, sizes[b]), expected.begin(),
                               std::plus<>{});
      CHECK(buckets[b] == expected);
      CHECK(std::ranges::equal(window.mine().subspan(offset, sizes[b]), expected));
      offset += sizes[b];
    }
  }
}

TEST_CASE("shared window: only the asked range is summed; the rest of each part stays its owner's") {
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank();
  SharedWindow window(world, 1000, 2);
  std::ranges::fill(window.mine(), static_cast<real>(r + 1));
  window.allreduce(13, 700, 1);
  Values expected(1000, static_cast<real>(r + 1));
  std::fill_n(expected.begin() + 13, 700, static_cast<real>(p * (p + 1) / 2));
  CHECK(std::ranges::equal(window.mine(), expected));
  for (int rank = 0; rank < p; ++rank) {
    CHECK(reinterpret_cast<std::uintptr_t>(window.of(rank).data()) % 64 == 0);
    CHECK(window.of(rank)[999] == static_cast<real>(rank + 1));  // I see everybody's part
  }
  world.barrier();  // the others may still be looking
}

TEST_CASE("shared window: a sum goes on while a long message is under way between the same ranks") {
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank();
  if (p == 1) return;
  SharedWindow window(world, 10);
  std::ranges::fill(window.mine(), real{1});
  Values mail(1000003);
  if (r == 0) {  // waits for the sum first, for its message afterwards
    auto arriving = world.irecv(mail, 1);
    window.allreduce(0, 10);
    arriving.wait();
    CHECK(mail[1000002] == 7);
  } else {
    if (r == 1) {
      mail[1000002] = 7;
      world.send(mail, 0);  // blocks until rank 0 has answered, which it does while waiting for the sum
    }
    window.allreduce(0, 10);
  }
  CHECK(window.mine()[9] == static_cast<real>(p));
}

TEST_CASE("broadcast: every rank gets the root's values, in p - 1 messages, from any root") {
  const auto world = Communicator::world();
  const int p = world.size();
  for (int root = 0; root < p; ++root)
    for (const std::size_t n : lengths(p)) {
      Values values = integers(world.rank(), n);
      const Traffic counted = traffic_of(world, [&] { broadcast(values, root, world); });
      CHECK(values == integers(root, n));
      CHECK(counted == broadcast_traffic(p, n * sizeof(real)));
    }
}

TEST_CASE("chunk: the p chunks follow each other, cover all values, and differ by at most one in length") {
  Values values(1000);
  for (const int p : {1, 3, 7, 64})
    for (const std::size_t n : {std::size_t{0}, std::size_t{5}, std::size_t{1000}}) {
      const std::span<real> all(values.data(), n);
      const real* next = all.data();
      for (int k = 0; k < p; ++k) {
        const auto part = chunk(all, k, p);
        CHECK(part.data() == next);
        CHECK(part.size() - n / static_cast<std::size_t>(p) <= 1);
        CHECK(chunk(all, k - 3 * p, p).data() == part.data());
        next += part.size();
      }
      CHECK(next == all.data() + n);
    }
}

TEST_CASE("ring: after the reduce-scatter rank r holds the sum of chunk r, in half of the ring's traffic") {
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank();
  for (const std::size_t n : lengths(p)) {
    Values values = integers(r, n), sum(n);
    for (int rank = 0; rank < p; ++rank) std::ranges::transform(sum, integers(rank, n), sum.begin(), std::plus<>{});
    const Traffic counted = traffic_of(world, [&] { ring_reduce_scatter(values, world); });
    CHECK(std::ranges::equal(chunk(values, r, p), chunk(sum, r, p)));
    CHECK(counted.bytes == static_cast<std::size_t>(p - 1) * n * sizeof(real));
    ring_allgather(values, world);
    CHECK(values == sum);
  }
}

TEST_CASE("texts: gathered in rank order, broadcast at any length; the largest number reaches every rank") {
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank();
  const auto texts = gather_text(std::string(static_cast<std::size_t>(r * 1000), 'a'), world);
  CHECK(texts.size() == (r == 0 ? static_cast<std::size_t>(p) : 0));
  for (std::size_t rank = 0; rank < texts.size(); ++rank) CHECK(texts[rank].size() == rank * 1000);
  CHECK(broadcast_text(r == p - 1 ? "from the last" : "dropped", p - 1, world) == "from the last");
  CHECK(broadcast_text(r == 0 ? "" : "dropped", 0, world) == "");
  CHECK(max_over_ranks(-r, world) == 0);
}
