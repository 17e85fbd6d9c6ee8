// Two-dimensional convolution. The loops are in kernels/conv.cpp; here stands what autograd needs to know.
#include "core/kernels/conv.hpp"

#include <functional>
#include <memory>

#include "core/ops.hpp"

namespace tandem {
namespace {

ConvShape conv_shape(const Shape& x, const Shape& W, const Window& window) {
  require(x.rank() == 4 && W.rank() == 4 && x[3] == W[2],
          "conv2d: x is {} and W is {}; expected x [n,h,w,c], W [kh,kw,c,out]", x, W);
  require(W[0] >= 1 && W[1] >= 1 && window.stride_h >= 1 && window.stride_w >= 1 && window.pad_h >= 0 && window.pad_w >= 0,
          "conv2d: kernel {}x{}, stride {}x{}, padding {}x{}; kernel and stride must be at least 1, padding at least 0",
          W[0], W[1], window.stride_h, window.stride_w, window.pad_h, window.pad_w);
  require(x[1] + 2 * window.pad_h >= W[0] && x[2] + 2 * window.pad_w >= W[1],
          "conv2d: the kernel {}x{} is larger than the image {}x{} with padding {}x{}", W[0], W[1], x[1], x[2], window.pad_h,
          window.pad_w);
  return {.images = x[0],
          .height = x[1],
          .width = x[2],
          .in_channels = x[3],
          .out_channels = W[3],
          .kernel_h = W[0],
          .kernel_w = W[1],
          .stride_h = window.stride_h,
          .stride_w = window.stride_w,
          .pad_h = window.pad_h,
          .pad_w = window.pad_w};
}

// dW and db come out of one pass over dz, made by the first that asks.
class WeightGradients {
 public:
  WeightGradients(const ConvShape& shape, std::function<Tensor()> image, Shape W, bool has_bias)
      : shape_(shape), image_(std::move(image)), W_(W), has_bias_(has_bias) {}

  const Tensor& dW(const OutputGradient& dy) { return compute(dy), dW_; }
  const Tensor& db(const OutputGradient& dy) { return compute(dy), db_; }

 private:
  void compute(const OutputGradient& dy) {
    if (dW_.defined()) return;
    dW_ = Tensor(W_);
    if (has_bias_) db_ = Tensor({shape_.out_channels});
    conv_backward_weights(shape_, image_().data(), dy, dW_.data(), has_bias_ ? db_.data() : nullptr);
  }

  ConvShape shape_;
  std::function<Tensor()> image_;
  Shape W_;
  bool has_bias_;
  Tensor dW_, db_;
};

}  // namespace

// Convolution is linear in x and in W, so each gradient is one more convolution-like sum with the other factor.
Variable conv2d(const Variable& x, const MadeImage& image, const Variable& W, const Variable& b, Window window, Epilogue epilogue) {
  Tensor in = image.make();
  const ConvShape s = conv_shape(in.shape(), W.shape(), window);
  if (b.defined())
    require(b.shape() == Shape{s.out_channels}, "conv2d: W is {} but b is {}; expected b [{}]", W.shape(), b.shape(),
            s.out_channels);
  const Index shrink = epilogue.max_pool ? 2 : 1;
  require(s.out_height() >= shrink && s.out_width() >= shrink,
          "conv2d: the result for x {} and W {} is {}x{}, too small for a 2x2 pool", in.shape(), W.shape(), s.out_height(),
          s.out_width());
  Tensor y({s.images, s.out_height() / shrink, s.out_width() / shrink, s.out_channels});
  const Scratch<std::uint8_t> winner(epilogue.max_pool ? count_of(y.size()) : 0);
  conv_forward(s, in.data(), W.value().data(), b.defined() ? b.value().data() : nullptr,
               {y.data(), epilogue, winner.data()});
  const Shape shape = in.shape();
  in = {};  // made again when it is needed again

  // W's values are looked up when they are needed, not kept: sharded parameters (parallel/data) may be elsewhere in between.
  // What the epilogue needs of y is kept, no more: the winners for a pool, else y itself for a relu.
  const auto before = [epilogue, winner, y = epilogue.relu && !epilogue.max_pool ? y : Tensor()](const Tensor& dy) {
    return OutputGradient{dy.data(), epilogue, y.defined() ? y.data() : nullptr, winner.data()};
  };
  // The weights come first, so that the image that is made for them is gone when dx comes.
  const auto weights = std::make_shared<WeightGradients>(s, image.make, W.shape(), b.defined());
  std::vector<Edge> edges{{W, [before, weights](const Tensor& dy) { return weights->dW(before(dy)); }}};
  if (b.defined()) edges.push_back({b, [before, weights](const Tensor& dy) { return weights->db(before(dy)); }});
  edges.push_back({x, [s, before, W, shape, back = image.back](const Tensor& dy) {
                     Tensor dx(shape);
                     conv_backward_data(s, before(dy), W.value().data(), dx.data());
                     return back(std::move(dx));
                   }});
  return record("conv2d", y, edges, s.operations());
}

Variable conv2d(const Variable& x, const Variable& W, const Variable& b, Window window, Epilogue epilogue) {
  return conv2d(x, {.make = [x = x.value()] { return x; }, .back = std::identity{}}, W, b, window, epilogue);
}

}  // namespace tandem
