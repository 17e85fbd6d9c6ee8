#include "core/kernels/conv.hpp"

#include <algorithm>

#include "core/threads.hpp"

namespace tandem {
namespace {

// Calls visit(input pixel, output pixel, tap) for every product of image n, in a fixed order.
template <class Visit>
void for_products(const ConvShape& s, Index n, const Visit& visit) {
  for (Index i = 0; i < s.out_height(); ++i)
    for (Index j = 0; j < s.out_width(); ++j)
      for (Index u = 0; u < s.kernel_h; ++u)
        for (Index v = 0; v < s.kernel_w; ++v) {
          const Index h = i * s.stride_h - s.pad_h + u, w = j * s.stride_w - s.pad_w + v;
          if (h < 0 || h >= s.height || w < 0 || w >= s.width) continue;
          visit((n * s.height + h) * s.width + w, (n * s.out_height() + i) * s.out_width() + j, u * s.kernel_w + v);
        }
}

}  // namespace

void conv_forward(const ConvShape& s, const real* x, const real* W, const real* b, real* y) {
  const Index in = s.in_channels, out = s.out_channels, pixels = s.out_height() * s.out_width();
  for_blocks(s.images, 1, [&](Index n, Index) {
    for (Index p = n * pixels; p < (n + 1) * pixels; ++p)
      for (Index o = 0; o < out; ++o) y[p * out + o] = b ? b[o] : 0;
    for_products(s, n, [&](Index q, Index p, Index t) {
      for (Index c = 0; c < in; ++c)
        for (Index o = 0; o < out; ++o) y[p * out + o] += x[q * in + c] * W[(t * in + c) * out + o];
    });
  });
}

void conv_backward_data(const ConvShape& s, const real* dy, const real* W, real* dx) {
  const Index in = s.in_channels, out = s.out_channels, size = s.height * s.width * in;
  for_blocks(s.images, 1, [&](Index n, Index) {
    std::fill_n(dx + n * size, size, real{0});
    for_products(s, n, [&](Index q, Index p, Index t) {
      for (Index c = 0; c < in; ++c)
        for (Index o = 0; o < out; ++o) dx[q * in + c] += dy[p * out + o] * W[(t * in + c) * out + o];
    });
  });
}

void conv_backward_weights(const ConvShape& s, const real* x, const real* dy, real* dW) {
  const Index in = s.in_channels, out = s.out_channels;
  std::fill_n(dW, s.kernel_h * s.kernel_w * in * out, real{0});
  for (Index n = 0; n < s.images; ++n)
    for_products(s, n, [&](Index q, Index p, Index t) {
      for (Index c = 0; c < in; ++c)
        for (Index o = 0; o < out; ++o) dW[(t * in + c) * out + o] += x[q * in + c] * dy[p * out + o];
    });
}

}  // namespace tandem
