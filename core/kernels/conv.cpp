// Convolution as a matrix product whose left matrix is never stored.
//
// Let p count output pixels and k = (u,v,c) taps. Around a copy of x with its border of zeros, the value that meets W[k,:] on its
// way to y[p,:] stands at address pixel[p] + tap[k]: moving the output pixel and moving the tap move the address independently.
//
//   forward         y[p,:]  = b + sum over k of x[pixel[p] + tap[k]] W[k,:]
//   weights         dW[k,:] =     sum over p of x[tap[k] + pixel[p]] dy[p,:]       the same with rows and terms exchanged
//   data            dx[q,:] =     sum over k of dy[pixel[q] + tap[k]] V[k,:]       forward again; V is W, flipped and transposed
//
// All three are add_tile() of register_tile.hpp. What remains here is to cut the work into strips that fit the caches, to give
// a strip of x its border of zeros (so that no inner loop asks whether it stands at the edge), and to pack the right matrix.
//
// The method is direct convolution on channel-innermost data as in Georganas et al., "Anatomy of High-Performance Deep Learning
// Convolutions on SIMD Architectures", SC 2018, sections II-III; the two tables of offsets are the "indirection" of Dukhan, "The
// Indirect Convolution Algorithm", 2019, split into its two summands.
#include "core/kernels/conv.hpp"

#include <algorithm>
#include <utility>

#include "core/error.hpp"
#include "core/kernels/register_tile.hpp"
#include "core/memory.hpp"
#include "core/threads.hpp"

namespace tandem {
namespace {

Index divide_up(Index a, Index b) { return (a + b - 1) / b; }

// ---- The right matrix: cut into blocks of tile_columns columns (the last may be one packet), each stored row after row.

Index packed_columns(Index columns) { return divide_up(columns, packet_size) * packet_size; }

// Calls visit(first column, stored columns, columns that exist) for each block.
template <class Visit>
void for_column_blocks(Index columns, const Visit& visit) {
  for (Index o = 0; o < columns; o += tile_columns)
    visit(o, std::min(tile_columns, packed_columns(columns) - o), std::min(tile_columns, columns - o));
}

// B rows [first, first + rows) = M [rows,columns]; B has total_rows.
void pack(const real* M, Index rows, Index columns, real* B, Index first, Index total_rows) {
  for_column_blocks(columns, [&](Index o, Index stored, Index existing) {
    real* block = B + o * total_rows + first * stored;
    for (Index k = 0; k < rows; ++k, block += stored) {
      std::copy_n(M + k * columns + o, existing, block);
      std::fill(block + existing, block + stored, real{0});
    }
  });
}

// The same with M transposed: M is [columns,rows].
void pack_transposed(const real* M, Index rows, Index columns, real* B, Index first, Index total_rows) {
  for_column_blocks(columns, [&](Index o, Index stored, Index existing) {
    real* block = B + o * total_rows + first * stored;
    for (Index k = 0; k < rows; ++k, block += stored) {
      for (Index c = 0; c < existing; ++c) block[c] = M[(o + c) * rows + k];
      std::fill(block + existing, block + stored, real{0});
    }
  });
}

// C rows = (start or C) + the product, for one block of columns.
void add_block(const TileRows& rows, const Index* step, Index steps, const real* B, const real* start, Index stored,
               Index existing) {
  if (stored == tile_columns)
    add_tile<2>(rows, step, steps, B, start, existing);
  else
    add_tile<1>(rows, step, steps, B, start, existing);
}

// ---- The left matrix: images with a border of zeros, seen through pixels and taps.

// The geometry of one correlation: tap (u,v) of output pixel (i,j) is source pixel (first_h + i stride_h + u, first_w + j
// stride_w + v), which is zero outside the image.
struct Window {
  Index height, width, channels;  // of the source
  Index first_h, first_w;         // where tap (0,0) of output pixel (0,0) stands; may be outside
  Index stride_h, stride_w;
  Index taps_h, taps_w;
  Index out_height, out_width;

