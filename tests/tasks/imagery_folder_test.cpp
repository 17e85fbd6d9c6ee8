#include <doctest/doctest.h>

#include <array>
#include <thread>

#include "core/file.hpp"
#include "core/random.hpp"
#include "core/threads.hpp"
#include "imagery_support.hpp"
#include "tasks/imagery/cache.hpp"
#include "tasks/imagery/pack.hpp"
#include "tasks/imagery/split.hpp"
#include "tasks/imagery/synthetic.hpp"

using namespace tandem;
using namespace tandem::test;

namespace {

// Two classes of three tiles each: tile i of the generator is class i mod 10.
void fill_folder(const fs::path& root) {
  for (const int i : {0, 1, 10, 11, 20, 21}) {
    const fs::path folder = root / synthetic_classes()[static_cast<std::size_t>(i % 10)];
    fs::create_directories(folder);
    write_png(folder / fmt::format("{}.png", i), synthetic_tile(5, i));
  }
}

std::string read_complaint(const fs::path& root, const ReadOptions& options = {}) {
  return complaint([&] { read_folder(root, options); });
}

bool same_tiles(const TileSet& a, const TileSet& b) {
  return a.classes == b.classes && a.names == b.names && a.labels == b.labels && std::ranges::equal(a.pixels, b.pixels);
}

}  // namespace

TEST_CASE("an image folder reads as its tiles, in byte order of the names, labelled by sub-folder") {
  const PrivateCache cache;
  const TemporaryFolder root;
  fill_folder(root);
  write_file(root / "Forest/.hidden", "ignored");
  const TileSet tiles = read_folder(root);
  CHECK(tiles.classes == std::vector<std::string>{"AnnualCrop", "Forest"});
  CHECK(tiles.names == std::vector<std::string>{"AnnualCrop/0.png", "AnnualCrop/10.png", "AnnualCrop/20.png", "Forest/1.png",
                                                "Forest/11.png", "Forest/21.png"});
  CHECK(tiles.labels == std::vector<std::int32_t>{0, 0, 0, 1, 1, 1});
  CHECK(tiles.image(4) == synthetic_tile(5, 11));
  CHECK(tiles.image(4) != synthetic_tile(5, 21));
  CHECK(tiles.note.empty());
}

TEST_CASE("a folder that holds nothing but the folder of classes is looked into") {
  const PrivateCache cache;
  const TemporaryFolder root;
  fill_folder(root / "2750");
  CHECK(read_folder(root).size() == 6);
  CHECK(read_folder(root).names == read_folder(root / "2750").names);
}

TEST_CASE("decoded anew, out of the cache and without one: the same tiles") {
  const PrivateCache cache;
  const TemporaryFolder root;
  fill_folder(root);
  Index decoded = 0;
  const ReadOptions options{.progress = [&](Index done, Index) { decoded = done; }};
  const TileSet fresh = read_folder(root, options);
  CHECK(decoded == 6);
  decoded = 0;
  const TileSet cached = read_folder(root, options);
  CHECK(decoded == 0);
  CHECK(same_tiles(fresh, cached));
  CHECK(same_tiles(fresh, read_folder(root, {.cache = false})));
  CHECK(reinterpret_cast<std::uintptr_t>(cached.pixels.data()) % 4096 == 0);
}

TEST_CASE("a folder that changed is decoded anew: a file more, a file replaced, a file gone") {
  const PrivateCache cache;
  const TemporaryFolder root;
  fill_folder(root);
  const TileSet before = read_folder(root);
  write_png(root / "Forest/31.png", synthetic_tile(5, 31));
  CHECK(read_folder(root).size() == 7);
  write_png(root / "Forest/31.png", synthetic_tile(5, 41));
  CHECK(read_folder(root).image(6) == synthetic_tile(5, 41));
  fs::remove(root / "Forest/31.png");
  CHECK(same_tiles(read_folder(root), before));
}

TEST_CASE("what is wrong with a folder is said, and where") {
  const PrivateCache cache;
  const TemporaryFolder root;
  CHECK(contains(read_complaint(root / "none"), "none': there is no such folder"));
  CHECK(contains(read_complaint(root), "no class folders"));
  write_file(root / "file", "x");
  CHECK(contains(read_complaint(root / "file"), "not a folder"));

  fill_folder(root);
  REQUIRE(read_complaint(root).empty());
  fs::create_directories(root / "Pasture");
  CHECK(contains(read_complaint(root), "class 'Pasture' has no images"));
  fs::remove(root / "Pasture");
  fs::remove_all(root / "Forest");
  CHECK(contains(read_complaint(root), "only 1 class ('AnnualCrop')"));
  CHECK(read_folder(root, {.least_classes = 1}).size() == 3);
}

TEST_CASE("a file that cannot be used stops the reading by name, or is left out and remembered") {
  const PrivateCache cache;
  const auto check = [&](const std::string& name, const std::string& bytes, const std::string& reason) {
    CAPTURE(name);
    const TemporaryFolder root;
    fill_folder(root);
    write_file(root / name, bytes);
    CHECK(contains(read_complaint(root), name));
    CHECK(contains(read_complaint(root), reason));
    for (int round = 0; round < 2; ++round) {  // decoded, then out of the cache
      const TileSet tiles = read_folder(root, {.skip_bad = true});
      CHECK(tiles.size() == 6);
      REQUIRE(tiles.bad.size() == 1);
      CHECK(tiles.bad[0].name == name);
      CHECK(contains(tiles.bad[0].reason, reason));
    }
    CHECK(contains(read_complaint(root), reason));  // the cache must not hide it
  };
  const std::string png = png_bytes(synthetic_tile(1, 1));
  check("Forest/notes.txt", "text", "ends in neither");
  check("Forest/text.png", "text", "not an image");
  check("AnnualCrop/00.png", "", "empty");
  check("Forest/cut.png", png.substr(0, png.size() / 2), "truncated");
  check("AnnualCrop/0-first.png", png_bytes(Image{1, 2, 3, std::vector<std::uint8_t>(6)}),
        "2x1 pixels, but the other images");
}

