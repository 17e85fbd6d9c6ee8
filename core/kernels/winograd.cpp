// Winograd's algorithm F(2x2,3x3), for the convolution and for both of its gradients.
//
// Two neighbouring outputs of a filter of three taps need only four products instead of six:
//
//   y0 = d0 g0 + d1 g1 + d2 g2  =  m0 + m1 + m2         m0 = (d0 - d2) g0       m1 = (d1 + d2) (g0 + g1 + g2) / 2
//   y1 = d1 g0 + d2 g1 + d3 g2  =       m1 - m2 - m3    m3 = (d1 - d3) g2       m2 = (d2 - d1) (g0 - g1 + g2) / 2
//
// or with matrices   y = A^T [(G g) . (B^T d)]   where "." multiplies number by number. The same along rows and columns gives a
// tile of 2x2 outputs from 4x4 inputs with 16 products instead of 36:
//
//        x                      V [16]                 M [16]                     z
//   +-+-+-+-+              +-------------+        +-------------+
//   |d d d d|  B^T d B     | 16 matrices |  x U   | 16 matrices |  A^T m A     +-+-+
//   |d d d d|  ------->    | tiles       | -----> | tiles       |  ------->    |y y|   then bias and epilogue: the tile
//   |d d d d|              |  x channels |        |  x columns  |              |y y|   is one window of the 2x2 pool
//   |d d d d|              +-------------+        +-------------+              +-+-+
//                             each of the 16 is a product of matrices, because the sum over input channels
//                             can be taken before A^T m A: add_tiles() again
//
//   forward    z  = A^T [ sum over c of V(x) U(W) ] A               U = G g G^T
//   data       dx = the same of dz, with W flipped and transposed
//   weights    dW = G^T [ sum over tiles of V(x)^T (A dz A^T) ] G   every factor of the forward pass, transposed
//
// Cost: 16/36 of the operations of the definition in products; and per tile 32 additions for each input channel, 24 for each output
// channel (for dW 32 and 12). So what is saved grows with in x out, what is paid with in + out: from 16 channels on it pays.
// Roofline: V and M are four times as large as x and z, but they live and die in the level-2 cache; memory sees x and y alone.
//
// Same bits: as in direct_conv.cpp, with tiles in place of pixels.
//
// Sources: Winograd, "Arithmetic Complexity of Computations", SIAM 1980. Lavin and Gray, "Fast Algorithms for Convolutional Neural
// Networks", CVPR 2016, sections 4.1 and 5.1, for the two-dimensional form.
#include "core/kernels/winograd.hpp"

#include <algorithm>

#include "core/kernels/bias_gradient.hpp"
#include "core/kernels/column_blocks.hpp"
#include "core/kernels/strips.hpp"
#include "core/kernels/transpose.hpp"
#include "core/kernels/winograd_transforms.hpp"
#include "core/threads.hpp"

