#include <doctest/doctest.h>

#include <unistd.h>

#include "core/file.hpp"
#include "core/random.hpp"
#include "imagery_support.hpp"
#include "tasks/imagery/image.hpp"
#include "tasks/imagery/synthetic.hpp"

using namespace tandem;
using namespace tandem::test;

namespace {

// A real JPEG, or nothing where the real data is absent: this program has no JPEG encoder.
std::string some_jpeg() {
  const fs::path folder = fs::path(TANDEM_TEST_DATA) / "eurosat/2750/Forest";
  std::error_code none;
  for (fs::directory_iterator at(folder, none), end; !none && at != end; ++at) return read_file(at->path());
  MESSAGE("skipped, no JPEG: " << folder.string() << " is absent");
  return {};
}

std::string why(std::string_view bytes) {
  return complaint([&] { decode_image(bytes); });
}

}  // namespace

TEST_CASE("a PNG that was written reads back as the same pixels; another picture does not") {
  const TemporaryFolder folder;
  const Image image = synthetic_tile(1, 4);
  write_png(folder / "tile.png", image);
  CHECK(read_image(folder / "tile.png") == image);
  CHECK(read_image(folder / "tile.png") != synthetic_tile(1, 14));
  CHECK(decode_image(png_bytes(image)) == image);
}

TEST_CASE("images come out with three channels: grey is repeated, transparency dropped") {
  const Image grey{1, 2, 1, {7, 250}}, clear{1, 1, 4, {1, 2, 3, 0}};
  CHECK(decode_image(png_bytes(grey)) == Image{1, 2, 3, {7, 7, 7, 250, 250, 250}});
  CHECK(decode_image(png_bytes(clear)) == Image{1, 1, 3, {1, 2, 3}});
}

TEST_CASE("a file that is no image is refused with the reason, and by name") {
  using namespace std::string_literals;
  CHECK(contains(why(""), "empty"));
  CHECK(contains(why("hello, I am a text"), "not an image"));
  CHECK(contains(why("II*\0rest"s), "unsupported: this is a TIFF"));
  CHECK(contains(why("GIF89a..."), "unsupported: this is a GIF"));
  CHECK(contains(why("\xFF\xD8\xFF"), "truncated"));

  const TemporaryFolder folder;
  write_file(folder / "notes.jpg", "not a picture");
  CHECK(contains(complaint([&] { read_image(folder / "notes.jpg"); }), "notes.jpg': not an image"));
  CHECK(contains(complaint([&] { read_image(folder / "none.png"); }), "none.png': No such file"));
  CHECK(contains(complaint([&] { read_image(folder); }), "directory"));
  if (::geteuid() != 0) {  // root may read everything
    fs::permissions(folder / "notes.jpg", fs::perms::none);
    CHECK(contains(complaint([&] { read_image(folder / "notes.jpg"); }), "Permission denied"));
  }
}

TEST_CASE("a PNG cut anywhere is truncated; one altered byte is found by its checksum") {
  const std::string whole = png_bytes(synthetic_tile(2, 3));
  REQUIRE(why(whole).empty());
  for (std::size_t size = 0; size < whole.size(); size += 1 + size / 40) {
    CAPTURE(size);
    CHECK_FALSE(why(whole.substr(0, size)).empty());
  }
  CHECK(contains(why(whole.substr(0, whole.size() / 2)), "truncated"));
  std::string altered = whole;
  altered[altered.size() / 2] ^= 4;
  CHECK(contains(why(altered), "checksum"));
}

TEST_CASE("a JPEG cut anywhere is an error, never a half grey picture; padding after its end does no harm") {
  const std::string whole = some_jpeg();
  if (whole.empty()) return;
  const Image image = decode_image(whole);
  CHECK(image.height == 64);
  CHECK(image.channels == 3);
  CHECK(decode_image(whole + std::string(100, '\0')) == image);
  for (std::size_t size = 0; size < whole.size(); size += 1 + size / 60) {
    CAPTURE(size);
    CHECK_FALSE(why(whole.substr(0, size)).empty());
  }
  CHECK(contains(why(whole.substr(0, whole.size() - 2)), "truncated"));
}

TEST_CASE("a file that lies about its size is refused before memory is taken") {
  // The header chunk of a PNG of 16000 x 4000 and of 60000 x 60000 pixels, with nothing behind it.
  const auto png_of = [](unsigned width, unsigned height) {
    std::string bytes = png_bytes(Image{1, 1, 3, {0, 0, 0}});
    for (int i = 0; i < 4; ++i) {
      bytes[static_cast<std::size_t>(16 + i)] = static_cast<char>(width >> (24 - 8 * i));
      bytes[static_cast<std::size_t>(20 + i)] = static_cast<char>(height >> (24 - 8 * i));
    }
    return bytes;
  };
  REQUIRE(why(png_of(1, 1)).empty());
  CHECK(contains(why(png_of(60000, 60000)), "too large"));
  CHECK(contains(why(png_of(16000, 4000)), "cannot hold"));
}

TEST_CASE("a file that unpacks to more than its size needs is stopped") {
  // A PNG of one pixel whose data is that of 4000 x 4000: stb_image would unpack all of it.
  const Image large{4000, 4000, 3, std::vector<std::uint8_t>(4000 * 4000 * 3)};
  std::string bomb = png_bytes(large);
  REQUIRE(why(bomb).empty());
  const std::string small = png_bytes(Image{1, 1, 3, {0, 0, 0}});
  bomb.replace(8, 25, small, 8, 25);  // the header chunk, with its checksum
  CHECK(contains(why(bomb), "damaged"));
}

TEST_CASE("images with altered bytes give an image or an Error, nothing else") {
  std::vector<std::string> originals = {png_bytes(synthetic_tile(3, 8))};
  if (std::string jpeg = some_jpeg(); !jpeg.empty()) {
    originals.push_back(jpeg);
    jpeg[jpeg.find("\xFF\xC0") + 1] = '\xC2';  // claims to be progressive: the decoder's other half
    originals.push_back(std::move(jpeg));
  }
  Random random(1, hash("mutants"));
  int refused = 0;
  for (int round = 0; round < 400; ++round) {
    std::string bytes = originals[static_cast<std::size_t>(round) % originals.size()];
    const auto size = static_cast<std::uint32_t>(bytes.size());
    for (std::uint32_t change = 0; change <= random.below(6); ++change) {
      const std::uint32_t area = round % 3 ? size : std::min(size, 700u);  // a third of the rounds goes for the headers
      bytes[random.below(area)] = static_cast<char>(random.below(256));
    }
    if (round % 7 == 0) bytes.resize(random.below(size));
    refused += !why(bytes).empty();
  }
  CHECK(refused > 100);
}

TEST_CASE("a contact sheet holds every tile unchanged in its place") {
  const std::vector<Image> tiles = {synthetic_tile(1, 0), synthetic_tile(1, 1), synthetic_tile(1, 2)};
  const Image sheet = contact_sheet(tiles, 2, 1);
  CHECK(sheet.height == 131);
  CHECK(sheet.width == 131);
  const auto pixel = [&](Index y, Index x) { return sheet.pixels[static_cast<std::size_t>((y * sheet.width + x) * 3)]; };
  CHECK(pixel(0, 0) == 255);
  CHECK(pixel(1, 66) == tiles[1].pixels[0]);
  CHECK(pixel(66, 1) == tiles[2].pixels[0]);
  CHECK(pixel(100, 100) == 255);
}
