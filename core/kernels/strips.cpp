#include "core/kernels/strips.hpp"

#include <algorithm>

namespace tandem {

Strips::Strips(const TapWindow& window, Index images, Index pixels, Index row_multiple) : window_(window), images_(images) {
  const Index image_pixels = std::max<Index>(1, window.out_height * window.out_width);
  group_ = std::max<Index>(1, pixels / image_pixels);
  const Index cuts = divide_up(image_pixels, std::max(pixels, window.out_width));
  rows_ = std::clamp<Index>(divide_up(divide_up(window.out_height, cuts), row_multiple) * row_multiple, 1,
                            std::max<Index>(1, window.out_height));
  per_group_ = divide_up(window.out_height, rows_);
  count_ = window.out_width == 0 ? 0 : divide_up(images, group_) * per_group_;
}

Strip Strips::operator[](Index i) const {
  const Index image = i / per_group_ * group_, row = i % per_group_ * rows_;
  const Index images = std::min(group_, images_ - image), rows = std::min(rows_, window_.out_height - row);
  return {.image = image, .images = images, .row = row, .rows = rows, .pixels = images * rows * window_.out_width};
}

Index Strips::in_height() const { return std::max<Index>(0, (rows_ - 1) * window_.stride_h + window_.taps_h); }
Index Strips::in_width() const { return std::max<Index>(0, (window_.out_width - 1) * window_.stride_w + window_.taps_w); }

void Strips::copy_padded(const Strip& strip, const PixelRows& source, real* padded) const {
  const TapWindow& w = window_;
  const Index first_row = w.first_h + strip.row * w.stride_h;
  const Index left = std::clamp<Index>(-w.first_w, 0, in_width());  // columns [left, right) lie in the image
  const Index right = std::clamp(w.width - w.first_w, left, in_width());
  for (Index n = strip.image; n < strip.image + strip.images; ++n)
    for (Index h = first_row; h < first_row + in_height(); ++h, padded += row_size()) {
      const bool inside = h >= 0 && h < w.height && left < right;
      const Index begin = inside ? left * w.channels : row_size(), end = inside ? right * w.channels : row_size();
      std::fill(padded, padded + begin, real{0});
      if (inside) source.read(n, h, w.first_w + left, right - left, padded + begin);
      std::fill(padded + end, padded + row_size(), real{0});
    }
}

Scratch<Index> Strips::pixel_table(Index image_step, Index row_step, Index column_step) const {
  Scratch<Index> table(static_cast<std::size_t>(most_pixels()));
  Index* pixel = table.data();
  for (Index n = 0; n < group_; ++n)
    for (Index i = 0; i < rows_; ++i)
      for (Index j = 0; j < window_.out_width; ++j) *pixel++ = n * image_step + i * row_step + j * column_step;
  return table;
}

Scratch<Index> Strips::pixel_offsets() const {
  const Index pixel = window_.channels, row = row_size();
  return pixel_table(image_size(), window_.stride_h * row, window_.stride_w * pixel);
}

Scratch<Index> Strips::tap_offsets() const {
  Scratch<Index> table(static_cast<std::size_t>(window_.taps()));
  Index* tap = table.data();
  for (Index u = 0; u < window_.taps_h; ++u)
    for (Index vc = 0; vc < window_.taps_w * window_.channels; ++vc) *tap++ = u * row_size() + vc;
  return table;
}

}  // namespace tandem