namespace tandem::winograd {
namespace {

constexpr Index planes = 16;  // one matrix for each number of a 4x4 tile

// Numbers of V that a strip may have. For y 128 KiB of floats: V, M, U and the image stay in a level-2 cache. For dW more, since
// each strip costs one more trip through dU; but not more than so many tiles, because the rounding errors of a sum grow with its length.
constexpr Index numbers_forward = Index{1} << 15, numbers_weights = Index{1} << 17, most_tiles_weights = 128;

// Between two planes: one cache line more than the matrix, so that the 16 numbers of a tile fall into different sets of the cache.
Index plane_size(Index numbers) { return numbers + memory_alignment / static_cast<Index>(sizeof(real)); }

Index tiles_of_strip(Index numbers, Index channels) { return std::max<Index>(tile_rows, numbers / (planes * channels)); }

// ---- The two-dimensional transforms of one tile: 16 numbers stand in 16 planes.

// V = B^T d B: `d` is the tile's top left pixel in a padded copy whose rows are `row` numbers apart.
void transform_input(const real* d, Index row, Index channels, real* V, Index plane) {
  for (Index c = 0; c < channels; c += packet_size)
    transform_square(
        input_transform, [=](int k, int l) { return d + k * row + l * channels + c; },
        [=](int k, int l, Packet v) { store(V + (4 * k + l) * plane + c, v); });
}

// z = A^T M A + bias: the 2x2 outputs, one after the other, `width` numbers each.
void transform_output(const real* M, Index plane, const real* bias, Index width, real* z) {
  for (Index o = 0; o < width; o += packet_size)
    transform_square(
        output_transform, [=](int k, int l) { return M + (4 * k + l) * plane + o; },
        [=](int k, int l, Packet v) { store(z + (2 * k + l) * width + o, plus(v, load(bias + o))); });
}

// A dz A^T: `width` channels at `dz`, whose pixels and rows are `pixel` and `row` numbers apart.
void transform_gradient(const real* dz, Index pixel, Index row, Index width, real* out, Index plane) {
  for (Index o = 0; o < width; o += packet_size)
    transform_square(
        output_gradient, [=](int k, int l) { return dz + k * row + l * pixel + o; },
        [=](int k, int l, Packet v) { store(out + (4 * k + l) * plane + o, v); });
}

// U = G g G^T of all kernels, packed (column_blocks.hpp), one matrix [in,out] per plane. tap(u,v) points at the matrix [in,out] of
// weights of tap (u,v).
template <class Tap>
void transform_kernels(const Tap& tap, Index in, Index out, real* U) {
  for_blocks(in, part_of_thread(in), [&](Index begin, Index end) {
    for (Index c = begin; c < end; ++c)
      for (Index i = 0; i < column_blocks(out); ++i) {
        const ColumnBlock block = column_block(i, out);
        for (Index o = 0; o < block.stored; o += packet_size)
          transform_square(
              kernel_transform, [&](int u, int v) { return tap(u, v) + c * out + block.first + o; },
              [&](int k, int l, Packet w) { store(U + ((4 * k + l) * out + block.first) * in + c * block.stored + o, w); });
      }
  });
}

// dW = G^T dU G, of numbers [begin, end) of matrices [in,out].
void transform_back(const real* dU, Index plane, Index begin, Index end, real* dW) {
  for (Index at = begin; at < end; at += packet_size)
    transform_square(
        kernel_gradient, [=](int k, int l) { return dU + (4 * k + l) * plane + at; },
        [=](int u, int v, Packet w) { store(dW + (3 * u + v) * plane + at, w); });
}

// ---- Cutting the work

// Tiles as the output pixels of a window of 4x4 taps that moves by two pixels.
TapWindow tile_window(const ConvShape& s) {
  return {.height = s.height,
          .width = s.width,
          .channels = s.in_channels,
          .first_h = -s.pad_h,
          .first_w = -s.pad_w,
          .stride_h = 2,
          .stride_w = 2,
          .taps_h = 4,
          .taps_w = 4,
          .out_height = divide_up(s.out_height(), 2),
          .out_width = divide_up(s.out_width(), 2)};
}

// Writes the outputs of one tile at row i and column j of tiles: `z` has 2x2 pixels of block.columns numbers.
void finish_tile(const ConvShape& s, const real* z, Index image, Index i, Index j, const ColumnBlock& block,
                 const Output& y) {
  const Index height = s.out_height(), width = s.out_width(), columns = block.columns;
  if (y.epilogue.max_pool) {
    if (i == height / 2 || j == width / 2) return;  // the odd row or column that the pool drops
    const Index to = ((image * (height / 2) + i) * (width / 2) + j) * s.out_channels + block.first;
    return pool_window(z, columns, 2 * columns, columns, y.epilogue.relu, y.y + to, y.winner + to);
  }
  for (Index u = 0; u < std::min<Index>(2, height - 2 * i); ++u)
    for (Index v = 0; v < std::min<Index>(2, width - 2 * j); ++v) {
      const real* const from = z + (2 * u + v) * columns;
      real* const __restrict to = y.y + ((image * height + 2 * i + u) * width + 2 * j + v) * s.out_channels + block.first;
      if (y.epilogue.relu)
        for (Index o = 0; o < columns; ++o) to[o] = rectified(from[o]);
      else
        for (Index o = 0; o < columns; ++o) to[o] = from[o];
    }
}

// Asks for a part of the cache lines that a strip of y will be written to. Spread over the products, the memory works while the
// multipliers do (3 % of a training step). Inlined by force, because GCC drops calls of a function that does nothing but this.
[[gnu::always_inline]] inline void expect_output(const ConvShape& s, const Strip& strip, const Output& y, Index part,
                                                 Index parts) {
  constexpr Index line = memory_alignment / static_cast<Index>(sizeof(real));
  const Index pixels = y.epilogue.max_pool ? 1 : 2;  // of a tile, along each axis
  const Index height = pixels == 1 ? s.out_height() / 2 : s.out_height(),
              row = (pixels == 1 ? s.out_width() / 2 : s.out_width()) * s.out_channels;
  const Index count = strip.images * std::min(strip.rows * pixels, height - strip.row * pixels) * row;
  const real* const first = y.y + (strip.image * height + strip.row * pixels) * row;
  for (Index at = count * part / parts / line * line; at < count * (part + 1) / parts; at += line)
    __builtin_prefetch(first + at, 1, 2);
}

void correlate(const ConvShape& s, const PixelRows& source, const real* U, const real* b, const Output& y) {
  const TapWindow window = tile_window(s);
  const Index in = s.in_channels, out = s.out_channels;
  const Strips strips(window, s.images, tiles_of_strip(numbers_forward, in));
  const Index part = part_of_thread(strips.count()), most = strips.most_pixels();
  const Index V_plane = plane_size(most * in), M_plane = plane_size(most * tile_columns);
  const Scratch<Index> pixel = strips.pixel_offsets(), channel = equal_steps(in, 1), V_row = equal_steps(most, in);
  const Scratch<Index> wide_row = equal_steps(most, tile_columns), narrow_row = equal_steps(most, packet_size);
  const Scratch bias(count_of(out)), zeros(count_of(tile_columns));
  std::ranges::fill(zeros.values(), real{0});
  b ? std::copy_n(b, out, bias.data()) : std::fill_n(bias.data(), out, real{0});
  const Index each = strips.size() + planes * (V_plane + M_plane);
  const Scratch work(count_of(thread_count() * each));

  for_blocks(strips.count(), part, [&](Index begin, Index end) {
    real* const padded = work.data() + begin / part * each;
    real* const V = padded + strips.size();
    real* const M = V + planes * V_plane;
    for (Index k = begin; k < end; ++k) {
      const Strip strip = strips[k];
      strips.copy_padded(strip, source, padded);
      for (Index t = 0; t < strip.pixels; ++t)
        transform_input(padded + pixel[count_of(t)], strips.row_size(), in, V + t * in, V_plane);
      for (Index i = 0; i < column_blocks(out); ++i) {
        const ColumnBlock block = column_block(i, out);
        const Rows<> rows{
            .a = V_row.data(), .c = (block.columns == tile_columns ? wide_row : narrow_row).data(), .count = strip.pixels};
        for (Index p = 0; p < planes; ++p) {
          if (i == 0) expect_output(s, strip, y, p, planes);
          add_block(V + p * V_plane, channel.data(), in, U + (p * out + block.first) * in, zeros.data(), block,
                    M + p * M_plane, rows);
        }
        const real* m = M;
        for (Index n = strip.image; n < strip.image + strip.images; ++n)
          for (Index row = strip.row; row < strip.row + strip.rows; ++row)
            for (Index column = 0; column < window.out_width; ++column, m += block.columns) {
              alignas(memory_alignment) real z[4 * tile_columns];
              transform_output(m, M_plane, bias.data() + block.first, block.columns, z);
              finish_tile(s, z, n, row, column, block, y);
            }
      }
    }
  });
}

}  // namespace

void forward(const ConvShape& s, const real* x, const real* W, const real* b, const Output& y) {
  const Index in = s.in_channels, out = s.out_channels;
  const Scratch U(count_of(planes * in * out));
  transform_kernels([=](int u, int v) { return W + (3 * u + v) * in * out; }, in, out, U.data());
  correlate(s, {x, s.height, s.width, in}, U.data(), b, y);
}

// Stride 1: dx[h,w] meets tap (u,v) at dz[h + pad - u, w + pad - v]. With u' = 2 - u that is a forward convolution of dz with a
// border of 2 - pad and the kernel V[u',v',o,c] = W[2-u',2-v',c,o].
void backward_data(const ConvShape& s, const OutputGradient& dy, const real* W, real* dx) {
  const Index in = s.in_channels, out = s.out_channels;
  const Scratch turned(count_of(9 * in * out)), U(count_of(planes * in * out));
  for_blocks(9, 1, [&](Index tap, Index) {
    transpose(W + tap * in * out, out, in, out, turned.data() + (8 - tap) * in * out, in);
  });
  transform_kernels([&](int u, int v) { return turned.data() + (3 * u + v) * in * out; }, out, in, U.data());
  const ConvShape back{.images = s.images,
                       .height = s.out_height(),
                       .width = s.out_width(),
                       .in_channels = out,
                       .out_channels = in,
                       .kernel_h = 3,
                       .kernel_w = 3,
                       .pad_h = 2 - s.pad_h,
                       .pad_w = 2 - s.pad_w};
  correlate(back, {dy, s.out_height(), s.out_width(), out}, U.data(), nullptr, {dx});
}

// Each thread transforms a strip of x and dz; then each adds all of these to its own tiles of dU, strip after strip.
void backward_weights(const ConvShape& s, const real* x, const OutputGradient& dy, real* dW, real* db) {
  const Index in = s.in_channels, out = s.out_channels;
  const Index tiles = std::min(most_tiles_weights, tiles_of_strip(numbers_weights, std::max(in, out)));
  const Strips strips(tile_window(s), s.images, tiles),
      dz_strips(squares(s.out_height(), s.out_width(), out, 2), s.images, tiles);
  const PixelRows x_rows(x, s.height, s.width, in), dz_rows(dy, s.out_height(), s.out_width(), out);
  const Index count = strips.count(), most = strips.most_pixels();
  const Scratch<Index> pixel = strips.pixel_offsets(), dz_pixel = dz_strips.pixel_offsets();
  const Scratch<Index> V_column = equal_steps(in, 1), step = equal_steps(most, in), dU_row = equal_steps(in, out);
  const BiasGradient bias(count, out);
  const Scratch dU(count_of(planes * in * out));
  std::ranges::fill(dU.values(), real{0});

  const Index V_plane = plane_size(most * in), M_plane = plane_size(most * out), each = planes * (V_plane + M_plane);
  const Index together = std::min<Index>(thread_count(), std::max<Index>(1, count));  // a strip fills a level-2 cache
  const Scratch transformed(count_of(together * each)), padded(count_of(together * (strips.size() + dz_strips.size())));
  const Index row_tiles = divide_up(in, tile_rows), blocks = column_blocks(out), tiles_of_dU = planes * blocks * row_tiles;

  for (Index first = 0; first < count; first += together) {
    const Index strips_now = std::min(together, count - first);
    for_blocks(strips_now, 1, [&](Index k, Index) {
      const Strip strip = strips[first + k];
      real* const V = transformed.data() + k * each;
      real* const M = V + planes * V_plane;
      real* const x_padded = padded.data() + k * (strips.size() + dz_strips.size());
      real* const dz = x_padded + strips.size();
      strips.copy_padded(strip, x_rows, x_padded);
      dz_strips.copy_padded(strip, dz_rows, dz);
      if (db) bias.sum(first + k, dz, 4 * strip.pixels);  // beyond an odd edge it is zero
      for (Index t = 0; t < strip.pixels; ++t) {
        transform_input(x_padded + pixel[count_of(t)], strips.row_size(), in, V + t * in, V_plane);
        for (Index i = 0; i < blocks; ++i) {
          const ColumnBlock block = column_block(i, out);
          transform_gradient(dz + dz_pixel[count_of(t)] + block.first, out, dz_strips.row_size(), block.columns,
                             M + block.first * strip.pixels + t * block.columns, M_plane);
        }
      }
    });
    for_blocks(tiles_of_dU, part_of_thread(tiles_of_dU), [&](Index begin, Index end) {
      for (Index k = 0; k < strips_now; ++k)
        for_tile_runs(begin, end, row_tiles, [&](Index column, Index first_tile, Index last_tile) {
          const Index p = column / blocks, row = first_tile * tile_rows, terms = strips[first + k].pixels;
          const ColumnBlock block = column_block(column % blocks, out);
          const real* const V = transformed.data() + k * each;
          const real* const M = V + planes * V_plane;
          add_block(
              V + p * V_plane, step.data(), terms, M + p * M_plane + block.first * terms, nullptr, block,
              dU.data() + p * in * out + block.first,
              {.a = V_column.data() + row, .c = dU_row.data() + row, .count = std::min(in, last_tile * tile_rows) - row});
        });
    });
  }

  for_blocks(in, part_of_thread(in),
             [&](Index begin, Index end) { transform_back(dU.data(), in * out, begin * out, end * out, dW); });
  if (db) bias.write(db);
}

}  // namespace tandem::winograd
