// Two-dimensional convolution, without autograd: the three loops that take nearly all the time of a convolutional network.
//
// Cost of each: 2 images out_height out_width kernel_h kernel_w in_channels out_channels operations. Beside its result
// each needs a packed copy of W and a padded copy of a few rows of x per thread, from the pool (memory.hpp).
//
// Bits: a result depends on the shape and the instruction set, never on the number of threads; y[n] and dx[n] do not
// depend on the other images of the call either. Errors: a stride below 1, or a kernel larger than the image with its
// border.
#pragma once

#include "core/real.hpp"

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
};

// y[n,i,j,o] = b[o] + sum over u,v,c of x[n, i s - p + u, j s - p + v, c] W[u,v,c,o]        (b may be null)
void conv_forward(const ConvShape& shape, const real* x, const real* W, const real* b, real* y);

// dx[n,h,w,c] = sum over u,v,o of dy[n,i,j,o] W[u,v,c,o] where i s - p + u = h and j s - p + v = w
void conv_backward_data(const ConvShape& shape, const real* dy, const real* W, real* dx);

// dW[u,v,c,o] = sum over n,i,j of x[n, i s - p + u, j s - p + v, c] dy[n,i,j,o]
void conv_backward_weights(const ConvShape& shape, const real* x, const real* dy, real* dW);

}  // namespace tandem
