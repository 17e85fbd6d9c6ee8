// Augmentation against views made the slow way: by turning and mirroring a small grid of numbers.
#include "nn/augment.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "core/memory.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Values = std::vector<real>;

struct Tile {
  Index h, w, c;
  Bytes values;
  Shape shape() const { return {h, w, c}; }
  std::uint8_t& at(Index i, Index j, Index k) { return values[static_cast<std::size_t>((i * w + j) * c + k)]; }
  std::uint8_t at(Index i, Index j, Index k) const { return values[static_cast<std::size_t>((i * w + j) * c + k)]; }
};

Tile numbered(Index h, Index w, Index c) {
  Tile tile{h, w, c, Bytes(static_cast<std::size_t>(h * w * c))};
  for (std::size_t i = 0; i < tile.values.size(); ++i) tile.values[i] = static_cast<std::uint8_t>(i);
  return tile;
}

// The result's pixel (i, j) is the tile's pixel from(i, j).
Tile picked(const Tile& tile, Index h, Index w, const auto& from) {
  Tile result{h, w, tile.c, Bytes(static_cast<std::size_t>(h * w * tile.c))};
  for (Index i = 0; i < h; ++i)
    for (Index j = 0; j < w; ++j)
      for (Index k = 0; k < tile.c; ++k) result.at(i, j, k) = tile.at(from(i, j).first, from(i, j).second, k);
  return result;
}
Tile turned(const Tile& tile, int quarters) {
  Tile result = tile;
  for (int q = 0; q < quarters; ++q)
    result = picked(result, result.w, result.h, [&, w = result.w](Index i, Index j) { return std::pair{j, w - 1 - i}; });
  return result;
}
Tile upside_down(const Tile& tile) {
  return picked(tile, tile.h, tile.w, [&](Index i, Index j) { return std::pair{tile.h - 1 - i, j}; });
}
Tile left_to_right(const Tile& tile) {
  return picked(tile, tile.h, tile.w, [&](Index i, Index j) { return std::pair{i, tile.w - 1 - j}; });
}

// Bytes as they are: 1/255 is chosen so that the scale is exactly 1; the first test below relies on it with ==.
TileNormaliser as_bytes(const Tile& tile) {
  const auto channels = static_cast<std::size_t>(tile.c);
  return {tile.shape(), Values(channels, 0), Values(channels, real(1) / 255)};
}

Values numbers(const Tile& tile) { return {tile.values.begin(), tile.values.end()}; }

Values seen(const TileNormaliser& normaliser, const Tile& tile, const TileAugmentation& augmentation, Random random) {
  Values x(tile.values.size());
  normaliser.augmented(tile.values, augmentation, random, x);
  return x;
}

// How often each view came up in n draws.
std::map<Values, int> views(const Tile& tile, const TileAugmentation& augmentation, int n) {
  const TileNormaliser normaliser = as_bytes(tile);
  std::map<Values, int> counts;
  for (int step = 0; step < n; ++step) ++counts[seen(normaliser, tile, augmentation, augmentation_random(1, 2, step))];
  return counts;
}

void check_equally_often(const std::map<Values, int>& counts, const std::vector<Tile>& expected, int n) {
  CHECK(counts.size() == expected.size());
  const int share = n / static_cast<int>(expected.size());
  for (const Tile& view : expected) {
    const auto found = counts.find(numbers(view));
    REQUIRE(found != counts.end());
    CHECK(std::abs(found->second - share) < share / 5);  // five standard deviations and more, and the draws never change
  }
}

TEST_CASE("plain: every channel is (v/255 - mean) / deviation with its own mean and deviation") {
  const Tile tile = numbered(5, 7, 3);
  const Values mean = {real(0.25), real(0.5), real(0.125)}, deviation = {real(0.5), real(0.25), real(2)};
  Values x(tile.values.size());
  TileNormaliser(tile.shape(), mean, deviation).plain(tile.values, x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = (tile.values[i] / 255.0 - mean[i % 3]) / deviation[i % 3];
    CHECK(std::abs(x[i] - expected) < 1e-6);  // ours is one product and one sum, each rounded; values reach 2
  }
  as_bytes(tile).plain(tile.values, x);
  CHECK(x == numbers(tile));
}

