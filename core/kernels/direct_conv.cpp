// Direct convolution as a matrix product whose left matrix is never stored.
//
// Let p count output pixels and k = (u,v,c) taps. In a copy of x with its border of zeros, the number that y[p,:] meets
// at tap k stands at pixel[p] + tap[k] (strips.hpp). So
//
//   forward    y[p,:]  = b + sum over k of x[pixel[p] + tap[k]] W[k,:]
//   weights    dW[k,:] =     sum over p of x[tap[k] + pixel[p]] dz[p,:]      rows and terms have changed places
//   data       dx[q,:] =     sum over k of dz[pixel[q] + tap[k]] V[k,:]      forward again; V is W, flipped and transposed
//
// and all three are add_tiles() of register_tile.hpp. What remains here is to cut the work and to pack the right matrix.
//
// Same bits: a number of y or dx is one chain of fused multiply-adds over k; a number of dW is one such chain over the
// pixels of each strip, strip added to strip. Both orders follow from the shape. Threads take whole strips of y and dx,
// whole tiles of dW.
//
// Sources: direct convolution with a register tile on channel-innermost data: Georganas et al., "Anatomy of
// High-Performance Deep Learning Convolutions on SIMD Architectures", SC 2018, section II. Offsets in place of copies:
// Dukhan, "The Indirect Convolution Algorithm", 2019; his table of pointers is here the sum of two short tables.
#include "core/kernels/direct_conv.hpp"

#include <algorithm>

#include "core/kernels/bias_gradient.hpp"
#include "core/kernels/column_blocks.hpp"
#include "core/kernels/strips.hpp"
#include "core/threads.hpp"

