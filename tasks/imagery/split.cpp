#include "tasks/imagery/split.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/random.hpp"

namespace tandem {
namespace {

using Counts = std::array<Index, 3>;  // train, validation, test

// n cut in proportion to `fractions` by largest remainder: each part gets its share rounded down, and the samples that are
// left go to the parts that lost most by the rounding (among equals, to the first).
Counts apportion(Index n, const std::array<double, 3>& fractions) {
  Counts counts{};
  std::array<double, 3> remainders{};
  for (std::size_t part = 0; part < 3; ++part) {
    const double share = static_cast<double>(n) * fractions[part];
    counts[part] = static_cast<Index>(share + 1e-9);  // 0.1 is not a tenth: 30 * 0.1 must not round down to 2
    remainders[part] = share - static_cast<double>(counts[part]);
  }
  for (Index left = n - std::accumulate(counts.begin(), counts.end(), Index{0}); left > 0; --left) {
    const auto largest = static_cast<std::size_t>(std::ranges::max_element(remainders) - remainders.begin());
    ++counts[largest];
    remainders[largest] -= 1;
  }
  return counts;
}

}  // namespace

Split stratified_split(std::span<const std::int32_t> labels, const std::vector<std::string>& classes, std::uint64_t seed,
                       const SplitFractions& f) {
  require(f.train > 0 && f.validation >= 0 && f.test >= 0 && std::abs(f.train + f.validation + f.test - 1) < 1e-6,
          "split: the fractions {}, {}, {} are not parts of 1", f.train, f.validation, f.test);
  std::vector<std::vector<Index>> members(classes.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    require(labels[i] >= 0 && static_cast<std::size_t>(labels[i]) < classes.size(),
            "split: sample {} has label {} of {} classes", i, labels[i], classes.size());
    members[static_cast<std::size_t>(labels[i])].push_back(static_cast<Index>(i));
  }

  Split split;
  const std::array<double, 3> fractions = {f.train, f.validation, f.test};
  const std::array<std::vector<Index>*, 3> parts = {&split.train, &split.validation, &split.test};
  for (std::size_t label = 0; label < classes.size(); ++label) {
    const auto n = static_cast<Index>(members[label].size());
    const Counts counts = apportion(n, fractions);
    for (std::size_t part = 0; part < 3; ++part)
      require(counts[part] > 0 || fractions[part] == 0,
              "split: class '{}' has {} samples, too few for parts of {}, {} and {} (they would get {}, {}, {})",
              classes[label], n, f.train, f.validation, f.test, counts[0], counts[1], counts[2]);

    const std::vector<std::int64_t> order = permutation(n, Random(seed, mix(hash("split"), label)));
    auto next = order.begin();
    for (std::size_t part = 0; part < 3; ++part)
      for (Index i = 0; i < counts[part]; ++i) parts[part]->push_back(members[label][static_cast<std::size_t>(*next++)]);
  }
  for (std::vector<Index>* part : parts) std::ranges::sort(*part);
  return split;
}

ChannelStatistics channel_statistics(const TileSet& tiles, std::span<const Index> which) {
  require(!which.empty() && tiles.tile_bytes() > 0, "channel statistics: of no pixels");
  const auto channels = static_cast<std::size_t>(tiles.channels);
  std::vector<std::uint64_t> sum(channels), squares(channels);
  for (const Index i : which) {
    const auto tile = tiles.tile(i);
    for (std::size_t at = 0; at < tile.size(); at += channels) {
      for (std::size_t c = 0; c < channels; ++c) {
        const std::uint32_t value = tile[at + c];
        sum[c] += value;
        squares[c] += value * value;
      }
    }
  }

  // Variance = mean of the squares - square of the mean; harmless here, since both sums are exact.
  ChannelStatistics result;
  const double n = static_cast<double>(which.size()) * static_cast<double>(tiles.height * tiles.width);
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = static_cast<double>(sum[c]) / n;
    const double variance = std::max(0.0, static_cast<double>(squares[c]) / n - mean * mean);
    result.mean.push_back(mean / 255);
    result.deviation.push_back(std::sqrt(variance) / 255);
  }
  return result;
}

}  // namespace tandem
