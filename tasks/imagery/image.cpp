#include "tasks/imagery/image.hpp"

#define STBI_NO_STDIO
#include <stb/stb_image.h>
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>

#include "core/error.hpp"
#include "core/file.hpp"
#include "tasks/imagery/stb.hpp"

namespace tandem {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view jpeg_start = "\xFF\xD8\xFF"sv;
constexpr std::string_view jpeg_scan = "\xFF\xDA"sv, jpeg_end = "\xFF\xD9"sv;
constexpr std::string_view png_start = "\x89PNG\r\n\x1A\n"sv;

// How other files that end up in image folders begin: naming the format helps more than "not an image".
struct Format {
  std::string_view start, name;
};
constexpr std::array other_formats = {
    Format{"II*\0"sv, "TIFF"},   Format{"MM\0*"sv, "TIFF"}, Format{"GIF8"sv, "GIF"},       Format{"BM"sv, "BMP"},
    Format{"RIFF"sv, "WebP"},    Format{"%PDF"sv, "PDF"},   Format{"PK\x03\x04"sv, "ZIP"}, Format{"\x1F\x8B"sv, "gzip"},
    Format{"\x89HDF"sv, "HDF5"}, Format{"<svg"sv, "SVG"},
};

// stb_image paints what is missing of a JPEG grey and reports success. A complete file has an end marker after the last scan;
// both are unmistakable, since the compressed data writes every byte FF as FF 00. Bytes after the end (padding, a second
// picture) do no harm. The limit on scans keeps a progressive file from asking for thousands of passes over a large picture;
// encoders make about ten.
void check_jpeg(std::string_view bytes) {
  constexpr int max_scans = 100;
  int scans = 0;
  for (std::size_t at = bytes.find(jpeg_scan); at != bytes.npos && scans <= max_scans; at = bytes.find(jpeg_scan, at + 2))
    ++scans;
  require(scans <= max_scans, "a JPEG with more than {} scans", max_scans);
  const std::size_t last_scan = bytes.rfind(jpeg_scan);
  require(last_scan != bytes.npos, "truncated: a JPEG without image data");
  require(bytes.find(jpeg_end, last_scan) != bytes.npos, "truncated: a JPEG without its end marker ({} bytes)",
          bytes.size());
}

std::size_t big_endian_32(std::string_view bytes) {
  std::size_t value = 0;
  for (const char byte : bytes.substr(0, 4)) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

// A PNG is a list of chunks, each [length, type, data, checksum of type and data], up to IEND. stb_image skips the checksums;
// walking the chunks ourselves finds both missing and altered bytes.
void check_png(std::string_view bytes) {
  for (std::size_t at = png_start.size(); bytes.size() - at >= 12;) {
    const std::size_t length = big_endian_32(bytes.substr(at));
    if (length > bytes.size() - at - 12) break;
    const std::string_view content = bytes.substr(at + 4, length + 4), type = content.substr(0, 4);
    const auto checksum = crc32(0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(content.size()));
    require(checksum == big_endian_32(bytes.substr(at + 8 + length)), "damaged: wrong checksum of a PNG chunk at byte {}",
            at);
    if (type == "IEND") return;
    at += length + 12;
  }
  fail("truncated: a PNG without its end chunk ({} bytes)", bytes.size());
}

struct Size {
  Index width, height;
};

// What the header says. A PNG keeps it at a fixed place; in a JPEG one must walk to the frame header, as stb_image does.
Size declared_size(std::string_view bytes, bool png) {
  if (png) {
    require(bytes.size() >= 24, "truncated: a PNG of {} bytes", bytes.size());
    return {static_cast<Index>(big_endian_32(bytes.substr(16))), static_cast<Index>(big_endian_32(bytes.substr(20)))};
  }
  int width = 0, height = 0, channels = 0;
  const DecoderMemory header_only(1 << 16);
  if (!stbi_info_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()), static_cast<int>(bytes.size()), &width, &height,
                             &channels)) {
    check_jpeg(bytes);
    fail("damaged: the JPEG has no valid header");
  }
  return {width, height};
}

}  // namespace