TEST_CASE("a class of which no image can be used is an error, also when bad files are skipped") {
  const PrivateCache cache;
  const TemporaryFolder root;
  fill_folder(root);
  fs::create_directories(root / "Pasture");
  write_file(root / "Pasture/a.png", "text");
  CHECK(contains(read_complaint(root, {.skip_bad = true}), "class 'Pasture' has no image that can be used"));
}

TEST_CASE("a cache file with altered or missing bytes in its ending is found out and replaced") {
  const PrivateCache cache;
  const TemporaryFolder root;
  fill_folder(root);
  const TileSet original = read_folder(root);
  const fs::path packed = cache_path(root);
  const std::string whole = read_file(packed);
  const std::size_t ending = original.pixels.size();
  Random random(1, hash("cache mutants"));
  for (int round = 0; round < 200; ++round) {
    std::string bytes = whole;
    if (round % 4 == 0) {
      bytes.resize(random.below(static_cast<std::uint32_t>(whole.size())));
    } else {
      bytes[ending + random.below(static_cast<std::uint32_t>(whole.size() - ending))] ^=
          static_cast<char>(1 + random.below(255));
    }
    CAPTURE(round);
    CHECK_FALSE(complaint([&] { unpack(bytes, 0); }).empty());
    if (round < 20) {
      write_file(packed, bytes);
      CHECK(same_tiles(read_folder(root), original));
      CHECK(read_file(packed) == whole);
    }
  }
}

TEST_CASE("a cache ending with impossible numbers but a right checksum is an Error") {
  TileSet tiles = synthetic_tiles(3, 1);
  const std::string pixels(reinterpret_cast<const char*>(tiles.pixels.data()), tiles.pixels.size());
  REQUIRE(unpack(pixels + packed_ending(tiles, 9), 9).size() == 3);
  CHECK(contains(complaint([&] { unpack(pixels + packed_ending(tiles, 9), 8); }), "changed"));
  CHECK(contains(complaint([&] { unpack(pixels + "x" + packed_ending(tiles, 9), 9); }), "do not fit"));
  tiles.labels[1] = 10;
  CHECK(contains(complaint([&] { unpack(pixels + packed_ending(tiles, 9), 9); }), "label 10"));
}

TEST_CASE("readers that decode at the same time all get the tiles and leave one good cache file") {
  const PrivateCache cache;
  const TemporaryFolder root;
  fill_folder(root);
  std::array<TileSet, 4> results;
  {
    std::vector<std::jthread> readers;
    for (TileSet& result : results) readers.emplace_back([&] { result = read_folder(root); });
  }
  for (const TileSet& result : results) CHECK(same_tiles(result, read_folder(root, {.cache = false})));
  CHECK(std::distance(fs::directory_iterator(cache.path()), fs::directory_iterator{}) == 1);
  CHECK(contains(cache_path(root).string(), cache.path().string()));
}

TEST_CASE("without a place for the cache the tiles come all the same, with a note") {
  const TemporaryFolder root;
  fill_folder(root);
  write_file(root / "blocked", "a file where the cache folder should be");
  ::setenv("TANDEM_CACHE", (root / "blocked").c_str(), 1);
  const TileSet tiles = read_folder(root);
  ::unsetenv("TANDEM_CACHE");
  CHECK(tiles.size() == 6);
  CHECK(contains(tiles.note, "blocked"));
}

TEST_CASE("decoding gives the same set on one thread and on four") {
  const TemporaryFolder root;
  fill_folder(root);
  write_file(root / "Forest/bad.png", "text");
  const int threads = thread_count();
  set_thread_count(1);
  const TileSet one = read_folder(root, {.skip_bad = true, .cache = false});
  set_thread_count(4);
  const TileSet four = read_folder(root, {.skip_bad = true, .cache = false});
  set_thread_count(threads);
  CHECK(same_tiles(one, four));
}

TEST_CASE("EuroSAT: the channel statistics are the published ones, and the cache gives the same bits") {
  const fs::path root = fs::path(TANDEM_TEST_DATA) / "eurosat";
  if (!fs::exists(root)) {
    MESSAGE("skipped: " << root.string() << " is absent");
    return;
  }
  const PrivateCache cache;
  const TileSet tiles = read_folder(root);
  CHECK(tiles.size() == 24300);
  CHECK(tiles.classes == synthetic_classes());
  std::vector<Index> all(static_cast<std::size_t>(tiles.size()));
  for (Index i = 0; i < tiles.size(); ++i) all[static_cast<std::size_t>(i)] = i;
  const auto [mean, deviation] = channel_statistics(tiles, all);
  const std::vector<double> known_mean = {.3445, .3800, .4080}, known_deviation = {.2027, .1369, .1156};
  for (std::size_t c = 0; c < 3; ++c) {
    CHECK(std::abs(mean[c] - known_mean[c]) < .002);  // the figures are of all 27,000 tiles, of which a tenth is not here
    CHECK(std::abs(deviation[c] - known_deviation[c]) < .002);
  }
  CHECK(std::abs(mean[0] - known_mean[1]) > .002);
  CHECK(same_tiles(read_folder(root), tiles));
}