  Index taps() const { return taps_h * taps_w * channels; }
};

// A part of a batch that is worked on at once: some rows of one image, or some whole images if they are small.
struct Strip {
  Index image, images;
  Index row, rows;
};

class Strips {
 public:
  // Strips of about `pixels` output pixels.
  Strips(const Window& window, Index images, Index pixels) : window_(window), images_(images) {
    const Index per_image = std::max<Index>(1, window.out_height * window.out_width);
    group_ = std::max<Index>(1, pixels / per_image);
    const Index parts = divide_up(per_image, std::max(pixels, window.out_width));
    rows_ = std::max<Index>(1, divide_up(window.out_height, parts));
    per_group_ = divide_up(window.out_height, rows_);
  }

  Index count() const { return window_.out_width == 0 ? 0 : divide_up(images_, group_) * per_group_; }
  Index pixels() const { return group_ * rows_ * window_.out_width; }  // of the largest strip
  Index pixels(const Strip& s) const { return s.images * s.rows * window_.out_width; }
  Index size() const { return group_ * image_size(); }  // values of the padded source of the largest strip

  Strip operator[](Index i) const {
    const Index image = i / per_group_ * group_, row = i % per_group_ * rows_;
    return {image, std::min(group_, images_ - image), row, std::min(rows_, window_.out_height - row)};
  }

  // Copies the strip's part of `source` into `padded`, with zeros where it leaves the image.
  void copy_padded(const Strip& s, const real* source, real* padded) const {
    const Window& w = window_;
    const Index left = std::clamp<Index>(-w.first_w, 0, in_width()),
                right = std::clamp(w.width - w.first_w, left, in_width());
    const Index first_row = w.first_h + s.row * w.stride_h;
    for (Index n = 0; n < s.images; ++n)
      for (Index h = 0; h < in_height(); ++h, padded += in_width() * w.channels) {
        const Index row = first_row + h;
        const bool inside = row >= 0 && row < w.height;
        const Index begin = inside ? left * w.channels : 0, end = inside ? right * w.channels : 0;
        std::fill(padded, padded + begin, real{0});
        if (begin < end)
          std::copy_n(source + (((s.image + n) * w.height + row) * w.width + w.first_w + left) * w.channels, end - begin,
                      padded + begin);
        std::fill(padded + end, padded + in_width() * w.channels, real{0});
      }
  }

  // pixel[p] and tap[k] of the page's head, relative to the start of a strip.
  Scratch<Index> pixel_offsets() const {
    return pixel_table(image_size(), window_.stride_h * in_width() * window_.channels, window_.stride_w * window_.channels);
  }
  Scratch<Index> tap_offsets() const {
    Scratch<Index> table(static_cast<std::size_t>(window_.taps()));
    Index* tap = table.data();
    for (Index u = 0; u < window_.taps_h; ++u)
      for (Index vc = 0; vc < window_.taps_w * window_.channels; ++vc) *tap++ = u * in_width() * window_.channels + vc;
    return table;
  }
  // The position of each pixel of the largest strip, image by image and row by row, in an array with the given steps. Smaller
  // strips use the beginning of the table: they lack whole images or, with one image, whole rows.
  Scratch<Index> pixel_table(Index image_step, Index row_step, Index column_step) const {
    Scratch<Index> table(static_cast<std::size_t>(pixels()));
    Index* pixel = table.data();
    for (Index n = 0; n < group_; ++n)
      for (Index i = 0; i < rows_; ++i)
        for (Index j = 0; j < window_.out_width; ++j) *pixel++ = n * image_step + i * row_step + j * column_step;
    return table;
  }

 private:
  Index in_height() const { return std::max<Index>(0, (rows_ - 1) * window_.stride_h + window_.taps_h); }
  Index in_width() const { return std::max<Index>(0, (window_.out_width - 1) * window_.stride_w + window_.taps_w); }
  Index image_size() const { return in_height() * in_width() * window_.channels; }

