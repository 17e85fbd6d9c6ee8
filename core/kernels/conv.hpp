// Two-dimensional convolution, without autograd: the three loops that take nearly all the time of a convolutional network.
//
//   conv.cpp          chooses, by the shape of the layer and the width of a packet alone
//   direct_conv.cpp   any kernel, stride and border: the sums of the definition
//   winograd.cpp      3x3 kernels of stride 1, 16 channels and more: fewer multiplications for the same sums
//
// Cost of each by the definition: 2 images out_height out_width kernel_h kernel_w in_channels out_channels operations.
//
// Roofline (Williams, Waterman and Patterson, CACM 52(4), 2009): a kernel can be no faster than the arithmetic units, and no
// faster than its operations per byte times the bandwidth of the memory. A layer of 64 channels reads and writes 8 bytes per
// value but does 2 * 9 * 64 operations for it: 144 operations a byte, where a core of 250 GFLOP/s and 20 GB/s needs 12. So a
// convolution is limited by its multipliers if each value is fetched once and then used from the cache; the strips
// (strips.hpp), the tile (register_tile.hpp) and the epilogue (epilogue.hpp) are there to see to that.
//
// Bits: a result depends on the shape and the instruction set, never on the number of threads; y[n] and dx[n] do not
// depend on the other images of the call either. Errors: a stride below 1, or a kernel larger than the image with its
// border.
#pragma once

#include "core/kernels/epilogue.hpp"

namespace tandem {

// One convolution. x [images,height,width,in_channels], W [kernel_h,kernel_w,in_channels,out_channels],
// y [images,out_height(),out_width(),out_channels].
struct ConvShape {
  Index images, height, width, in_channels, out_channels;
  Index kernel_h, kernel_w;
  Index stride_h = 1, stride_w = 1;
  Index pad_h = 0, pad_w = 0;  // rows and columns of zeros on each side

  Index out_height() const { return (height + 2 * pad_h - kernel_h) / stride_h + 1; }
  Index out_width() const { return (width + 2 * pad_w - kernel_w) / stride_w + 1; }
  double operations() const {
    return 2.0 * static_cast<double>(images * out_height() * out_width() * kernel_h * kernel_w * in_channels * out_channels);
  }
};

// z[n,i,j,o] = b[o] + sum over u,v,c of x[n, i s - p + u, j s - p + v, c] W[u,v,c,o]        y = epilogue(z); b may be null
void conv_forward(const ConvShape& shape, const real* x, const real* W, const real* b, const Output& y);

// dx[n,h,w,c] = sum over u,v,o of dz[n,i,j,o] W[u,v,c,o] where i s - p + u = h and j s - p + v = w
void conv_backward_data(const ConvShape& shape, const OutputGradient& dy, const real* W, real* dx);

// dW[u,v,c,o] = sum over n,i,j of x[n, i s - p + u, j s - p + v, c] dz[n,i,j,o]      db[o] = sum over n,i,j of dz; db may be null
void conv_backward_weights(const ConvShape& shape, const real* x, const OutputGradient& dy, real* dW, real* db);

// False in a build with -DTANDEM_WINOGRAD=OFF: a training run with direct convolution alone, for comparison.
#ifdef TANDEM_DIRECT_CONVOLUTION
inline constexpr bool winograd_wanted = false;
#else
inline constexpr bool winograd_wanted = true;
#endif

// Whether the three use Winograd's algorithm for layers of this shape.
bool uses_winograd(const ConvShape& shape);

}  // namespace tandem