TEST_CASE("no augmentation: the bits of the plain path") {
  const Tile tile = numbered(6, 4, 2);
  const TileNormaliser normaliser(tile.shape(), Values{real(0.3), real(0.4)}, Values{real(0.7), real(0.1)});
  Values x(tile.values.size());
  normaliser.plain(tile.values, x);
  CHECK(seen(normaliser, tile, TileAugmentation::none(), Random(1, 1)) == x);
  CHECK(seen(normaliser, tile, {.quarter_turns = false}, Random(1, 2)) != x);  // this one is mirrored
}

TEST_CASE("quarter turns: the four turned tiles, equally often") {
  const Tile tile = numbered(4, 4, 3);
  check_equally_often(views(tile, {.flips = false}, 4000), {tile, turned(tile, 1), turned(tile, 2), turned(tile, 3)}, 4000);
}

TEST_CASE("flips: the four mirrored tiles, equally often, also of oblong tiles") {
  for (const Tile& tile : {numbered(4, 4, 1), numbered(3, 5, 2)})
    check_equally_often(views(tile, {.quarter_turns = false}, 4000),
                        {tile, upside_down(tile), left_to_right(tile), upside_down(left_to_right(tile))}, 4000);
}

TEST_CASE("flips and quarter turns: the eight symmetries of the square, equally often") {
  const Tile tile = numbered(3, 3, 4), mirror = left_to_right(tile);
  std::vector<Tile> symmetries;
  for (int quarters = 0; quarters < 4; ++quarters) {
    symmetries.push_back(turned(tile, quarters));
    symmetries.push_back(turned(mirror, quarters));
  }
  check_equally_often(views(tile, {}, 8000), symmetries, 8000);
}

TEST_CASE("shift: the tile moved by up to `shift` pixels each way, its border mirrored, all moves equally often") {
  const Tile tile = numbered(3, 4, 2);
  const auto mirrored = [](Index i, Index n) { return i < 0 ? -i - 1 : i < n ? i : 2 * n - i - 1; };
  CHECK(mirrored(-1, 4) == 0);
  CHECK(mirrored(4, 4) == 3);
  std::vector<Tile> moved;
  for (Index down = -2; down <= 2; ++down)
    for (Index right = -2; right <= 2; ++right)
      moved.push_back(picked(tile, 3, 4, [&](Index i, Index j) {
        return std::pair{mirrored(i + down, 3), mirrored(j + right, 4)};
      }));
  check_equally_often(views(tile, {.flips = false, .quarter_turns = false, .shift = 2}, 25000), moved, 25000);
}

TEST_CASE("shift with symmetries: a shifted view is a symmetry of the tile, moved") {
  const Tile tile = numbered(3, 3, 1);
  const auto mirrored = [](Index i) { return i < 0 ? -i - 1 : i < 3 ? i : 5 - i; };
  std::set<Values> expected;
  for (int quarters = 0; quarters < 4; ++quarters)
    for (const Tile& view : {turned(tile, quarters), turned(left_to_right(tile), quarters)})
      for (Index down = -1; down <= 1; ++down)
        for (Index right = -1; right <= 1; ++right)
          expected.insert(numbers(picked(view, 3, 3, [&](Index i, Index j) {
            return std::pair{mirrored(i + down), mirrored(j + right)};
          })));
  std::set<Values> found;
  for (const auto& [view, count] : views(tile, {.shift = 1}, 5000)) found.insert(view);
  CHECK(found == expected);
}

