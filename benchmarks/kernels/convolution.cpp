// Convolutions: those of the two models on tiles of 64x64 pixels, 16 images each, then small calls: a rank's share of a
// micro-batch. Beside them oneDNN, Intel's library behind PyTorch's convolutions, at its best: it chooses the layouts, and
// bringing images and weights into them is not timed; of its direct algorithm and the one that it would choose (which may be
// Winograd's), the faster counts. PyTorch itself always asks for the direct one.
#include <chrono>
#include <string_view>

#include "benchmarks/kernels/kernels.hpp"
#include "core/kernels/direct_conv.hpp"
#ifdef TANDEM_BENCH_ONEDNN
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace tandem {
namespace {

enum class Direction { forward, backward_data, backward_weights };

std::string_view name_of(Direction direction) {
  switch (direction) {
    case Direction::forward:
      return "forward";
    case Direction::backward_data:
      return "backward_data";
    case Direction::backward_weights:
      return "backward_weights";
  }
  return "?";
}

struct Layer {
  const char* model;
  ConvShape shape;
};

ConvShape layer(Index images, Index size, Index in, Index out, Index kernel, Index stride, Index pad) {
  return {.images = images,
          .height = size,
          .width = size,
          .in_channels = in,
          .out_channels = out,
          .kernel_h = kernel,
          .kernel_w = kernel,
          .stride_h = stride,
          .stride_w = stride,
          .pad_h = pad,
          .pad_w = pad};
}

// As the library does it, or by the direct algorithm where the library would use Winograd's.
std::function<void()> ours(const ConvShape& s, Direction direction, bool direct = false) {
  const auto forward = direct ? direct::forward : conv_forward;
  const auto backward_data = direct ? direct::backward_data : conv_backward_data;
  const auto backward_weights = direct ? direct::backward_weights : conv_backward_weights;
  Tensor x = random_tensor({s.images, s.height, s.width, s.in_channels});
  Tensor W = random_tensor({s.kernel_h, s.kernel_w, s.in_channels, s.out_channels});
  Tensor y = random_tensor({s.images, s.out_height(), s.out_width(), s.out_channels});
  switch (direction) {
    case Direction::forward:
      return [=]() mutable { forward(s, x.data(), W.data(), nullptr, {y.data()}); };
    case Direction::backward_data:
      return [=]() mutable { backward_data(s, {y.data()}, W.data(), x.data()); };
    case Direction::backward_weights:
      return [=]() mutable { backward_weights(s, x.data(), {y.data()}, W.data(), nullptr); };
  }
  return {};
}

#ifdef TANDEM_BENCH_ONEDNN
// oneDNN describes images as [n,c,h,w] and weights as [o,c,kh,kw], whatever their order in memory ("any": it may choose).
std::function<void()> onednn(const ConvShape& s, Direction direction, dnnl::algorithm algorithm) {
  using namespace dnnl;
  static const engine cpu(engine::kind::cpu, 0);
  const auto any = [](const memory::dims& extents) {
    return memory::desc(extents, memory::data_type::f32, memory::format_tag::any);
  };
  const auto x = any({s.images, s.in_channels, s.height, s.width});
  const auto W = any({s.out_channels, s.in_channels, s.kernel_h, s.kernel_w});
  const auto y = any({s.images, s.out_channels, s.out_height(), s.out_width()});
  const memory::dims stride{s.stride_h, s.stride_w}, pad{s.pad_h, s.pad_w};

  const auto filled = [](const memory::desc& description) {
    memory values(description, cpu);
    const Tensor numbers = random_tensor({static_cast<Index>(description.get_size() / sizeof(float))});
    std::ranges::copy(numbers.values(), static_cast<float*>(values.get_data_handle()));
    return values;
  };
  const auto call = [](const primitive& work, const std::unordered_map<int, memory>& arguments) {
    return [work, arguments, queue = stream(cpu)]() mutable {
      work.execute(queue, arguments);
      queue.wait();
    };
  };

  const convolution_forward::primitive_desc forward({prop_kind::forward_training, algorithm, x, W, y, stride, pad, pad},
                                                    cpu);
  switch (direction) {
    case Direction::forward:
      return call(convolution_forward(forward), {{DNNL_ARG_SRC, filled(forward.src_desc())},
                                                 {DNNL_ARG_WEIGHTS, filled(forward.weights_desc())},
                                                 {DNNL_ARG_DST, filled(forward.dst_desc())}});
    case Direction::backward_data: {
      const convolution_backward_data::primitive_desc data({algorithm, x, W, y, stride, pad, pad}, cpu, forward);
      return call(convolution_backward_data(data), {{DNNL_ARG_DIFF_SRC, filled(data.diff_src_desc())},
                                                    {DNNL_ARG_WEIGHTS, filled(data.weights_desc())},
                                                    {DNNL_ARG_DIFF_DST, filled(data.diff_dst_desc())}});
    }
    case Direction::backward_weights: {
      const convolution_backward_weights::primitive_desc weights({algorithm, x, W, y, stride, pad, pad}, cpu, forward);
      return call(convolution_backward_weights(weights), {{DNNL_ARG_SRC, filled(weights.src_desc())},
                                                          {DNNL_ARG_DIFF_WEIGHTS, filled(weights.diff_weights_desc())},
                                                          {DNNL_ARG_DIFF_DST, filled(weights.diff_dst_desc())}});
    }
  }
  return {};
}

std::function<void()> faster_onednn(const ConvShape& s, Direction direction) {
  const auto direct = onednn(s, direction, dnnl::algorithm::convolution_direct);
  const auto chosen = onednn(s, direction, dnnl::algorithm::convolution_auto);
  const auto best_of_three = [](const std::function<void()>& call) {
    auto best = std::chrono::steady_clock::duration::max();
    for (int i = 0; i < 3; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      call();
      best = std::min(best, std::chrono::steady_clock::now() - begin);
    }
    return best;
  };
  return best_of_three(direct) < best_of_three(chosen) ? direct : chosen;
}
#endif

}  // namespace

void add_convolutions() {
  const Layer layers[] = {
      {"cnn", layer(16, 64, 3, 32, 3, 1, 1)},      {"cnn", layer(16, 64, 32, 32, 3, 1, 1)},
      {"cnn", layer(16, 32, 32, 64, 3, 1, 1)},     {"cnn", layer(16, 32, 64, 64, 3, 1, 1)},
      {"cnn", layer(16, 16, 64, 128, 3, 1, 1)},    {"cnn", layer(16, 16, 128, 128, 3, 1, 1)},
      {"resnet", layer(16, 64, 3, 16, 4, 2, 1)},   {"resnet", layer(16, 32, 16, 32, 3, 1, 1)},
      {"resnet", layer(16, 16, 32, 32, 3, 1, 1)},  {"resnet", layer(16, 16, 32, 64, 3, 1, 1)},
      {"resnet", layer(16, 8, 64, 64, 3, 1, 1)},   {"resnet", layer(16, 8, 64, 128, 3, 1, 1)},
      {"resnet", layer(16, 4, 128, 128, 3, 1, 1)}, {"small", layer(8, 8, 128, 128, 3, 1, 1)},
      {"small", layer(1, 16, 64, 64, 3, 1, 1)},    {"small", layer(1, 8, 128, 128, 3, 1, 1)},
  };
  for (const Direction direction : {Direction::forward, Direction::backward_data, Direction::backward_weights})
    for (const Layer& l : layers) {
      const ConvShape& s = l.shape;
      const Index y = s.images * s.out_height() * s.out_width() * s.out_channels;
      const Index taps = s.kernel_h * s.kernel_w * s.in_channels;
      Kernel kernel{.name = fmt::format("{}/{}/{}x{}x{}x{}-{}/{}x{}s{}", name_of(direction), l.model, s.images, s.height,
                                        s.width, s.in_channels, s.out_channels, s.kernel_h, s.kernel_w, s.stride_h),
                    .operations = 2.0 * static_cast<double>(y * taps),
                    .bytes = bytes_of(s.images * s.height * s.width * s.in_channels + taps * s.out_channels + y),
                    .prepare = [s, direction] { return ours(s, direction); }};
      add_kernel(kernel);
      if (uses_winograd(s)) {
        kernel.who = "direct";
        kernel.prepare = [s, direction] { return ours(s, direction, true); };
        add_kernel(kernel);
      }
#ifdef TANDEM_BENCH_ONEDNN
      kernel.who = "oneDNN";
      kernel.prepare = [s, direction] { return faster_onednn(s, direction); };
      add_kernel(std::move(kernel));
#endif
    }
}

}  // namespace tandem
