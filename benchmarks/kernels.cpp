// How fast the convolution kernels are, layer by layer, against what this core could do at most.
//
//   kernels [--quick] [--json FILE] [options of Google Benchmark, as --benchmark_filter=forward]
//
// GFLOP/s counts the multiplications and additions of the definition, also those with the zeros of the border. The first
// line is the peak: nothing but fused multiply-adds on registers. Set OMP_NUM_THREADS=1 to compare a kernel with the peak
// of one core.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "core/kernels/conv.hpp"
#include "core/kernels/register_tile.hpp"
#include "core/random.hpp"
#include "core/tensor.hpp"

namespace tandem {
namespace {

void report(benchmark::State& state, double operations) {
  state.counters["GFLOP/s"] = benchmark::Counter(operations * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

// Twelve independent chains of fused multiply-adds: two units with a latency of four cycles need eight, and with their two
// factors they fit 16 registers.
void peak(benchmark::State& state) {
  constexpr int chains = 12, steps = 1000;
  Packet sum[chains];
  for (int i = 0; i < chains; ++i) sum[i] = Eigen::internal::pset1<Packet>(static_cast<real>(i));
  const Packet a = Eigen::internal::pset1<Packet>(real(0.5)), b = Eigen::internal::pset1<Packet>(real(1));
  for (auto _ : state) {
    for (int step = 0; step < steps; ++step)
#pragma GCC unroll 12
      for (int i = 0; i < chains; ++i) sum[i] = fused_multiply_add(sum[i], a, b);
    for (Packet& chain : sum) benchmark::DoNotOptimize(chain);
  }
  report(state, 2.0 * chains * steps * packet_size);
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

Tensor random_tensor(Shape shape) {
  Tensor t(shape);
  Random random(1, 1);
  for (real& value : t.values()) value = static_cast<real>(random.uniform(-1, 1));
  return t;
}

void convolution(benchmark::State& state, const ConvShape& s, char direction) {
  Tensor x = random_tensor({s.images, s.height, s.width, s.in_channels});
  Tensor W = random_tensor({s.kernel_h, s.kernel_w, s.in_channels, s.out_channels});
  Tensor y = random_tensor({s.images, s.out_height(), s.out_width(), s.out_channels});
  for (auto _ : state) {
    if (direction == 'F') conv_forward(s, x.data(), W.data(), nullptr, y.data());
    if (direction == 'I') conv_backward_data(s, y.data(), W.data(), x.data());
    if (direction == 'W') conv_backward_weights(s, x.data(), y.data(), W.data());
    benchmark::ClobberMemory();
  }
  report(state, 2.0 * static_cast<double>(y.size() * s.kernel_h * s.kernel_w * s.in_channels));
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  using namespace tandem;
  // The convolutions of the two models on tiles of 64x64 pixels, then small calls: a rank's share of a micro-batch.
  const Layer layers[] = {
      {"cnn", layer(16, 64, 3, 32, 3, 1, 1)},      {"cnn", layer(16, 64, 32, 32, 3, 1, 1)},
      {"cnn", layer(16, 32, 32, 64, 3, 1, 1)},     {"cnn", layer(16, 32, 64, 64, 3, 1, 1)},
      {"cnn", layer(16, 16, 64, 128, 3, 1, 1)},    {"cnn", layer(16, 16, 128, 128, 3, 1, 1)},
      {"resnet", layer(16, 64, 3, 16, 4, 2, 1)},   {"resnet", layer(16, 32, 16, 32, 3, 1, 1)},
      {"resnet", layer(16, 16, 32, 32, 3, 1, 1)},  {"resnet", layer(16, 16, 32, 64, 3, 1, 1)},
      {"resnet", layer(16, 8, 64, 64, 3, 1, 1)},   {"resnet", layer(16, 8, 64, 128, 3, 1, 1)},
      {"resnet", layer(16, 4, 128, 128, 3, 1, 1)}, {"small", layer(8, 8, 128, 128, 3, 1, 1)},
      {"small", layer(1, 16, 64, 64, 3, 1, 1)},
  };
  benchmark::RegisterBenchmark("peak", peak)->UseRealTime();
  for (const char direction : {'F', 'I', 'W'})
    for (const Layer& l : layers) {
      const ConvShape& s = l.shape;
      const char* name = direction == 'F' ? "forward" : direction == 'I' ? "backward_data" : "backward_weights";
      benchmark::RegisterBenchmark(fmt::format("{}/{}/{}x{}x{}x{}-{}/{}x{}s{}", name, l.model, s.images, s.height, s.width,
                                               s.in_channels, s.out_channels, s.kernel_h, s.kernel_w, s.stride_h)
                                       .c_str(),
                                   [s, direction](benchmark::State& state) { convolution(state, s, direction); })
          ->UseRealTime();
    }

  std::vector<std::string> arguments{argv[0], "--benchmark_min_time=0.1"};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--quick") {
      arguments.push_back("--benchmark_min_time=0.01");
    } else if (argument == "--json" && i + 1 < argc) {
      arguments.push_back(fmt::format("--benchmark_out={}", argv[++i]));
    } else {
      arguments.push_back(argument);
    }
  }
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
