// Two-dimensional convolution. The loops are in kernels/conv.cpp; here stands what autograd needs to know.
#include "core/kernels/conv.hpp"

#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"

namespace tandem {
namespace {

ConvShape conv_shape(const Shape& x, const Shape& W, const Window& window) {
  require(x.rank() == 4 && W.rank() == 4 && x[3] == W[2], "conv2d: x is {} and W is {}; expected x [n,h,w,c], W [kh,kw,c,out]", x, W);
  require(W[0] >= 1 && W[1] >= 1 && window.stride_h >= 1 && window.stride_w >= 1 && window.pad_h >= 0 && window.pad_w >= 0,
          "conv2d: kernel {}x{}, stride {}x{}, padding {}x{}; kernel and stride must be at least 1, padding at least 0", W[0], W[1],
          window.stride_h, window.stride_w, window.pad_h, window.pad_w);
  require(x[1] + 2 * window.pad_h >= W[0] && x[2] + 2 * window.pad_w >= W[1],
          "conv2d: the kernel {}x{} is larger than the image {}x{} with padding {}x{}", W[0], W[1], x[1], x[2], window.pad_h,
          window.pad_w);
  return {.images = x[0], .height = x[1], .width = x[2], .in_channels = x[3], .out_channels = W[3],
          .kernel_h = W[0], .kernel_w = W[1], .stride_h = window.stride_h, .stride_w = window.stride_w,
          .pad_h = window.pad_h, .pad_w = window.pad_w};
}

}  // namespace

// Convolution is linear in x and in W, so each gradient is one more convolution-like sum with the other factor.
Variable conv2d(const Variable& x, const Variable& W, const Variable& b, Window window) {
  const ConvShape s = conv_shape(x.shape(), W.shape(), window);
  if (b.defined())
    require(b.shape() == Shape{s.out_channels}, "conv2d: W is {} but b is {}; expected b [{}]", W.shape(), b.shape(), s.out_channels);
  Tensor y({s.images, s.out_height(), s.out_width(), s.out_channels});
  conv_forward(s, x.value().data(), W.value().data(), b.defined() ? b.value().data() : nullptr, y.data());

  std::vector<Edge> edges{
      {x, [s, W = W.value(), shape = x.shape()](const Tensor& dy) {
         Tensor dx(shape);
         conv_backward_data(s, dy.data(), W.data(), dx.data());
         return dx;
       }},
      {W, [s, x = x.value(), shape = W.shape()](const Tensor& dy) {
         Tensor dW(shape);
         conv_backward_weights(s, x.data(), dy.data(), dW.data());
         return dW;
       }}};
  if (b.defined()) edges.push_back({b, [](const Tensor& dy) { return sum_rows(dy); }});
  return record("conv2d", y, std::move(edges));
}

}  // namespace tandem
