#include "core/kernels/epilogue.hpp"

#include <algorithm>

namespace tandem {
namespace {

// `__restrict` says that the arrays do not overlap; else the compiler must assume that a byte may be written anywhere, and makes
// no vector loops of these.

void pass_positive(const real* __restrict dy, const real* __restrict y, Index count, real* __restrict dz) {
  for (Index i = 0; i < count; ++i) dz[i] = passed(y[i], dy[i]);
}

void pass_to_winner(const real* __restrict dy, const std::uint8_t* __restrict winner, std::uint8_t place, Index count,
                    real* __restrict dz) {
  for (Index i = 0; i < count; ++i) dz[i] = winner[i] == place ? dy[i] : 0;
}

template <bool relu>
void keep_largest(const real* __restrict z, Index right, Index below, Index channels, real* __restrict y,
                  std::uint8_t* __restrict winner) {
  const real* const other[3] = {z + right, z + below, z + below + right};
  for (Index c = 0; c < channels; ++c) {
    real best = z[c];
    int place = 0;
    for (int k = 0; k < 3; ++k) {
      const real v = other[k][c];
      const bool larger = v > best || v != v;
      best = larger ? v : best;
      place = larger ? k + 1 : place;
    }
    const bool cut = relu && best <= 0;
    y[c] = cut ? 0 : best;
    winner[c] = static_cast<std::uint8_t>(cut ? nobody : place);
  }
}

}  // namespace

void PixelRows::read(Index image, Index h, Index w, Index pixels, real* out) const {
  if (dy_.epilogue.max_pool) return read_pooled(image, h, w, pixels, out);
  const Index first = ((image * height_ + h) * width_ + w) * channels_, count = pixels * channels_;
  if (dy_.epilogue.relu)
    pass_positive(dy_.dy + first, dy_.y + first, count, out);
  else
    std::copy_n(dy_.dy + first, count, out);
}

void PixelRows::read_pooled(Index image, Index h, Index w, Index pixels, real* out) const {
  const Index pooled_height = height_ / 2, pooled_width = width_ / 2;
  for (Index j = w; j < w + pixels; ++j, out += channels_) {
    if (h / 2 == pooled_height || j / 2 == pooled_width) {  // the odd row or column that the pool dropped
      std::fill_n(out, channels_, real{0});
      continue;
    }
    const Index from = ((image * pooled_height + h / 2) * pooled_width + j / 2) * channels_;
    pass_to_winner(dy_.dy + from, dy_.winner + from, static_cast<std::uint8_t>(h % 2 * 2 + j % 2), channels_, out);
  }
}

void rectify(real* values, Index count) {
  for (Index i = 0; i < count; ++i) values[i] = rectified(values[i]);
}

void pool_window(const real* z, Index right, Index below, Index channels, bool relu, real* y, std::uint8_t* winner) {
  const auto keep = relu ? keep_largest<true> : keep_largest<false>;
  keep(z, right, below, channels, y, winner);
}

void pool_rows(const real* z, Index width, Index channels, Index first, Index rows, Index image, Index height,
               const Output& output) {
  for (Index i = 0; i + 1 < rows; i += 2)
    for (Index j = 0; j + 1 < width; j += 2) {
      const Index to = ((image * (height / 2) + (first + i) / 2) * (width / 2) + j / 2) * channels;
      pool_window(z + (i * width + j) * channels, channels, width * channels, channels, output.epilogue.relu, output.y + to,
                  output.winner + to);
    }
}

}  // namespace tandem
