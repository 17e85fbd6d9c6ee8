// TileSet: many labelled images of one size. Whatever the source (a folder, IDX files, the generator), this comes out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "tasks/imagery/image.hpp"

namespace tandem {

// A file that was left out; `reason` is a sentence that names the file.
struct BadFile {
  std::string name, reason;
};

// pixels [n, height, width, channels] are borrowed: from memory, or from a file that the system maps into memory and shares
// between all processes of a machine. `storage` keeps them alive, so a TileSet is copied freely without copying pixels.
struct TileSet {
  Index height = 0, width = 0, channels = 0;
  std::vector<std::string> classes;  // names; a label is an index into them
  std::vector<std::string> names;    // one per tile: where it came from
  std::vector<std::int32_t> labels;  // one per tile
  std::span<const std::uint8_t> pixels;
  std::shared_ptr<const void> storage;
  std::vector<BadFile> bad;  // left out while reading
  std::string note;          // what the user should know about how it was read; empty if all is well

  Index size() const { return static_cast<Index>(labels.size()); }
  Index tile_bytes() const { return height * width * channels; }

  std::span<const std::uint8_t> tile(Index i) const {
    require(i >= 0 && i < size(), "tiles: no tile {} among {}", i, size());
    return pixels.subspan(static_cast<std::size_t>(i * tile_bytes()), static_cast<std::size_t>(tile_bytes()));
  }
  Image image(Index i) const {
    const auto values = tile(i);
    return {height, width, channels, {values.begin(), values.end()}};
  }

  // Takes over pixels that live in memory.
  void own(std::vector<std::uint8_t> values) {
    auto owner = std::make_shared<const std::vector<std::uint8_t>>(std::move(values));
    pixels = *owner;
    storage = std::move(owner);
  }
};

}  // namespace tandem