namespace tandem::direct {
namespace {

// Output pixels of a strip. Forward runs as fast with 128 as with 1024; few leave work for every thread in small batches.
// For dW a tile is loaded and stored once a strip, which 256 pixels of work outweigh (64: 15 % slower). Measured on 3 to
// 128 channels.
constexpr Index pixels_forward = 128, pixels_weights = 256;

// Numbers of x and dz that are packed before the threads turn to dW: about 1 MB, so that two barriers cost little.
constexpr Index packed_numbers = Index{1} << 18;

// Output pixel (n,i,j) of a correlation stands at values + n image_step + i row_step + j column_step.
struct Target {
  real* values;
  Index image_step, row_step, column_step;
};

// target[p,:] = b[:] + sum over k of source[pixel[p] + tap[k]] B[k,:]          B packed, [taps,columns]; b may be null
//
// With an epilogue the target is a whole y, stored without gaps. A strip is pooled while it is in the cache.
void correlate(const TapWindow& window, Index images, const PixelRows& source, const real* B, Index columns, const real* b,
               const Target& target, const Output& y) {
  const bool pool = y.epilogue.max_pool;
  const Strips strips(window, images, pixels_forward, pool ? 2 : 1);
  const Index taps = window.taps(), part = part_of_thread(strips.count()),
              z_size = pool ? strips.most_pixels() * columns : 0;
  const Scratch<Index> pixel = strips.pixel_offsets(), tap = strips.tap_offsets();
  const Scratch<Index> out = pool ? equal_steps(strips.most_pixels(), columns)
                                  : strips.pixel_table(target.image_step, target.row_step, target.column_step);
  Scratch padded(count_of(thread_count() * strips.size())), start(count_of(packed_columns(columns)));
  Scratch pooled_from(count_of(thread_count() * z_size));
  std::fill(start.values().begin(), start.values().end(), real{0});
  if (b) std::copy_n(b, columns, start.data());

  for_blocks(strips.count(), part, [&](Index begin, Index end) {
    real* const left = padded.data() + begin / part * strips.size();
    real* const z = pooled_from.data() + begin / part * z_size;
    for (Index s = begin; s < end; ++s) {
      const Strip strip = strips[s];
      real* const result = pool ? z : target.values + strip.image * target.image_step + strip.row * target.row_step;
      strips.copy_padded(strip, source, left);
      for (Index i = 0; i < column_blocks(columns); ++i) {
        const ColumnBlock block = column_block(i, columns);
        add_block(left, tap.data(), taps, B + block.first * taps, start.data() + block.first, block, result + block.first,
                  {.a = pixel.data(), .c = out.data(), .count = strip.pixels});
      }
      if (pool)
        for (Index n = 0; n < strip.images; ++n)
          pool_rows(z + n * strip.rows * window.out_width * columns, window.out_width, columns, strip.row, strip.rows,
                    strip.image + n, window.out_height, y);
      else if (y.epilogue.relu)
        rectify(result, strip.pixels * columns);
    }
  });
}

TapWindow forward_window(const ConvShape& s) {
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

// One axis of one phase of backward-data (see there).
struct Phase {
  Index pixel, pixels;  // pixels h = pixel + q stride of dx, q < pixels
  Index taps;           // taps u = phase + t stride of W, t < taps
  Index first;          // the row of dy that pixel q = 0 meets at the last tap
};
Phase phase_of(Index phase, Index size, Index kernel, Index stride, Index pad) {
  const Index pixel = ((phase - pad) % stride + stride) % stride;
  const Index taps = phase < kernel ? divide_up(kernel - phase, stride) : 0;
  return {.pixel = pixel,
          .pixels = pixel < size ? divide_up(size - pixel, stride) : 0,
          .taps = taps,
          .first = (pixel + pad - phase) / stride - (taps - 1)};
}

}  // namespace

void forward(const ConvShape& s, const real* x, const real* W, const real* b, const Output& y) {
  const TapWindow window = forward_window(s);
  const Index taps = window.taps(), out = s.out_channels, row = window.out_width * out;
  Scratch B(count_of(taps * packed_columns(out)));
  const Index part = part_of_thread(taps);
  for_blocks(taps, part, [&](Index k, Index end) { pack(W + k * out, out, 1, end - k, out, B.data(), k, taps); });
  correlate(window, s.images, {x, s.height, s.width, s.in_channels}, B.data(), out, b,
            {y.y, window.out_height * row, row, out}, y);
}

// Pixel h of dx has met tap u in output row i = (h + pad - u) / stride, where that divides. So the pixels fall into
// `stride` phases, h + pad = phase + stride (...), each with its own taps u = phase, phase + stride, ... Within a phase
// one pixel further is one row of dy further, and one tap further is one row back:
//
//   stride 2, pad 1, taps 0 1 2 3        h = 0 1 2 3 4 5
//                                  h + pad = 1 2 3 4 5 6        phase 0: h = 1 3 5, taps 0 2    phase 1: h = 0 2 4, taps 1 3
//
// Each phase is a forward convolution of dz with its taps in reverse order, and writes every stride-th pixel of dx.
void backward_data(const ConvShape& s, const OutputGradient& dy, const real* W, real* dx) {
  const Index in = s.in_channels, out = s.out_channels, row = s.width * in;
  for (Index phase_h = 0; phase_h < s.stride_h; ++phase_h)
    for (Index phase_w = 0; phase_w < s.stride_w; ++phase_w) {
      const Phase h = phase_of(phase_h, s.height, s.kernel_h, s.stride_h, s.pad_h);
      const Phase w = phase_of(phase_w, s.width, s.kernel_w, s.stride_w, s.pad_w);
      const Index taps = h.taps * w.taps;
      Scratch B(count_of(taps * out * packed_columns(in)));
      for_blocks(taps, 1, [&](Index t, Index) {
        const Index u = phase_h + (h.taps - 1 - t / w.taps) * s.stride_h,
                    v = phase_w + (w.taps - 1 - t % w.taps) * s.stride_w;
        pack(W + (u * s.kernel_w + v) * in * out, 1, out, out, in, B.data(), t * out, taps * out);
      });
      const TapWindow window{.height = s.out_height(),
                             .width = s.out_width(),
                             .channels = out,
                             .first_h = h.first,
                             .first_w = w.first,
                             .stride_h = 1,
                             .stride_w = 1,
                             .taps_h = h.taps,
                             .taps_w = w.taps,
                             .out_height = h.pixels,
                             .out_width = w.pixels};
      correlate(window, s.images, {dy, s.out_height(), s.out_width(), out}, B.data(), in, nullptr,
                {dx + h.pixel * row + w.pixel * in, s.height * row, s.stride_h * row, s.stride_w * in}, {});
    }
}

// All threads together pack some strips of x and dz; then each adds all of these to its own tiles of dW, strip after strip.
void backward_weights(const ConvShape& s, const real* x, const OutputGradient& dy, real* dW, real* db) {
  const TapWindow window = forward_window(s), dz_window = squares(s.out_height(), s.out_width(), s.out_channels, 1);
  const Strips strips(window, s.images, pixels_weights), dz_strips(dz_window, s.images, pixels_weights);  // cut alike
  const PixelRows x_rows(x, s.height, s.width, s.in_channels), dz_rows(dy, s.out_height(), s.out_width(), s.out_channels);
  const Index taps = window.taps(), out = s.out_channels, count = strips.count();
  const Scratch<Index> pixel = strips.pixel_offsets(), tap = strips.tap_offsets(), dW_row = equal_steps(taps, out);
  const BiasGradient bias(count, out);
  std::fill_n(dW, taps * out, real{0});

  const Index x_size = strips.size(), row_size = dz_strips.size(), dz_size = strips.most_pixels() * packed_columns(out);
  const Index together =
      std::clamp<Index>(packed_numbers / std::max<Index>(1, x_size + row_size + dz_size), 1, std::max<Index>(1, count));
  const Scratch x_packed(count_of(together * x_size)), dz_packed(count_of(together * dz_size)),
      dz(count_of(together * row_size));
  const Index row_tiles = divide_up(taps, tile_rows), tiles = row_tiles * column_blocks(out), part = part_of_thread(tiles);

  for (Index first = 0; first < count; first += together) {
    const Index strips_now = std::min(together, count - first);
    for_blocks(strips_now, 1, [&](Index i, Index) {
      const Strip strip = strips[first + i];
      real* const rows = dz.data() + i * row_size;
      strips.copy_padded(strip, x_rows, x_packed.data() + i * x_size);
      dz_strips.copy_padded(strip, dz_rows, rows);
      if (db) bias.sum(first + i, rows, strip.pixels);
      pack(rows, out, 1, strip.pixels, out, dz_packed.data() + i * dz_size, 0, strip.pixels);
    });
    for_blocks(tiles, part, [&](Index begin, Index end) {
      for (Index i = 0; i < strips_now; ++i)
        for_tile_runs(begin, end, row_tiles, [&](Index column, Index first_tile, Index last_tile) {
          const ColumnBlock block = column_block(column, out);
          const Index row = first_tile * tile_rows, pixels = strips[first + i].pixels;
          add_block(x_packed.data() + i * x_size, pixel.data(), pixels,
                    dz_packed.data() + i * dz_size + block.first * pixels, nullptr, block, dW + block.first,
                    {.a = tap.data() + row, .c = dW_row.data() + row, .count = std::min(taps, last_tile * tile_rows) - row});
        });
    });
  }
  if (db) bias.write(db);
}

}  // namespace tandem::direct
