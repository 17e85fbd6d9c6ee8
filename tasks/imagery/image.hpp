// One image as bytes, read from JPEG or PNG and written as PNG.
//
// Image files come from strangers. A file may be cut off, be something else than its name says, or claim to be larger than
// any memory. So the first bytes are looked at before any decoder is, sizes are checked before memory is taken, and every
// error names the file and what is wrong with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/real.hpp"

namespace tandem {

// pixels [height, width, channels], row-major: the channels of one pixel lie side by side.
struct Image {
  Index height = 0, width = 0, channels = 0;
  std::vector<std::uint8_t> pixels;

  friend bool operator==(const Image&, const Image&) = default;
};

// What is accepted: a tile, a scene or a photograph, but nothing that is made to exhaust the machine.
inline constexpr Index max_image_side = 16384;
inline constexpr Index max_image_pixels = Index{1} << 26;  // 64 Mpixel, 192 MiB as RGB
inline constexpr std::size_t max_image_file_bytes = std::size_t{1} << 28;

// An image of 3 channels (red, green, blue) from the bytes of a JPEG or PNG file; grey is repeated, transparency dropped,
// 16 bits are cut to 8. Errors: empty, not an image, an image of another format, truncated, damaged, too large.
Image decode_image(std::string_view bytes);

// The same from a file. Errors begin with the path; also: no such file, no permission, a directory.
Image read_image(const std::filesystem::path& path);

// The bytes of a PNG file of an image of 1, 3 or 4 channels; no file is touched, so that a report can embed it.
std::string png_bytes(const Image& image);

// Writes a PNG file, whole or not at all (core/file.hpp).
void write_png(const std::filesystem::path& path, const Image& image);

// Luminance of an image of 3 channels, [h,w,1]: (77 red + 150 green + 29 blue) / 256, after ITU-R BT.601. Grey stays as it is.
Image grey(const Image& rgb);

// Tiles of equal size side by side, `columns` in a row, on white, `gap` pixels apart: a picture of many pictures.
Image contact_sheet(std::span<const Image> tiles, Index columns, Index gap = 2);

}  // namespace tandem
