#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/threads.hpp"
#include "tasks/imagery/split.hpp"
#include "tasks/imagery/synthetic.hpp"

using namespace tandem;

TEST_CASE("a synthetic tile depends on seed and index alone: not on the threads, nor on the other tiles") {
  const int threads = thread_count();
  set_thread_count(1);
  const TileSet one = synthetic_tiles(95, 3);
  set_thread_count(3);
  const TileSet three = synthetic_tiles(200, 3);
  set_thread_count(threads);
  CHECK(std::ranges::equal(one.pixels, three.pixels.first(one.pixels.size())));
  CHECK(three.image(123) == synthetic_tile(3, 123));
  CHECK(three.image(123) != synthetic_tile(4, 123));
  CHECK(three.image(123) != synthetic_tile(3, 133));
}

TEST_CASE("synthetic classes are balanced and named as those of EuroSAT") {
  const TileSet tiles = synthetic_tiles(100, 1);
  CHECK(tiles.size() == 100);
  CHECK(tiles.height == 64);
  CHECK(tiles.channels == 3);
  for (std::int32_t label = 0; label < 10; ++label) CHECK(std::ranges::count(tiles.labels, label) == 10);
  CHECK(std::ranges::is_sorted(tiles.classes));
  CHECK(tiles.classes[9] == "SeaLake");
  CHECK(synthetic_tiles(0, 1).size() == 0);
}

TEST_CASE("mean colour alone does not tell the synthetic classes apart, though it tells something") {
  // Nearest class mean of the mean colour: chance is 10 %; a network that sees shapes reaches above 90 %.
  const TileSet tiles = synthetic_tiles(1000, 1);
  const auto colour = [&](Index i) { return channel_statistics(tiles, std::span(&i, 1)).mean; };
  std::vector<std::vector<double>> centres(10, std::vector<double>(3));
  for (Index i = 0; i < 500; ++i)
    for (std::size_t c = 0; c < 3; ++c) centres[static_cast<std::size_t>(i % 10)][c] += colour(i)[c] / 50;
  int right = 0;
  for (Index i = 500; i < 1000; ++i) {
    const auto own = colour(i);
    const auto nearest = std::ranges::min_element(centres, {}, [&](const std::vector<double>& centre) {
      return std::hypot(own[0] - centre[0], own[1] - centre[1], own[2] - centre[2]);
    });
    right += nearest - centres.begin() == i % 10;
  }
  CHECK(right > 500 * 0.25);
  CHECK(right < 500 * 0.60);
}
