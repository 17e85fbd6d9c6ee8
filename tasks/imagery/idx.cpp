#include "tasks/imagery/idx.hpp"

#include <zlib.h>

#include <algorithm>
#include <system_error>

#include "core/error.hpp"
#include "core/file.hpp"

namespace tandem {
namespace {

namespace fs = std::filesystem;

// The first `limit` bytes of a gzip file's content, or all if there are fewer. Memory grows with what really comes out.
// `whole` is set when the content ended within the limit and its checksum was right.
std::string gunzip(std::string_view bytes, std::size_t limit, bool& whole) {
  z_stream stream{};
  constexpr int gzip_window = 15 + 16;  // zlib's way of saying: largest window, gzip header
  require(inflateInit2(&stream, gzip_window) == Z_OK, "gzip: no memory");
  const struct Closer {
    z_stream& stream;
    ~Closer() { inflateEnd(&stream); }
  } closer{stream};

  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string content;
  int status = Z_OK;
  while (status == Z_OK && content.size() < limit) {
    const std::size_t before = content.size();
    content.resize(std::min(limit, std::max<std::size_t>(2 * before, 1 << 16)));
    stream.next_out = reinterpret_cast<Bytef*>(content.data() + before);
    stream.avail_out = static_cast<uInt>(content.size() - before);
    status = inflate(&stream, Z_NO_FLUSH);
    content.resize(content.size() - stream.avail_out);
    require(status != Z_BUF_ERROR, "truncated: the gzip data ends after {} bytes", content.size());
    require(status == Z_OK || status == Z_STREAM_END, "damaged gzip data: {}", stream.msg ? stream.msg : zError(status));
  }
  whole = status == Z_STREAM_END;
  return content;
}

struct Header {
  Shape shape;
  std::size_t bytes = 0;
};

Header parse_header(std::string_view bytes) {
  require(bytes.size() >= 4, "truncated: {} bytes are no IDX header", bytes.size());
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  require(byte(0) == 0 && byte(1) == 0, "not an IDX file: it does not begin with two zero bytes");
  require(byte(2) == 8, "unsupported: IDX type {:#x}; only 0x8, unsigned bytes, is read", byte(2));
  const std::size_t axes = byte(3);
  require(axes >= 1 && axes <= 4, "not an IDX file of images or labels: {} axes", axes);
  Header header{.shape = {}, .bytes = 4 + 4 * axes};
  require(bytes.size() >= header.bytes, "truncated: {} bytes are no IDX header of {} axes", bytes.size(), axes);
  for (std::size_t at = 4; at < header.bytes; at += 4)
    header.shape.push_back(Index{byte(at)} << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3));
  return header;
}

}  // namespace

IdxArray decode_idx(std::string_view bytes) {
  constexpr std::size_t largest_header = 4 + 4 * 4;
  const bool packed = bytes.starts_with("\x1F\x8B");
  bool whole = true;
  const Header header = parse_header(packed ? gunzip(bytes, largest_header, whole) : bytes);
  const auto count = static_cast<std::size_t>(header.shape.size());
  require(count <= max_idx_bytes, "too large: {} is {} bytes; at most {} are read", header.shape, count, max_idx_bytes);

  // Unpacking stops one byte after what the header promises: enough to see that there is more.
  std::string unpacked;
  if (packed) {
    unpacked = gunzip(bytes, header.bytes + count + 1, whole);
    bytes = unpacked;
  }
  require(bytes.size() >= header.bytes + count, "truncated: {} promises {} values, {} are there", header.shape, count,
          bytes.size() - header.bytes);
  require(bytes.size() == header.bytes + count && whole, "damaged: more data than the {} values of {}", count, header.shape);
  const std::string_view values = bytes.substr(header.bytes);
  return {header.shape, {values.begin(), values.end()}};
}

IdxArray read_idx(const fs::path& path) {
  std::error_code none;
  fs::path file = path;
  if (!fs::exists(file, none)) file += ".gz";
  require(fs::exists(file, none), "idx '{}': no such file, nor '{}'", path.string(), file.filename().string());
  const std::string bytes = read_file(file, max_idx_bytes);
  try {
    return decode_idx(bytes);
  } catch (const Error& error) {
    fail("idx '{}': {}", file.string(), error.what());
  }
}

TileSet idx_tiles(IdxArray images, const IdxArray& labels, std::vector<std::string> classes, std::string_view prefix) {
  require(images.shape.rank() == 3 && labels.shape.rank() == 1 && images.shape[0] == labels.shape[0],
          "idx: images {} and labels {} do not fit; expected [n,height,width] and [n]", images.shape, labels.shape);
  TileSet tiles;
  tiles.height = images.shape[1];
  tiles.width = images.shape[2];
  tiles.channels = 1;
  tiles.classes = std::move(classes);
  for (std::size_t i = 0; i < labels.values.size(); ++i) {
    require(labels.values[i] < tiles.classes.size(), "idx: label {} of image {} is beyond the {} classes", labels.values[i],
            i, tiles.classes.size());
    tiles.labels.push_back(labels.values[i]);
    tiles.names.push_back(fmt::format("{}/{:05}", prefix, i));
  }
  tiles.own(std::move(images.values));
  return tiles;
}

TrainTest read_fashion_mnist(const fs::path& directory) {
  const std::vector<std::string> classes = {"T-shirt", "Trouser", "Pullover", "Dress", "Coat",
                                            "Sandal",  "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  const auto read = [&](const std::string& part, std::string_view prefix) {
    return idx_tiles(read_idx(directory / (part + "-images-idx3-ubyte")),
                     read_idx(directory / (part + "-labels-idx1-ubyte")), classes, prefix);
  };
  return {read("train", "train"), read("t10k", "test")};
}

}  // namespace tandem
