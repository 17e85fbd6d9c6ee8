// Pooling: one value for each window of pixels, channel by channel. And back: one pixel becomes several.
//
// One comparison or addition for 4 bytes read: memory is the limit. So the largest value's place is kept in a byte, not in an index
// of eight, and a 2x2 pool after a convolution or normalisation had better be its epilogue (kernels/epilogue.hpp).
#include <algorithm>
#include <memory>

#include "core/ops.hpp"
#include "core/threads.hpp"

namespace tandem {
namespace {

struct PoolShape {
  Index images, height, width, channels, out_height, out_width;
  Window window;

  PoolShape(std::string_view op, const Shape& x, const Window& w) : window(w) {
    require(x.rank() == 4, "{}: x is {}; expected [n,h,w,c]", op, x);
    require(w.height >= 1 && w.width >= 1 && w.stride_h >= 1 && w.stride_w >= 1, "{}: window {}x{} with stride {}x{}", op, w.height,
            w.width, w.stride_h, w.stride_w);
    // A window that lies wholly in the padding would have no value.
    require(w.pad_h >= 0 && w.pad_w >= 0 && w.pad_h < w.height && w.pad_w < w.width, "{}: padding {}x{} for a window {}x{}", op,
            w.pad_h, w.pad_w, w.height, w.width);
    require(x[1] + 2 * w.pad_h >= w.height && x[2] + 2 * w.pad_w >= w.width, "{}: window {}x{} is larger than the image {}x{}", op,
            w.height, w.width, x[1], x[2]);
    images = x[0], height = x[1], width = x[2], channels = x[3];
    out_height = (height + 2 * w.pad_h - w.height) / w.stride_h + 1;
    out_width = (width + 2 * w.pad_w - w.width) / w.stride_w + 1;
  }
  Shape output() const { return {images, out_height, out_width, channels}; }

  // Calls visit(first channel of the output pixel, of the input pixel, number of the pixel in its window) for every pixel inside
  // the image of every window of image n. The channels of a pixel lie side by side, so that `visit` is a vector loop.
  template <class Visit>
  void for_windows(Index n, const Visit& visit) const {
    for (Index i = 0; i < out_height; ++i)
      for (Index j = 0; j < out_width; ++j) {
        const Index out = ((n * out_height + i) * out_width + j) * channels;
        const Index top = i * window.stride_h - window.pad_h, left = j * window.stride_w - window.pad_w;
        for (Index u = std::max<Index>(0, -top); u < std::min(window.height, height - top); ++u)
          for (Index v = std::max<Index>(0, -left); v < std::min(window.width, width - left); ++v)
            visit(out, ((n * height + top + u) * width + left + v) * channels, u * window.width + v);
      }
  }

