// Augmentation: other views of the same ground, so that the network sees each tile anew in every epoch.
//
// A satellite looks straight down, so a tile turned or mirrored is as likely as the tile itself. Flips and quarter turns
// make the eight symmetries of the square; each is "swap rows and columns or not, then reverse rows or not, columns or not":
//
//   A B      as it is  A B   reverse rows  C D   reverse columns  B A   both  D C   (half turn)
//   C D      swapped   A C                 B D   (quarter turn)   C A         D B
//                      B D                 A C   (quarter turn)   D B         C A
//
// Bytes become normalised real numbers in the same pass: x = (b v/255 - mean[c]) / deviation[c], with brightness b.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/random.hpp"
#include "core/shape.hpp"

namespace tandem {

struct TileAugmentation {
  bool flips = true;          // rows reversed or not, columns reversed or not: each half of the time
  bool quarter_turns = true;  // 0, 1, 2 or 3, equally often; tiles must be square
  int shift = 0;              // up to so many pixels each way; what comes in at the border is the tile mirrored there
  real brightness = 0;        // all values times b, uniform in [1 - brightness, 1 + brightness]; in [0, 1)

  static TileAugmentation none() { return {.flips = false, .quarter_turns = false}; }
};

// The numbers that augment sample `sample` in step `step`: the same on every rank and thread, other ones in each step.
Random augmentation_random(std::uint64_t seed, std::int64_t sample, std::int64_t step);

// Turns tiles of one shape [h,w,c], stored as bytes, into network input. Immutable, so any number of threads may share it.
class TileNormaliser {
 public:
  // Mean and deviation of each channel on the scale where byte 255 is 1. Errors: not [h,w,c], not c values each, a deviation
  // that is not positive.
  TileNormaliser(Shape tile, std::span<const real> mean, std::span<const real> deviation);

  const Shape& tile_shape() const { return tile_; }

  // x = (tile/255 - mean) / deviation. Both hold h w c values. About 1 microsecond for 64x64x3.
  void plain(std::span<const std::uint8_t> tile, std::span<real> x) const;

  // The same seen through one random augmentation; with none(), the bits of plain(). About 6 microseconds for 64x64x3.
  // Errors: quarter turns of a tile that is not square, a shift beyond the tile, a brightness outside [0, 1).
  void augmented(std::span<const std::uint8_t> tile, const TileAugmentation& augmentation, Random random,
                 std::span<real> x) const;

 private:
  void require_sizes(std::size_t tile, std::size_t x) const;

  Shape tile_;
  std::vector<real> scale_, offset_;  // x = v scale + offset; one pair per value of a row of pixels, so that rows vectorise
};

}  // namespace tandem
