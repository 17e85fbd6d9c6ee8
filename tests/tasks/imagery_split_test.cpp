#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "imagery_support.hpp"
#include "tasks/imagery/split.hpp"

using namespace tandem;
using namespace tandem::test;

namespace {

const std::vector<std::string> classes = {"large", "middle", "small"};

// Classes of 101, 50 and 10 samples, mixed.
std::vector<std::int32_t> uneven_labels() {
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 101; ++i) {
    labels.push_back(0);
    if (i < 50) labels.push_back(1);
    if (i % 10 == 0 && i < 100) labels.push_back(2);
  }
  return labels;
}

std::map<int, int> count(const std::vector<Index>& part, const std::vector<std::int32_t>& labels) {
  std::map<int, int> result;
  for (const Index i : part) ++result[labels[static_cast<std::size_t>(i)]];
  return result;
}

}  // namespace

TEST_CASE("a split puts every sample into exactly one part") {
  const auto labels = uneven_labels();
  const Split split = stratified_split(labels, classes, 1);
  std::vector<Index> all;
  for (const auto* part : {&split.train, &split.validation, &split.test}) {
    CHECK(std::ranges::is_sorted(*part));
    all.insert(all.end(), part->begin(), part->end());
  }
  std::ranges::sort(all);
  REQUIRE(all.size() == labels.size());
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(all[i] == static_cast<Index>(i));
}

TEST_CASE("each class is split in proportion, by largest remainder") {
  const auto labels = uneven_labels();
  const Split split = stratified_split(labels, classes, 1);
  // 101: shares 80.8, 10.1, 10.1    50: 40, 5, 5    10: 8, 1, 1
  CHECK(count(split.train, labels) == std::map<int, int>{{0, 81}, {1, 40}, {2, 8}});
  CHECK(count(split.validation, labels) == std::map<int, int>{{0, 10}, {1, 5}, {2, 1}});
  CHECK(count(split.test, labels) == std::map<int, int>{{0, 10}, {1, 5}, {2, 1}});
  const Split halves = stratified_split(labels, classes, 1, {.train = 0.5, .validation = 0.5, .test = 0});
  CHECK(halves.train.size() == 81);  // 50.5 rounds up for the first part
  CHECK(halves.test.empty());
}

TEST_CASE("a split depends on the seed and on nothing else") {
  const auto labels = uneven_labels();
  CHECK(stratified_split(labels, classes, 1).test == stratified_split(labels, classes, 1).test);
  CHECK(stratified_split(labels, classes, 1).test != stratified_split(labels, classes, 2).test);
}

TEST_CASE("a class too small to be in every part is named") {
  std::vector<std::int32_t> labels(20, 0);
  labels.insert(labels.end(), 7, 1);
  const std::vector<std::string> two = {"enough", "few"};
  CHECK(stratified_split(labels, two, 1).test.size() == 3);
  labels.pop_back();
  CHECK(contains(complaint([&] { stratified_split(labels, two, 1); }), "class 'few' has 6 samples"));
  labels[3] = 2;
  CHECK(contains(complaint([&] { stratified_split(labels, two, 1); }), "sample 3 has label 2 of 2"));
  CHECK(contains(complaint([&] { stratified_split({}, two, 1, {.train = 0.5}); }), "not parts of 1"));
}

TEST_CASE("channel statistics are those of the given tiles alone") {
  TileSet tiles;
  tiles.height = 1;
  tiles.width = 2;
  tiles.channels = 2;
  tiles.labels = {0, 0, 0};
  tiles.own({0, 255, 0, 255, 255, 255, 255, 255, 51, 0, 51, 0});
  const std::vector<Index> first_two = {0, 1}, last = {2}, beyond = {3};
  const auto s = channel_statistics(tiles, first_two);
  CHECK(s.mean == std::vector<double>{0.5, 1});
  CHECK(s.deviation == std::vector<double>{0.5, 0});
  CHECK(channel_statistics(tiles, last).mean == std::vector<double>{0.2, 0});
  CHECK(contains(complaint([&] { channel_statistics(tiles, beyond); }), "no tile 3"));
  CHECK(contains(complaint([&] { channel_statistics(tiles, {}); }), "no pixels"));
}
