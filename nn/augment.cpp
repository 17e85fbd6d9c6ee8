#include "nn/augment.hpp"

#include <algorithm>
#include <utility>

#include "core/memory.hpp"

namespace tandem {
namespace {

// x[i] = (b v[i]) scale[i] + offset[i]. With b = 1 the product b v is v, to the last bit.
void convert_row(std::span<const real> scale, std::span<const real> offset, real b, const std::uint8_t* __restrict v,
                 real* __restrict x) {
  for (std::size_t i = 0; i < scale.size(); ++i) x[i] = b * static_cast<real>(v[i]) * scale[i] + offset[i];
}

void gather_row(std::span<const std::int32_t> from, const std::uint8_t* __restrict tile, std::uint8_t* __restrict v) {
  for (std::size_t i = 0; i < from.size(); ++i) v[i] = tile[from[i]];
}

// Pixel i of a line of n pixels that is mirrored beyond its ends: ... 1 0 | 0 1 ... n-1 | n-1 n-2 ...   for -n <= i < 2n
Index mirrored(Index i, Index n) { return i < 0 ? -1 - i : i >= n ? 2 * n - 1 - i : i; }

// One draw: pixel (i, j) of the result is pixel (i + down, j + right) of the swapped, reversed tile with mirrored borders.
struct View {
  bool swapped = false, rows_reversed = false, columns_reversed = false;
  Index down = 0, right = 0;
  real brightness = 1;
};

View draw(const TileAugmentation& augmentation, Random random) {
  View view;
  if (augmentation.quarter_turns) {
    // A quarter turn is a swap and one reversal, so two are both reversals, and three a swap and the other reversal.
    const std::uint32_t turns = random.below(4);
    view.swapped = turns % 2 == 1;
    view.rows_reversed = turns == 1 || turns == 2;
    view.columns_reversed = turns == 2 || turns == 3;
  }
  if (augmentation.flips) {
    view.rows_reversed ^= random.below(2) == 1;
    view.columns_reversed ^= random.below(2) == 1;
  }
  if (augmentation.shift > 0) {
    const auto any = [&] { return Index{random.below(static_cast<std::uint32_t>(2 * augmentation.shift + 1))}; };
    view.down = any() - augmentation.shift;
    view.right = any() - augmentation.shift;
  }
  if (augmentation.brightness > 0)
    view.brightness = static_cast<real>(random.uniform(1 - augmentation.brightness, 1 + augmentation.brightness));
  return view;
}

}  // namespace

Random augmentation_random(std::uint64_t seed, std::int64_t sample, std::int64_t step) {
  return {seed, mix(hash("augmentation"), static_cast<std::uint64_t>(sample), static_cast<std::uint64_t>(step))};
}

TileNormaliser::TileNormaliser(Shape tile, std::span<const real> mean, std::span<const real> deviation) : tile_(tile) {
  require(tile.rank() == 3, "normaliser: a tile is {}; expected [height,width,channels]", tile);
  const auto channels = static_cast<std::size_t>(tile[2]), row = static_cast<std::size_t>(tile[1]) * channels;
  require(mean.size() == channels && deviation.size() == channels, "normaliser: {} means and {} deviations for tiles of {}",
          mean.size(), deviation.size(), tile);
  for (std::size_t i = 0; i < row; ++i) {
    const std::size_t c = i % channels;
    require(deviation[c] > 0, "normaliser: the deviation of channel {} is {}; it must be positive", c, deviation[c]);
    scale_.push_back(1 / (255 * deviation[c]));
    offset_.push_back(-mean[c] / deviation[c]);
  }
}

void TileNormaliser::require_sizes(std::size_t tile, std::size_t x) const {
  const auto size = static_cast<std::size_t>(tile_.size());
  require(tile == size && x == size, "normaliser: {} bytes into {} values; tiles are {}", tile, x, tile_);
}

void TileNormaliser::plain(std::span<const std::uint8_t> tile, std::span<real> x) const {
  require_sizes(tile.size(), x.size());
  const std::size_t row = scale_.size();
  for (std::size_t begin = 0; begin < tile.size(); begin += row)
    convert_row(scale_, offset_, 1, tile.data() + begin, x.data() + begin);
}

// Both the symmetry and the shift treat rows and columns one at a time, so where value t of row i comes from is a sum of two
// table entries:
//
//   source = row_start[i] + row_value[t]       t = j c + channel
//
// One pass: gather a row of bytes, convert it while it is in the cache.
void TileNormaliser::augmented(std::span<const std::uint8_t> tile, const TileAugmentation& augmentation, Random random,
                               std::span<real> x) const {
  require_sizes(tile.size(), x.size());
  const Index h = tile_[0], w = tile_[1], c = tile_[2];
  require(!augmentation.quarter_turns || h == w,
          "augmentation: tiles of {} are not square, so they cannot take quarter turns", tile_);
  require(augmentation.shift >= 0 && augmentation.shift <= std::min(h, w),
          "augmentation: a shift of up to {} pixels in tiles of {}", augmentation.shift, tile_);
  require(augmentation.brightness >= 0 && augmentation.brightness < 1,
          "augmentation: a brightness of {}; it must be in [0, 1)", augmentation.brightness);
  const View view = draw(augmentation, random);

  // Steps from one row or column of the result to the next, in the tile.
  const auto [row_step, column_step] = view.swapped ? std::pair{c, w * c} : std::pair{w * c, c};
  const Scratch<std::int32_t> row_value(static_cast<std::size_t>(w * c));
  for (Index j = 0; j < w; ++j) {
    Index column = mirrored(j + view.right, w);
    if (view.columns_reversed) column = w - 1 - column;
    for (Index k = 0; k < c; ++k)
      row_value[static_cast<std::size_t>(j * c + k)] = static_cast<std::int32_t>(column * column_step + k);
  }

  const Scratch<std::uint8_t> bytes(row_value.size());
  for (Index i = 0; i < h; ++i) {
    Index row = mirrored(i + view.down, h);
    if (view.rows_reversed) row = h - 1 - row;
    gather_row(row_value.values(), tile.data() + row * row_step, bytes.data());
    convert_row(scale_, offset_, view.brightness, bytes.data(), x.data() + i * w * c);
  }
}

}  // namespace tandem
