// The allreduce algorithms side by side.
#include <algorithm>
#include <array>
#include <bit>

#include "core/error.hpp"
#include "parallel/collectives/algorithms.hpp"

namespace tandem {
namespace {

bool always(int) { return true; }
bool up_to_two(int ranks) { return ranks <= 2; }
bool up_to_three(int ranks) { return ranks <= 3; }
bool powers_of_two(int ranks) { return std::has_single_bit(static_cast<unsigned>(ranks)); }

constexpr std::array<AllreduceAlgorithm, 5> algorithms{{
    {"naive", naive_allreduce, naive_allreduce_cost, naive_allreduce_traffic, up_to_three},
    {"tree", tree_allreduce, tree_allreduce_cost, tree_allreduce_traffic, powers_of_two},
    {"ring", ring_allreduce, ring_allreduce_cost, ring_allreduce_traffic, up_to_two},
    {"doubling", doubling_allreduce, doubling_allreduce_cost, doubling_allreduce_traffic, always},
    {"halving", halving_allreduce, halving_allreduce_cost, halving_allreduce_traffic, always},
}};

// The size of things between processes of one host: a microsecond a message, 5 GB/s each way, 10 GB/s added. It only decides where
// few messages give way to few bytes: between 2 and 20 KB for 2 to 8 ranks.
constexpr Link one_host{.alpha = 1e-6, .beta = 2e-10, .gamma = 1e-10};

}  // namespace

std::span<const AllreduceAlgorithm> allreduce_algorithms() { return algorithms; }

const AllreduceAlgorithm& allreduce_algorithm(std::string_view name) {
  std::string known;
  for (const AllreduceAlgorithm& algorithm : algorithms) {
    if (algorithm.name == name) return algorithm;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", algorithm.name);
  }
  throw UsageError(fmt::format("there is no allreduce '{}' over messages; there are {}", name, known));
}

const AllreduceAlgorithm& cheapest_allreduce(int ranks, std::size_t bytes) {
  return *std::ranges::min_element(algorithms, {}, [=](const AllreduceAlgorithm& a) { return a.cost(ranks, bytes, one_host); });
}

Traffic allreduce_traffic(int ranks, std::size_t bytes) { return cheapest_allreduce(ranks, bytes).traffic(ranks, bytes); }

}  // namespace tandem
