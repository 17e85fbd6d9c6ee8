#include "tasks/imagery/pack.hpp"

#include <array>
#include <cstddef>
#include <cstring>

#include "core/random.hpp"

namespace tandem {
namespace {

// What the file is; a change of the layout changes the number.
constexpr std::array magic = {'t', 'i', 'l', 'e', 's', ' ', '1', '\n'};

struct Trailer {
  std::array<char, 8> magic;
  std::uint64_t key, tiles, index_bytes;
  std::uint32_t height, width, channels, zero;
  std::uint64_t checksum;  // of the index and of the trailer up to here
};
static_assert(sizeof(Trailer) == 56);

std::string_view bytes_of(const Trailer& trailer) { return {reinterpret_cast<const char*>(&trailer), sizeof trailer}; }

std::uint64_t checksum(std::string_view index, const Trailer& trailer) {
  return hash(bytes_of(trailer).substr(0, offsetof(Trailer, checksum)), hash(index));
}

class Writer {
 public:
  template <class T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view text) {
    number<std::uint64_t>(text.size());
    bytes_ += text;
  }
  std::string bytes() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view text() { return take(number<std::uint64_t>()); }
  void expect_end() const { require(left_.empty(), "packed tiles: {} bytes too many in the index", left_.size()); }

 private:
  std::string_view take(std::uint64_t count) {
    require(count <= left_.size(), "packed tiles: {} bytes wanted where {} are left", count, left_.size());
    const std::string_view taken = left_.substr(0, count);
    left_.remove_prefix(count);
    return taken;
  }

  std::string_view left_;
};

}  // namespace

std::string packed_ending(const TileSet& tiles, std::uint64_t key) {
  Writer index;
  index.number<std::uint64_t>(tiles.classes.size());
  for (const std::string& name : tiles.classes) index.text(name);
  for (const std::string& name : tiles.names) index.text(name);
  for (const std::int32_t label : tiles.labels) index.number(label);
  index.number<std::uint64_t>(tiles.bad.size());
  for (const auto& [name, reason] : tiles.bad) {
    index.text(name);
    index.text(reason);
  }

  std::string ending = std::move(index).bytes();
  Trailer trailer{.magic = magic,
                  .key = key,
                  .tiles = tiles.labels.size(),
                  .index_bytes = ending.size(),
                  .height = static_cast<std::uint32_t>(tiles.height),
                  .width = static_cast<std::uint32_t>(tiles.width),
                  .channels = static_cast<std::uint32_t>(tiles.channels),
                  .zero = 0,
                  .checksum = 0};
  trailer.checksum = checksum(ending, trailer);
  return ending.append(bytes_of(trailer));
}

TileSet unpack(std::string_view bytes, std::uint64_t key) {
  Trailer trailer;
  require(bytes.size() >= sizeof trailer, "packed tiles: {} bytes are no trailer", bytes.size());
  const std::string_view body = bytes.substr(0, bytes.size() - sizeof trailer);
  std::memcpy(&trailer, bytes.data() + body.size(), sizeof trailer);
  require(trailer.magic == magic, "packed tiles: another format or version");
  require(trailer.key == key, "packed tiles: the files have changed");

  // The parts must fill the file exactly. Sides of at most 2^14 keep the products small.
  require(trailer.height <= max_image_side && trailer.width <= max_image_side && trailer.channels <= 4 &&
              trailer.tiles <= body.size() && trailer.index_bytes <= body.size(),
          "packed tiles: impossible sizes");
  const auto tile_bytes = std::uint64_t{trailer.height} * trailer.width * trailer.channels;
  std::uint64_t pixel_bytes = 0;
  require(
      !__builtin_mul_overflow(tile_bytes, trailer.tiles, &pixel_bytes) && pixel_bytes == body.size() - trailer.index_bytes,
      "packed tiles: the sizes do not fit the file of {} bytes", bytes.size());
  const std::string_view index = body.substr(pixel_bytes);
  require(checksum(index, trailer) == trailer.checksum, "packed tiles: wrong checksum");

  TileSet tiles;
  tiles.height = trailer.height;
  tiles.width = trailer.width;
  tiles.channels = trailer.channels;
  tiles.pixels = {reinterpret_cast<const std::uint8_t*>(bytes.data()), pixel_bytes};
  Reader reader(index);
  for (auto count = reader.number<std::uint64_t>(); count > 0; --count) tiles.classes.emplace_back(reader.text());
  for (std::uint64_t i = 0; i < trailer.tiles; ++i) tiles.names.emplace_back(reader.text());
  for (std::uint64_t i = 0; i < trailer.tiles; ++i) {
    tiles.labels.push_back(reader.number<std::int32_t>());
    require(tiles.labels.back() >= 0 && static_cast<std::size_t>(tiles.labels.back()) < tiles.classes.size(),
            "packed tiles: label {} of {} classes", tiles.labels.back(), tiles.classes.size());
  }
  for (auto count = reader.number<std::uint64_t>(); count > 0; --count) {
    std::string name(reader.text());
    tiles.bad.push_back({std::move(name), std::string(reader.text())});
  }
  reader.expect_end();
  return tiles;
}

}  // namespace tandem
