#include "core/kernels/conv.hpp"

#include "core/error.hpp"
#include "core/kernels/direct_conv.hpp"
#include "core/kernels/register_tile.hpp"
#include "core/kernels/winograd.hpp"

namespace tandem {
namespace {

void check(const char* name, const ConvShape& s) {
  require(s.stride_h >= 1 && s.stride_w >= 1, "{}: stride {}x{}; expected at least 1", name, s.stride_h, s.stride_w);
  require(s.kernel_h >= 1 && s.kernel_w >= 1 && s.kernel_h <= s.height + 2 * s.pad_h && s.kernel_w <= s.width + 2 * s.pad_w,
          "{}: a kernel of {}x{} does not fit an image of {}x{} with a border of {}x{}", name, s.kernel_h, s.kernel_w,
          s.height, s.width, s.pad_h, s.pad_w);
}

}  // namespace

// With fewer channels the transforms cost more than the products save: with 8, which AVX2 could do, direct convolution is up to 1.3
// times as fast. The number of images does not enter, because an image's result must not depend on its neighbours.
bool uses_winograd(const ConvShape& s) {
  const bool kernel_fits =
      s.kernel_h == 3 && s.kernel_w == 3 && s.stride_h == 1 && s.stride_w == 1 && s.pad_h <= 2 && s.pad_w <= 2;
  const auto channels_fit = [](Index channels) { return channels >= 16 && channels % packet_size == 0; };
  return winograd_wanted && kernel_fits && channels_fit(s.in_channels) && channels_fit(s.out_channels);
}

void conv_forward(const ConvShape& s, const real* x, const real* W, const real* b, const Output& y) {
  check("conv_forward", s);
  uses_winograd(s) ? winograd::forward(s, x, W, b, y) : direct::forward(s, x, W, b, y);
}

void conv_backward_data(const ConvShape& s, const OutputGradient& dy, const real* W, real* dx) {
  check("conv_backward_data", s);
  uses_winograd(s) ? winograd::backward_data(s, dy, W, dx) : direct::backward_data(s, dy, W, dx);
}

void conv_backward_weights(const ConvShape& s, const real* x, const OutputGradient& dy, real* dW, real* db) {
  check("conv_backward_weights", s);
  uses_winograd(s) ? winograd::backward_weights(s, x, dy, dW, db) : direct::backward_weights(s, x, dy, dW, db);
}

}  // namespace tandem