Image decode_image(std::string_view bytes) {
  require(!bytes.empty(), "empty file");
  require(bytes.size() <= max_image_file_bytes, "too large: {} bytes", bytes.size());
  const bool jpeg = bytes.starts_with(jpeg_start), png = bytes.starts_with(png_start);
  for (const Format& format : other_formats)
    require(!bytes.starts_with(format.start), "unsupported: this is a {} file; JPEG and PNG are read", format.name);
  require(jpeg || png, "not an image: it begins with neither the mark of a JPEG nor that of a PNG");

  // Sizes before memory.
  const auto [width, height] = declared_size(bytes, png);
  require(width > 0 && height > 0, "damaged: the size is {}x{}", width, height);
  require(width <= max_image_side && height <= max_image_side && width * height <= max_image_pixels,
          "too large: {}x{} pixels; at most {} a side and {} in all", width, height, max_image_side, max_image_pixels);
  const Index pixels = width * height;
  // Deflate packs at most 1032 bytes into one; a JPEG spends at least a bit on each block of 8x8 pixels.
  require(pixels / (png ? 8 * 1032 : 512) <= static_cast<Index>(bytes.size()),
          "truncated: {} bytes cannot hold {}x{} pixels", bytes.size(), width, height);
  png ? check_png(bytes) : check_jpeg(bytes);

  // The largest work areas: 16-bit pixels of four channels (PNG), 16-bit coefficients (progressive JPEG, in whole blocks of
  // 32 pixels), or the compressed bytes in a buffer that grows by doubling.
  const DecoderMemory memory(std::max<std::size_t>(8 * static_cast<std::size_t>(pixels), 2 * bytes.size()) + (4u << 20));
  int w = 0, h = 0, channels = 0;
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> decoded(
      stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()), static_cast<int>(bytes.size()), &w, &h,
                            &channels, 3),
      stbi_image_free);
  require(decoded != nullptr, "damaged: {}", stbi_failure_reason());
  require(w == width && h == height, "damaged: {}x{} pixels where the header says {}x{}", w, h, width, height);
  return {height, width, 3, {decoded.get(), decoded.get() + 3 * pixels}};
}

Image read_image(const std::filesystem::path& path) {
  const std::string bytes = read_file(path, max_image_file_bytes);
  try {
    return decode_image(bytes);
  } catch (const Error& error) {
    fail("image '{}': {}", path.string(), error.what());
  }
}

std::string png_bytes(const Image& image) {
  const auto& [h, w, c, pixels] = image;
  require(h >= 1 && w >= 1 && h <= max_image_side && w <= max_image_side && (c == 1 || c == 3 || c == 4) &&
              static_cast<Index>(pixels.size()) == h * w * c,
          "png: an image [{},{},{}] of {} bytes", h, w, c, pixels.size());
  std::string bytes;
  const auto append = [](void* to, void* data, int size) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(data), static_cast<std::size_t>(size));
  };
  const int ok = stbi_write_png_to_func(append, &bytes, static_cast<int>(w), static_cast<int>(h), static_cast<int>(c),
                                        pixels.data(), static_cast<int>(w * c));
  require(ok != 0, "png: no memory to encode [{},{},{}]", h, w, c);
  return bytes;
}

void write_png(const std::filesystem::path& path, const Image& image) { write_file(path, png_bytes(image)); }

Image grey(const Image& rgb) {
  require(rgb.channels == 3, "grey: the image has {} channels, not 3", rgb.channels);
  Image luminance{rgb.height, rgb.width, 1, {}};
  luminance.pixels.reserve(rgb.pixels.size() / 3);
  for (std::size_t i = 0; i < rgb.pixels.size(); i += 3)
    luminance.pixels.push_back(static_cast<std::uint8_t>((77 * rgb.pixels[i] + 150 * rgb.pixels[i + 1] + 29 * rgb.pixels[i + 2]) / 256));
  return luminance;
}

Image contact_sheet(std::span<const Image> tiles, Index columns, Index gap) {
  require(!tiles.empty() && columns >= 1 && gap >= 0, "contact sheet: {} tiles in {} columns, gap {}", tiles.size(), columns,
          gap);
  const auto& [h, w, c, first] = tiles.front();
  const Index rows = (static_cast<Index>(tiles.size()) + columns - 1) / columns;
  Image sheet{rows * (h + gap) + gap, columns * (w + gap) + gap, c, {}};
  sheet.pixels.assign(static_cast<std::size_t>(sheet.height * sheet.width * c), 255);

  for (Index i = 0; i < static_cast<Index>(tiles.size()); ++i) {
    const Image& tile = tiles[static_cast<std::size_t>(i)];
    require(tile.height == h && tile.width == w && tile.channels == c,
            "contact sheet: tile {} is [{},{},{}], tile 0 [{},{},{}]", i, tile.height, tile.width, tile.channels, h, w, c);
    const Index top = gap + i / columns * (h + gap), left = gap + i % columns * (w + gap);
    for (Index y = 0; y < h; ++y)
      std::copy_n(tile.pixels.begin() + y * w * c, w * c, sheet.pixels.begin() + ((top + y) * sheet.width + left) * c);
  }
  return sheet;
}

}  // namespace tandem
