#include <doctest/doctest.h>
#include <zlib.h>

#include "core/file.hpp"
#include "core/random.hpp"
#include "imagery_support.hpp"
#include "tasks/imagery/idx.hpp"

using namespace tandem;
using namespace tandem::test;

namespace {

std::string idx_bytes(std::vector<std::uint32_t> extents, std::string_view values) {
  std::string bytes = {0, 0, 8, static_cast<char>(extents.size())};
  for (const std::uint32_t extent : extents)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(extent >> shift);
  return bytes.append(values);
}

std::string gzip(const std::string& content) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string bytes(deflateBound(&stream, content.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  bytes.resize(stream.total_out);
  deflateEnd(&stream);
  return bytes;
}

std::string why(const std::string& bytes) {
  return complaint([&] { decode_idx(bytes); });
}

}  // namespace

TEST_CASE("an IDX file reads the same plain and compressed") {
  const std::string plain = idx_bytes({2, 1, 3}, "abcdef");
  const IdxArray array = decode_idx(plain);
  CHECK(array.shape == Shape{2, 1, 3});
  CHECK(array.values == std::vector<std::uint8_t>{'a', 'b', 'c', 'd', 'e', 'f'});
  CHECK(decode_idx(gzip(plain)).values == array.values);
  CHECK(decode_idx(idx_bytes({0}, "")).values.empty());

  const TemporaryFolder folder;
  write_file(folder / "plain", plain);
  write_file(folder / "packed.gz", gzip(plain));
  CHECK(read_idx(folder / "plain").values == array.values);
  CHECK(read_idx(folder / "packed").values == array.values);
  CHECK(contains(complaint([&] { read_idx(folder / "none"); }), "none'"));
}

TEST_CASE("an IDX header is believed only if exactly its values follow") {
  CHECK(contains(why(""), "truncated"));
  CHECK(contains(why("text"), "not an IDX"));
  CHECK(contains(why(std::string("\0\0\x0D\x01\0\0\0\1abcd", 12)), "type 0xd"));
  CHECK(contains(why(idx_bytes({2, 3}, "abcde")), "truncated"));
  CHECK(contains(why(idx_bytes({2, 3}, "abcdefg")), "more data"));
  CHECK(contains(why(gzip(idx_bytes({2, 3}, "abcde"))), "truncated"));
  CHECK(contains(why(gzip(idx_bytes({2, 3}, "abcdefg"))), "more data"));
  CHECK(contains(why(idx_bytes({60000, 60000}, "")), "too large"));
  CHECK_FALSE(why(idx_bytes({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, "")).empty());
  CHECK(why(idx_bytes({2, 3}, "abcdef")).empty());
}

TEST_CASE("a small file that unpacks to a large one is stopped at what its header promises") {
  const std::string bomb = gzip(idx_bytes({2, 3}, std::string(64 << 20, '\0')));
  REQUIRE(bomb.size() < 100000);
  CHECK(contains(why(bomb), "more data"));
}

TEST_CASE("compressed data that is cut or altered is an Error") {
  std::string values(5000, '\0');
  Random random(1, hash("idx mutants"));
  for (char& value : values) value = static_cast<char>(random.below(9));
  const std::string whole = gzip(idx_bytes({50, 100}, values));
  REQUIRE(why(whole).empty());
  const auto size = static_cast<std::uint32_t>(whole.size());
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    CHECK_FALSE(why(whole.substr(0, random.below(size))).empty());
    std::string altered = whole;
    altered[10 + random.below(size - 10)] ^= static_cast<char>(1 + random.below(255));  // after the gzip header
    CHECK_FALSE(why(altered).empty());
  }
}

TEST_CASE("images and labels become tiles, if they fit together") {
  const IdxArray images = decode_idx(idx_bytes({2, 1, 3}, "abcdef")),
                 labels = decode_idx(idx_bytes({2}, std::string("\1\0", 2)));
  const TileSet tiles = idx_tiles(images, labels, {"zero", "one"}, "train");
  CHECK(tiles.size() == 2);
  CHECK(tiles.labels == std::vector<std::int32_t>{1, 0});
  CHECK(tiles.image(1) == Image{1, 3, 1, {'d', 'e', 'f'}});
  CHECK(tiles.names[1] == "train/00001");
  CHECK(contains(complaint([&] { idx_tiles(images, labels, {"zero"}, ""); }), "label 1 of image 0"));
  CHECK(contains(complaint([&] {
                   idx_tiles(images, decode_idx(idx_bytes({1}, "\1")), {"zero", "one"}, "");
                 }),
                 "do not fit"));
}

TEST_CASE("Fashion-MNIST: sizes, balance and the first labels are the published ones") {
  const fs::path folder = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(folder)) {
    MESSAGE("skipped: the Debian package dataset-fashion-mnist is not installed");
    return;
  }
  const auto [train, test] = read_fashion_mnist(folder);
  CHECK(train.size() == 60000);
  CHECK(test.size() == 10000);
  CHECK(train.pixels.size() == 60000u * 28 * 28);
  CHECK(train.channels == 1);
  for (std::int32_t label = 0; label < 10; ++label) {
    CHECK(std::ranges::count(train.labels, label) == 6000);
    CHECK(std::ranges::count(test.labels, label) == 1000);
  }
  CHECK(train.classes[static_cast<std::size_t>(train.labels[0])] == "Ankle boot");
  CHECK(test.classes[static_cast<std::size_t>(test.labels[0])] == "Ankle boot");
}