  Window window_;
  Index images_, group_, rows_, per_group_;
};

// Where output pixel (n,i,j) of a correlation stands.
struct Target {
  real* values;
  Index image_step, row_step, column_step;
};

// target[n,i,j,:] = b[:] + sum over k of source[pixel + tap[k]] B[k,:]          B packed, [taps(), columns]; b may be null
void correlate(const Window& window, Index images, const real* source, const real* B, Index columns, const real* b,
               const Target& target) {
  const Strips strips(window, images, 256);
  const Index taps = window.taps();
  const Scratch<Index> source_pixel = strips.pixel_offsets(), tap = strips.tap_offsets();
  const Scratch<Index> target_pixel = strips.pixel_table(target.image_step, target.row_step, target.column_step);
  Scratch start(static_cast<std::size_t>(packed_columns(columns)));
  std::fill(start.values().begin(), start.values().end(), real{0});
  if (b) std::copy_n(b, columns, start.data());

  for_blocks(strips.count(), 1, [&](Index i, Index) {
    const Strip strip = strips[i];
    const Index pixels = strips.pixels(strip);
    Scratch padded(static_cast<std::size_t>(strips.size()));
    strips.copy_padded(strip, source, padded.data());
    real* out = target.values + strip.image * target.image_step + strip.row * target.row_step;

    for_column_blocks(columns, [&](Index o, Index stored, Index existing) {
      for (Index p = 0; p < pixels; p += tile_rows) {
        TileRows rows{.a = {}, .c = {}, .count = std::min(tile_rows, pixels - p)};
        for (Index r = 0; r < tile_rows; ++r) {
          const auto q = static_cast<std::size_t>(std::min(p + r, pixels - 1));
          rows.a[static_cast<std::size_t>(r)] = padded.data() + source_pixel[q];
          rows.c[static_cast<std::size_t>(r)] = out + target_pixel[q] + o;
        }
        add_block(rows, tap.data(), taps, B + o * taps, start.data() + o, stored, existing);
      }
    });
  });
}

void check(const char* name, const ConvShape& s) {
  require(s.stride_h >= 1 && s.stride_w >= 1, "{}: stride {}x{}; expected at least 1", name, s.stride_h, s.stride_w);
  require(s.kernel_h >= 1 && s.kernel_w >= 1 && s.kernel_h <= s.height + 2 * s.pad_h && s.kernel_w <= s.width + 2 * s.pad_w,
          "{}: a kernel of {}x{} does not fit an image of {}x{} with a border of {}x{}", name, s.kernel_h, s.kernel_w,
          s.height, s.width, s.pad_h, s.pad_w);
}

Window forward_window(const ConvShape& s) {
  return {.height = s.height,
          .width = s.width,
          .channels = s.in_channels,
          .first_h = -s.pad_h,
          .first_w = -s.pad_w,
          .stride_h = s.stride_h,
          .stride_w = s.stride_w,
          .taps_h = s.kernel_h,
          .taps_w = s.kernel_w,
          .out_height = s.out_height(),
          .out_width = s.out_width()};
}

// One axis of one phase of backward-data. Pixel h of dx met the taps u with (h + pad - u) divisible by the stride: those with
// u = phase + t stride. For the pixels h = begin, begin + stride, ... of a phase, dy moves by one row a step.
struct Phase {
  Index begin, count;  // pixels begin + i stride of dx, i < count
  Index taps;          // taps phase + t stride of W, t < taps
  Index first;         // the row of dy that pixel 0 meets with the last tap
};
Phase phase_of(Index phase, Index size, Index kernel, Index stride, Index pad) {
  const Index begin = ((phase - pad) % stride + stride) % stride;
  const Index taps = phase < kernel ? divide_up(kernel - phase, stride) : 0;
  return {.begin = begin,
          .count = begin < size ? divide_up(size - begin, stride) : 0,
          .taps = taps,
          .first = (begin + pad - phase) / stride - (taps - 1)};
}

}  // namespace

void conv_forward(const ConvShape& s, const real* x, const real* W, const real* b, real* y) {
  check("conv_forward", s);
  const Window window = forward_window(s);
  const Index taps = window.taps(), out = s.out_channels;
  Scratch B(static_cast<std::size_t>(taps * packed_columns(out)));
  for_blocks(taps, 64, [&](Index k, Index end) { pack(W + k * out, end - k, out, B.data(), k, taps); });
  const Index row = window.out_width * out;
  correlate(window, s.images, x, B.data(), out, b, {y, window.out_height * row, row, out});
}

void conv_backward_data(const ConvShape& s, const real* dy, const real* W, real* dx) {
  check("conv_backward_data", s);
  const Index in = s.in_channels, out = s.out_channels, row = s.width * in;
  for (Index phase_h = 0; phase_h < s.stride_h; ++phase_h)
    for (Index phase_w = 0; phase_w < s.stride_w; ++phase_w) {
      const Phase h = phase_of(phase_h, s.height, s.kernel_h, s.stride_h, s.pad_h);
      const Phase w = phase_of(phase_w, s.width, s.kernel_w, s.stride_w, s.pad_w);
      const Window window{.height = s.out_height(),
                          .width = s.out_width(),
                          .channels = out,
                          .first_h = h.first,
                          .first_w = w.first,
                          .stride_h = 1,
                          .stride_w = 1,
                          .taps_h = h.taps,
                          .taps_w = w.taps,
                          .out_height = h.count,
                          .out_width = w.count};
      const Index taps = h.taps * w.taps;
      Scratch B(static_cast<std::size_t>(taps * out * packed_columns(in)));
      for_blocks(taps, 1, [&](Index t, Index) {
        const Index u = phase_h + (h.taps - 1 - t / w.taps) * s.stride_h,
                    v = phase_w + (w.taps - 1 - t % w.taps) * s.stride_w;
        pack_transposed(W + (u * s.kernel_w + v) * in * out, out, in, B.data(), t * out, taps * out);
      });
      correlate(window, s.images, dy, B.data(), in, nullptr,
                {dx + h.begin * row + w.begin * in, s.height * row, s.stride_h * row, s.stride_w * in});
    }
}

void conv_backward_weights(const ConvShape& s, const real* x, const real* dy, real* dW) {
  check("conv_backward_weights", s);
  const Window window = forward_window(s);
  const Strips strips(window, s.images, 128);
  const Index taps = window.taps(), out = s.out_channels, count = strips.count();
  const Scratch<Index> pixel = strips.pixel_offsets(), tap = strips.tap_offsets();
  std::fill_n(dW, taps * out, real{0});

  // All threads together pack a batch of strips, then each adds the whole batch to its own tiles of dW. So each number of dW
  // is summed by one thread, strip after strip.
  const Index x_size = strips.size(), dy_size = strips.pixels() * packed_columns(out);
  const Index batch =
      std::clamp<Index>((Index{1} << 18) / std::max<Index>(1, x_size + dy_size), 1, std::max<Index>(1, count));
  Scratch x_packed(static_cast<std::size_t>(batch * x_size)), dy_packed(static_cast<std::size_t>(batch * dy_size));
  const Index tap_tiles = divide_up(taps, tile_rows), tiles = tap_tiles * divide_up(out, tile_columns);

  for (Index first = 0; first < count; first += batch) {
    const Index last = std::min(count, first + batch);
    for_blocks(last - first, 1, [&](Index i, Index) {
      const Strip strip = strips[first + i];
      const Index pixels = strips.pixels(strip);
      strips.copy_padded(strip, x, x_packed.data() + i * x_size);
      pack(dy + (strip.image * window.out_height + strip.row) * window.out_width * out, pixels, out,
           dy_packed.data() + i * dy_size, 0, pixels);
    });
    for_blocks(tiles, std::max<Index>(1, divide_up(tiles, thread_count())), [&](Index begin, Index end) {
      for (Index i = 0; i < last - first; ++i) {
        const Index pixels = strips.pixels(strips[first + i]);
        for (Index tile = begin; tile < end; ++tile) {
          const Index o = tile / tap_tiles * tile_columns, k = tile % tap_tiles * tile_rows;
          TileRows rows{.a = {}, .c = {}, .count = std::min(tile_rows, taps - k)};
          for (Index r = 0; r < tile_rows; ++r) {
            const Index q = std::min(k + r, taps - 1);
            rows.a[static_cast<std::size_t>(r)] = x_packed.data() + i * x_size + tap[static_cast<std::size_t>(q)];
            rows.c[static_cast<std::size_t>(r)] = dW + q * out + o;
          }
          add_block(rows, pixel.data(), pixels, dy_packed.data() + i * dy_size + o * pixels, nullptr,
                    std::min(tile_columns, packed_columns(out) - o), std::min(tile_columns, out - o));
        }
      }
    });
  }
}

}  // namespace tandem