  Index count_inside(Index i, Index j) const {
    const Index top = i * window.stride_h - window.pad_h, left = j * window.stride_w - window.pad_w;
    return (std::min(window.height, height - top) - std::max<Index>(0, -top)) *
           (std::min(window.width, width - left) - std::max<Index>(0, -left));
  }
};

// One pixel of a window, all its channels. `__restrict` says that the arrays do not overlap; else the compiler must assume that a
// byte may be written anywhere, and makes no vector loop of it.

constexpr std::uint8_t nobody_yet = 255;

// Keeps the larger of v and the best so far, and who it was: the first pixel of a window in any case, also if it is minus infinity. NaN
// wins and is not beaten, so that it shows.
void keep_larger(const real* __restrict v, std::uint8_t place, Index channels, real* __restrict best, std::uint8_t* __restrict winner) {
  for (Index c = 0; c < channels; ++c) {
    const bool larger = v[c] > best[c] || v[c] != v[c] || winner[c] == nobody_yet;
    best[c] = larger ? v[c] : best[c];
    winner[c] = larger ? place : winner[c];
  }
}

// dx += dy in the channels in which this pixel has won.
void add_where_won(const real* __restrict dy, const std::uint8_t* __restrict winner, std::uint8_t place, Index channels,
                   real* __restrict dx) {
  for (Index c = 0; c < channels; ++c) dx[c] += winner[c] == place ? dy[c] : 0;
}

}  // namespace

// The winner's place in its window is kept in one byte a value; dy goes to the winner.
Variable max_pool(const Variable& x, const Window& window) {
  const PoolShape s("max_pool", x.shape(), window);
  require(window.height * window.width <= nobody_yet, "max_pool: a window of {}x{} pixels; at most 255 in all", window.height, window.width);
  const Index in_image = s.height * s.width * s.channels, out_image = s.out_height * s.out_width * s.channels;
  Tensor y(s.output());
  const Scratch<std::uint8_t> winner(static_cast<std::size_t>(y.size()));
  for_blocks(s.images, 1, [&, in = x.value().data(), out = y.data(), win = winner.data()](Index n, Index) {
    std::fill_n(out + n * out_image, out_image, real{0});
    std::fill_n(win + n * out_image, out_image, nobody_yet);
    s.for_windows(n, [&](Index to, Index from, Index place) {
      keep_larger(in + from, static_cast<std::uint8_t>(place), s.channels, out + to, win + to);
    });
  });
  return record("max_pool", y, {{x, [s, in_image, winner, shape = x.shape()](const Tensor& dy) {
    Tensor dx(shape);
    for_blocks(s.images, 1, [&, d = dy.data(), to = dx.data(), win = winner.data()](Index n, Index) {
      std::fill_n(to + n * in_image, in_image, real{0});  // image by image: it is still in the cache when the windows come
      s.for_windows(n, [&](Index out, Index in, Index place) {
        add_where_won(d + out, win + out, static_cast<std::uint8_t>(place), s.channels, to + in);
      });
    });
    return dx;
  }}});
}

// Every pixel of a window gets an equal share of dy.
Variable average_pool(const Variable& x, const Window& window) {
  const PoolShape s("average_pool", x.shape(), window);
  Tensor y = Tensor::zeros(s.output());
  const auto shares = [s](Tensor& t, Index n) {  // divides each window's value by its number of pixels
    for (Index i = 0; i < s.out_height; ++i)
      for (Index j = 0; j < s.out_width; ++j) {
        real* const pixel = t.data() + ((n * s.out_height + i) * s.out_width + j) * s.channels;
        for (Index c = 0; c < s.channels; ++c) pixel[c] /= static_cast<real>(s.count_inside(i, j));
      }
  };
  for_blocks(s.images, 1, [&, in = x.value().data(), out = y.data()](Index n, Index) {
    s.for_windows(n, [&](Index to, Index from, Index) {
      for (Index c = 0; c < s.channels; ++c) out[to + c] += in[from + c];
    });
    shares(y, n);
  });
  return record("average_pool", y, {{x, [s, shares, shape = x.shape()](const Tensor& dy) {
    Tensor dx = Tensor::zeros(shape), share = dy.clone();
    for_blocks(s.images, 1, [&, d = share.data(), to = dx.data()](Index n, Index) {
      shares(share, n);
      s.for_windows(n, [&](Index out, Index in, Index) {
        for (Index c = 0; c < s.channels; ++c) to[in + c] += d[out + c];
      });
    });
    return dx;
  }}});
}

Variable global_average_pool(const Variable& x) {
  const Shape& in = x.shape();
  require(in.rank() == 4 && in[1] * in[2] > 0, "global_average_pool: x is {}; expected [n,h,w,c] with pixels", in);
  const Variable pooled = average_pool(x, {.height = in[1], .width = in[2]});
  return reshape(pooled, {in[0], in[3]});
}

// y[n,i,j] = x[n, i / factor, j / factor]: the nearest pixel. dx adds up the factor^2 gradients of each pixel's copies.
Variable upsample(const Variable& x, Index factor) {
  const Shape in = x.shape();
  require(in.rank() == 4 && factor >= 1, "upsample: x is {}, factor {}; expected [n,h,w,c] and at least 1", in, factor);
  const Index width = in[2], c = in[3], row = width * factor * c;  // of y
  Tensor y({in[0], in[1] * factor, width * factor, c});
  for_blocks(in[0] * in[1], 1, [&, from = x.value().data(), to = y.data()](Index i, Index) {
    real* const first = to + i * factor * row;
    for (Index j = 0; j < width * factor; ++j) std::copy_n(from + (i * width + j / factor) * c, c, first + j * c);
    for (Index copy = 1; copy < factor; ++copy) std::copy_n(first, row, first + copy * row);
  });
  return record("upsample", y, {{x, [=](const Tensor& dy) {
    Tensor dx = Tensor::zeros(in);
    for_blocks(in[0] * in[1], 1, [&, from = dy.data(), to = dx.data()](Index i, Index) {
      for (Index copy = 0; copy < factor; ++copy)
        for (Index j = 0; j < width * factor; ++j) {
          const real* __restrict d = from + (i * factor + copy) * row + j * c;
          real* __restrict sum = to + (i * width + j / factor) * c;
          for (Index k = 0; k < c; ++k) sum[k] += d[k];
        }
    });
    return dx;
  }}});
}

}  // namespace tandem
