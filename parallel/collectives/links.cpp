#include "parallel/collectives/links.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

#include "core/error.hpp"
#include "core/memory.hpp"
#include "parallel/collectives/collectives.hpp"
#include "parallel/collectives/sum.hpp"

namespace tandem {
namespace {

constexpr std::size_t largest = std::size_t{16} << 20;

// The least over repetitions, each a few turns long so that the clock can see it: whatever disturbs a machine only adds time.
template <class F>
Seconds least_time(std::size_t bytes, const F& work) {
  constexpr int repetitions = 7;
  const int turns = bytes < 1 << 16 ? 10 : 1;
  Seconds least = std::numeric_limits<Seconds>::infinity();
  work();  // connections, page faults
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    const auto begin = std::chrono::steady_clock::now();
    for (int turn = 0; turn < turns; ++turn) work();
    least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / turns);
  }
  return least;
}

}  // namespace

LinkProfile measure_links(const Communicator& comm) {
  require(comm.size() > 1, "measure links: one rank has nobody to exchange messages with");
  const int partner = comm.rank() ^ 1;
  const bool alone = partner >= comm.size();  // the last of an odd number of ranks
  const Scratch<> out(largest / sizeof(real)), in(largest / sizeof(real));
  std::ranges::fill(out.values(), real{0});
  std::ranges::fill(in.values(), real{0});
  std::vector<LinkProfile::Point> points;
  for (std::size_t bytes = 8; bytes <= largest; bytes *= 4) {
    const std::size_t count = bytes / sizeof(real);
    barrier(comm);
    const Seconds message = alone ? 0 : least_time(bytes, [&] { comm.exchange(out.first(count), partner, in.first(count), partner); });
    const Seconds addition = least_time(bytes, [&] { add(out.first(count), in.first(count)); });
    points.push_back({.bytes = bytes, .message = max_over_ranks(message, comm), .addition = max_over_ranks(addition, comm)});
  }
  return LinkProfile(std::move(points));
}

}  // namespace tandem