TEST_CASE("brightness: one factor for the whole tile, applied before the mean is taken off, within its limits") {
  const Tile tile = numbered(4, 4, 3);
  const TileNormaliser normaliser(tile.shape(), Values(3, real(0.5)), Values(3, real(0.5)));
  double least = 2, most = 0;
  for (int step = 0; step < 500; ++step) {
    const Values x = seen(normaliser, tile, {.flips = false, .quarter_turns = false, .brightness = real(0.25)},
                          augmentation_random(3, 1, step));
    const double factor = (x.back() * 0.5 + 0.5) * 255 / tile.values.back();
    CHECK(factor >= 0.75 - 1e-5);
    CHECK(factor <= 1.25 + 1e-5);
    CHECK(x.front() == -1);  // black stays black
    for (std::size_t i = 0; i < x.size(); ++i)
      CHECK(std::abs(x[i] - (factor * tile.values[i] / 255 - 0.5) / 0.5) <
            1e-5);  // `factor` itself was read off rounded values
    least = std::min(least, factor);
    most = std::max(most, factor);
  }
  CHECK(least < 0.77);
  CHECK(most > 1.23);
}

TEST_CASE("augmentation depends on seed, sample and step, and on nothing else") {
  const Tile tile = numbered(8, 8, 3);
  const TileNormaliser normaliser = as_bytes(tile);
  const TileAugmentation all{.shift = 3, .brightness = real(0.2)};
  const auto view = [&](std::uint64_t seed, std::int64_t sample, std::int64_t step) {
    return seen(normaliser, tile, all, augmentation_random(seed, sample, step));
  };
  const Values first = view(1, 2, 3);
  CHECK(view(1, 2, 4) != first);
  CHECK(view(1, 3, 3) != first);
  CHECK(view(2, 2, 3) != first);
  CHECK(view(1, 3, 2) != first);
  CHECK(view(1, 2, 3) == first);
}

TEST_CASE("augmentation asks the system for no memory after the first tile") {
  const Tile tile = numbered(16, 16, 3);
  const TileNormaliser normaliser = as_bytes(tile);
  Values x(tile.values.size());
  normaliser.augmented(tile.values, {}, Random(1, 1), x);
  const std::size_t fresh = memory_use().fresh;
  for (std::uint64_t i = 0; i < 100; ++i) normaliser.augmented(tile.values, {}, Random(1, i), x);
  CHECK(memory_use().fresh == fresh);
}

TEST_CASE("augmentation: what makes no sense is refused with its values") {
  const Values one = {1}, zero = {0};
  const Shape oblong{2, 3, 1};
  CHECK(error_of([&] {
          TileNormaliser({2, 3}, zero, one);
        }) == "normaliser: a tile is [2,3]; expected [height,width,channels]");
  CHECK(error_of([&] {
          TileNormaliser({2, 3, 2}, zero, one);
        }) == "normaliser: 1 means and 1 deviations for tiles of [2,3,2]");
  CHECK(error_of([&] { TileNormaliser(oblong, zero, zero); }) ==
        "normaliser: the deviation of channel 0 is 0; it must be positive");
  const TileNormaliser normaliser(oblong, zero, one);
  Values x(6);
  const Bytes tile(6);
  const auto error = [&](const TileAugmentation& a) {
    return error_of([&] { normaliser.augmented(tile, a, Random(1, 1), x); });
  };
  CHECK(error({}) == "augmentation: tiles of [2,3,1] are not square, so they cannot take quarter turns");
  CHECK(error({.quarter_turns = false, .shift = 3}) == "augmentation: a shift of up to 3 pixels in tiles of [2,3,1]");
  CHECK(error({.quarter_turns = false, .shift = -1}) == "augmentation: a shift of up to -1 pixels in tiles of [2,3,1]");
  CHECK(error({.quarter_turns = false, .brightness = 1}) == "augmentation: a brightness of 1; it must be in [0, 1)");
  CHECK(error({.quarter_turns = false, .shift = 2, .brightness = real(0.5)}) == "no error");
  CHECK(error_of([&] { normaliser.plain(tile, std::span(x).first(5)); }) ==
        "normaliser: 6 bytes into 5 values; tiles are [2,3,1]");
}

}  // namespace
}  // namespace tandem
