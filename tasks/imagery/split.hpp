// Parts of a labelled set: what to learn from, what to tune on, what to be judged by.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tasks/imagery/tiles.hpp"

namespace tandem {

struct SplitFractions {
  double train = 0.8, validation = 0.1, test = 0.1;
};

// Sample numbers, ascending. Every sample stands in exactly one part.
struct Split {
  std::vector<Index> train, validation, test;
};

// Cuts each class by itself, so that every part has the classes in proportion: the counts of a class are its exact shares
// rounded by largest remainder, and which samples go where is a permutation keyed by (seed, class). The result depends on
// nothing but the arguments. `classes` serves for messages.
// Errors: fractions that are negative or do not sum to 1, a label beyond the classes, a class too small to be in every part.
Split stratified_split(std::span<const std::int32_t> labels, const std::vector<std::string>& classes, std::uint64_t seed,
                       const SplitFractions& fractions = {});

struct ChannelStatistics {
  std::vector<double> mean, deviation;  // of pixel values / 255, one per channel
};

// Mean and standard deviation of each channel over the tiles `which`. Give the training part alone: statistics that have seen
// the test images leak them. Sums of bytes and of their squares are whole numbers, hence exact in any order.
// Errors: no tiles, a number beyond the set.
ChannelStatistics channel_statistics(const TileSet& tiles, std::span<const Index> which);

}  // namespace tandem
