#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/error.hpp"
#include "core/random.hpp"
#include "parallel/collectives/choose.hpp"
#include "parallel/collectives/hierarchical.hpp"
#include "parallel/collectives/links.hpp"
#include "parallel/collectives/sum.hpp"
#include "tests/parallel/pmpi_count.hpp"

using namespace tandem;

namespace {

using Values = std::vector<real>;

// Every way to an allreduce: over messages, and in memory that is summed.
struct Way {
  std::string name;
  std::function<void(std::span<real>, const Communicator&)> run;
  std::function<bool(int ranks)> keeps_rank_tree;
  std::function<Traffic(int ranks, std::size_t bytes)> traffic;
};

void in_memory(SummedMemory& memory, std::span<real> values) {
  std::ranges::copy(values, memory.mine().begin());
  memory.allreduce(0, values.size());
  std::ranges::copy(memory.mine(), values.begin());
}

// Pretends that every `size` ranks that follow each other are a host.
Communicator pretended_node(const Communicator& comm, int size) { return comm.split(comm.rank() / size, comm.rank()); }

std::vector<Way> ways() {
  std::vector<Way> all;
  for (const AllreduceAlgorithm& a : allreduce_algorithms())
    all.push_back({std::string(a.name), [&a](std::span<real> values, const Communicator& comm) { run(a.plan, values, comm); },
                   a.keeps_rank_tree, a.traffic});
  const auto always = [](int) { return true; };
  all.push_back({"window",
                 [](std::span<real> values, const Communicator& comm) {
                   SharedWindow window(comm, values.size());
                   in_memory(window, values);
                 },
                 always, [](int, std::size_t) { return Traffic{0, 0}; }});
  for (const int size : {1, 2, 3})
    all.push_back({fmt::format("hierarchical, nodes of {}", size),
                   [size](std::span<real> values, const Communicator& comm) {
                     HierarchicalMemory memory(comm, pretended_node(comm, size), values.size());
                     in_memory(memory, values);
                   },
                   [size](int ranks) { return size < 3 && std::has_single_bit(static_cast<unsigned>(ranks)); },
                   [size](int ranks, std::size_t bytes) { return doubling_allreduce_traffic((ranks + size - 1) / size, bytes); }});
  return all;
}

std::set<std::size_t> lengths(int p) {
  const auto n = static_cast<std::size_t>(p);
  return {0, 1, n - 1, n, n + 1, 97, 4099, 100003};
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
  for (const Way& algorithm : ways())
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

TEST_CASE("allreduce: those that keep the rank tree give its bits; the ring and the naive way add in another order") {
  const auto world = Communicator::world();
  const int p = world.size();
  const Values expected = tree_over_ranks(p, 10007);
  for (const Way& algorithm : ways()) {
    CAPTURE(algorithm.name);
    Values sum = numbers(world.rank(), expected.size());
    algorithm.run(sum, world);
    if (algorithm.keeps_rank_tree(p)) CHECK(sum == expected);
    if (algorithm.name == "ring" && p > 2) CHECK(sum != expected);
    if (algorithm.name == "naive" && p > 3) CHECK(sum != expected);
    Values first = sum;  // whatever the order: the same bits everywhere
    broadcast(first, 0, world);
    CHECK(first == sum);
  }
}

TEST_CASE("hierarchical: says that it keeps the rank tree only where nodes are subtrees of it") {
  const auto world = Communicator::world();
  const int p = world.size();
  const bool power = std::has_single_bit(static_cast<unsigned>(p));
  CHECK(HierarchicalMemory(world, pretended_node(world, 2), 10).keeps_rank_tree() == power);
  if (p == 4) {
    CHECK_FALSE(HierarchicalMemory(world, pretended_node(world, 3), 10).keeps_rank_tree());         // 0 1 2 | 3
    CHECK_FALSE(HierarchicalMemory(world, world.split(world.rank() % 2, 0), 10).keeps_rank_tree());  // 0 2 | 1 3
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
  for (const Way& algorithm : ways())
    for (const std::size_t n : lengths(world.size())) {
      CAPTURE(algorithm.name);
      CAPTURE(n);
      Values values = integers(world.rank(), n);
      const Traffic counted = traffic_of(world, [&] { algorithm.run(values, world); });
      CHECK(counted == algorithm.traffic(world.size(), n * sizeof(real)));
    }
}

TEST_CASE("allreduce: the formulas are those of the literature") {
  // N log2 N n; with r ranks folded in and out + 2 r n; the others always 2 (N-1) n
  CHECK(doubling_allreduce_traffic(1, 100) == Traffic{0, 0});
  CHECK(doubling_allreduce_traffic(4, 100) == Traffic{8, 800});
  CHECK(doubling_allreduce_traffic(6, 100) == Traffic{12, 1200});
  CHECK(halving_allreduce_traffic(8, 100) == Traffic{48, 1400});
  CHECK(halving_allreduce_traffic(6, 100) == Traffic{20, 1000});
  CHECK(ring_allreduce_traffic(6, 100) == Traffic{60, 1000});
  CHECK(tree_allreduce_traffic(6, 100) == Traffic{10, 1000});
  CHECK(naive_allreduce_traffic(6, 100) == Traffic{10, 1000});

  const Link link{.alpha = 1000, .beta = 10, .gamma = 1};
  CHECK(doubling_allreduce_cost(1, 100, link) == 0);
  CHECK(doubling_allreduce_cost(4, 100, link) == 2 * (1000 + 1000 + 100));
  CHECK(doubling_allreduce_cost(6, 100, link) == 2 * 2100 + 2 * 2000 + 100);
  CHECK(ring_allreduce_cost(4, 100, link) == 6 * 1000 + 1500 + 75);
  CHECK(halving_allreduce_cost(4, 100, link) == 4 * 1000 + 1500 + 75);
  CHECK(halving_allreduce_cost(6, 100, link) == 4 * 1000 + 1500 + 75 + 2 * 2000 + 100);
  CHECK(tree_allreduce_cost(4, 100, link) == 2 * (2 * 2000 + 100));
  CHECK(naive_allreduce_cost(4, 100, link) == 6 * 2000 + 3 * 100);
  CHECK(shared_window_allreduce_cost(4, 100, link) == 2000 + 2000 + 75);
  CHECK(broadcast_cost(1, 100, link) == 0);
  CHECK(broadcast_cost(5, 100, link) == 3 * 2000);
}

TEST_CASE("plans: the clock that walks along them confirms every cost formula, the count every traffic formula") {
  const Link link{.alpha = 1000, .beta = 10, .gamma = 1};
  for (int p = 1; p <= 33; ++p)
    for (const AllreduceAlgorithm& algorithm : allreduce_algorithms()) {
      CAPTURE(algorithm.name);
      CAPTURE(p);
      const auto n = static_cast<std::size_t>(p) * std::bit_floor(static_cast<unsigned>(p)) * 16;  // all chunks alike
      const std::vector<Plan> plans = plans_of_all(algorithm.plan, p, n);
      CHECK(traffic(plans, 1) == algorithm.traffic(p, n));
      const Seconds formula = algorithm.cost(p, n, link);
      if (algorithm.name == "tree" && !std::has_single_bit(static_cast<unsigned>(p)))
        CHECK(duration(plans, 1, link) <= formula);  // some rounds lack a partner on the longest way
      else
        CHECK(duration(plans, 1, link) == doctest::Approx(formula).epsilon(1e-12));
      for (const std::size_t uneven : {std::size_t{0}, std::size_t{1}, n + 1})  // they end, and lose or add no byte
        CHECK(traffic(plans_of_all(algorithm.plan, p, uneven), 4) == algorithm.traffic(p, 4 * uneven));
    }
}

TEST_CASE("plans: the clock confirms the costs of the two halves, and of what begins or ends at one rank") {
  const Link link{.alpha = 1000, .beta = 10, .gamma = 1};
  const auto at_root = [](Plan (*plan)(int, int, std::size_t, int), int p, std::size_t n, int root) {
    std::vector<Plan> plans;
    for (int rank = 0; rank < p; ++rank) plans.push_back(plan(rank, p, n, root));
    return plans;
  };
  const auto same = [](Seconds walked, Seconds formula) { return walked == doctest::Approx(formula).epsilon(1e-12); };
  for (int p = 1; p <= 16; ++p) {
    CAPTURE(p);
    const auto n = static_cast<std::size_t>(p) * 16;
    const bool power = std::has_single_bit(static_cast<unsigned>(p));
    const auto ring_sum = plans_of_all(ring_reduce_scatter, p, n), ring_copy = plans_of_all(ring_allgather, p, n);
    CHECK(same(duration(ring_sum, 1, link), ring_reduce_scatter_cost(p, n, link)));
    CHECK(same(duration(ring_copy, 1, link), ring_allgather_cost(p, n, link)));
    CHECK(traffic(ring_sum, 1) == ring_allgather_traffic(p, n));
    CHECK(traffic(ring_copy, 1) == ring_allgather_traffic(p, n));
    if (power) {
      const auto sum = plans_of_all(halving_reduce_scatter, p, n), copy = plans_of_all(doubling_allgather, p, n);
      CHECK(same(duration(sum, 1, link), halving_reduce_scatter_cost(p, n, link)));
      CHECK(same(duration(copy, 1, link), doubling_allgather_cost(p, n, link)));
      CHECK(traffic(sum, 1) == doubling_allgather_traffic(p, n));
      CHECK(traffic(copy, 1) == doubling_allgather_traffic(p, n));
    }
    for (const int root : {0, p - 1}) {
      const auto tree = at_root(tree_broadcast, p, n, root), sum = at_root(tree_reduce, p, n, root);
      if (power) CHECK(same(duration(tree, 1, link), broadcast_cost(p, n, link)));
      if (power) CHECK(same(duration(sum, 1, link), reduce_cost(p, n, link)));
      CHECK(duration(tree, 1, link) <= broadcast_cost(p, n, link));  // some rounds lack a partner on the longest way
      CHECK(duration(sum, 1, link) <= reduce_cost(p, n, link));
      CHECK(traffic(sum, 1) == broadcast_traffic(p, n));
      for (const auto flat : {flat_gather, flat_scatter}) {
        CHECK(same(duration(at_root(flat, p, n, root), 1, link), gather_cost(p, n, link)));
        CHECK(traffic(at_root(flat, p, n + 1, root), 4) == gather_traffic(p, n + 1, 4, root));
      }
    }
    CHECK(same(duration(plans_of_all(dissemination_barrier, p, 0), 1, link), barrier_cost(p, link)));
  }
  // Two hosts of four ranks: a window in each, one exchange between them, a copy in each.
  const Link memory{.alpha = 100, .beta = 2, .gamma = 1};
  CHECK(hierarchical_allreduce_cost(2, 4, 100, link, memory) == (200 + 400 + 75) + (1000 + 1000 + 100) + (200 + 400));
}

TEST_CASE("plans: two that wait for each other are found out, and so is a message of another length") {
  const Piece all{0, 5};
  const std::vector<Plan> cycle{{{.from = 1, .in = all}, {.to = 1, .out = all}}, {{.from = 0, .in = all}, {.to = 0, .out = all}}};
  CHECK_THROWS_WITH_AS(duration(cycle, 4, Link{}), doctest::Contains("rank 0 waits for ever in its move 0"), Error);
  // Both send first: this passes while MPI buffers, and hangs when it does not.
  const std::vector<Plan> both_send{{{.to = 1, .out = all}, {.from = 1, .in = all}}, {{.to = 0, .out = all}, {.from = 0, .in = all}}};
  CHECK_THROWS_WITH_AS(duration(both_send, 4, Link{}), doctest::Contains("waits for ever"), Error);
  const std::vector<Plan> short_one{{{.to = 1, .out = all}}, {{.from = 0, .in = {0, 4}}}};
  CHECK_THROWS_WITH_AS(duration(short_one, 4, Link{}), doctest::Contains("sends 5 values to rank 1, which expects 4"), Error);
}

TEST_CASE("link profile: measured times at their lengths, straight lines in between, one line that fits best") {
  const LinkProfile measured({{.bytes = 100, .message = 10, .addition = 1}, {.bytes = 200, .message = 30, .addition = 3}});
  CHECK(measured.message(100) == 10);
  CHECK(measured.message(150) == 20);
  CHECK(measured.message(300) == 50);
  CHECK(measured.message(1) == 10);  // shorter than the shortest: latency
  CHECK(measured.addition(150) == 2);
  const Link line = LinkProfile(Link{.alpha = 7, .beta = 3, .gamma = 2}).fit();
  CHECK(line.alpha == doctest::Approx(7));
  CHECK(line.beta == doctest::Approx(3));
  CHECK(line.gamma == doctest::Approx(2));
  CHECK_THROWS_AS(LinkProfile({{.bytes = 1, .message = 1, .addition = 1}}), Error);
  CHECK_THROWS_AS(LinkProfile({{.bytes = 2, .message = 1, .addition = 1}, {.bytes = 2, .message = 1, .addition = 1}}), Error);
}

TEST_CASE("choice: latency asks for few rounds, bandwidth for few bytes, and the rank tree for no ring") {
  const Link slow_start{.alpha = 1, .beta = 1e-9, .gamma = 0}, slow_bytes{.alpha = 1e-9, .beta = 1, .gamma = 0};
  CHECK(choose_allreduce(8, 4096, slow_start).name == "doubling");
  CHECK(choose_allreduce(6, 4096 * 6, slow_bytes).name == "ring");
  CHECK(choose_allreduce(8, 4096, slow_bytes, {.rank_tree_only = true}).name == "halving");
  const auto world = Communicator::world();
  if (world.size() == 1) return;
  const LinkProfile links = measure_links(world);
  for (const LinkProfile::Point& point : links.points()) {
    CHECK(point.message > 0);
    CHECK(max_over_ranks(point.message, world) == point.message);  // all ranks will choose alike
  }
}

TEST_CASE("stepped allreduces: several under way at once do not mix, in whatever order they are stepped") {
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank();
  const std::vector<std::size_t> sizes{1, 50021, 0, 300, 20000};
  SharedWindow window(world, 70322, 5);
  for (int step = 0; step < 20; ++step) {
    std::vector<Values> buckets;
    std::vector<std::unique_ptr<Collective>> messages, sums;
    std::size_t offset = 0;
    for (std::size_t b = 0; b < sizes.size(); ++b) {
      buckets.push_back(integers(r + static_cast<int>(b) + step, sizes[b]));
      std::ranges::copy(buckets[b], window.mine().begin() + static_cast<std::ptrdiff_t>(offset));
      const AllreduceAlgorithm& algorithm = allreduce_algorithms()[(b + static_cast<std::size_t>(step)) % allreduce_algorithms().size()];
      messages.push_back(start(algorithm.plan(r, p, sizes[b]), buckets[b], world, static_cast<int>(b)));
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

TEST_CASE("reduce-scatter: rank r holds the sum of its chunk, in half of the allreduce's traffic; allgather gives it to all") {
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank();
  struct Halves {
    std::string name;
    Algorithm reduce_scatter, allgather;
    int my_chunk;
  };
  std::vector<Halves> all{{"ring", ring_reduce_scatter, ring_allgather, r}};
  if (std::has_single_bit(static_cast<unsigned>(p))) all.push_back({"halving", halving_reduce_scatter, doubling_allgather, halving_owner(r, p)});
  else CHECK_THROWS_WITH_AS(halving_reduce_scatter(r, p, 10), doctest::Contains("power of two"), Error);
  for (const Halves& halves : all)
    for (const std::size_t n : lengths(p)) {
      CAPTURE(halves.name);
      CAPTURE(n);
      Values values = integers(r, n), sum(n);
      for (int rank = 0; rank < p; ++rank) std::ranges::transform(sum, integers(rank, n), sum.begin(), std::plus<>{});
      const Traffic counted = traffic_of(world, [&] { run(halves.reduce_scatter, values, world); });
      CHECK(std::ranges::equal(chunk(values, halves.my_chunk, p), chunk(sum, halves.my_chunk, p)));
      CHECK(counted.bytes == static_cast<std::size_t>(p - 1) * n * sizeof(real));
      const auto mine = chunk(std::span(values), halves.my_chunk, p);
      for (real& v : values)  // what is not mine does not count
        if (&v < mine.data() || &v >= mine.data() + mine.size()) v = -1;
      run(halves.allgather, values, world);
      CHECK(values == sum);
    }
}

TEST_CASE("gather and scatter: chunk r travels between rank r and the root, once, and nothing else does") {
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank();
  for (int root = 0; root < p; ++root)
    for (const std::size_t n : lengths(p)) {
      const Values whole = integers(7, n);
      Values values = r == root ? whole : Values(n, -1);
      const Traffic counted = traffic_of(world, [&] { scatter(values, root, world); });
      CHECK(std::ranges::equal(chunk(std::span(values), r, p), chunk(std::span<real>(const_cast<real*>(whole.data()), n), r, p)));
      CHECK(counted == gather_traffic(p, n, sizeof(real), root));

      Values parts(n, -1);
      std::ranges::copy(chunk(std::span(values), r, p), chunk(std::span(parts), r, p).begin());
      CHECK(traffic_of(world, [&] { gather(parts, root, world); }) == gather_traffic(p, n, sizeof(real), root));
      if (r == root) CHECK(parts == whole);
    }
  CHECK_THROWS_WITH_AS(scatter({}, p, world), doctest::Contains("there is no rank"), Error);
  CHECK_THROWS_WITH_AS(gather({}, -1, world), doctest::Contains("there is no rank"), Error);
}

TEST_CASE("reduce: the sum reaches the root, whichever it is, in p - 1 messages") {
  const auto world = Communicator::world();
  const int p = world.size(), r = world.rank();
  for (int root = 0; root < p; ++root) {
    Values values = integers(r, 1001), sum(1001);
    for (int rank = 0; rank < p; ++rank) std::ranges::transform(sum, integers(rank, 1001), sum.begin(), std::plus<>{});
    const Traffic counted = traffic_of(world, [&] { reduce(values, root, world); });
    if (r == root) CHECK(values == sum);
    CHECK(counted == broadcast_traffic(p, 1001 * sizeof(real)));
  }
}

TEST_CASE("barrier: nobody leaves before the last has come") {
  const auto world = Communicator::world();
  const int p = world.size();
  for (int late = 0; late < p; ++late) {
    SharedWindow window(world, 1);  // a value that all see
    if (world.rank() == late) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      std::atomic_ref(window.mine()[0]).store(1);
    }
    const Traffic counted = traffic_of(world, [&] { barrier(world); });
    CHECK(std::atomic_ref(const_cast<real&>(window.of(late)[0])).load() == 1);
    CHECK(counted == barrier_traffic(p));
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
