#include "core/machine.hpp"

#include <algorithm>
#include <chrono>

#include "core/kernels/register_tile.hpp"
#include "core/memory.hpp"
#include "core/threads.hpp"

namespace tandem {
namespace {

// The compiler may not leave out what leads to `value`, or to anything else in memory.
void must_know(auto& value) { asm volatile("" : : "g"(&value) : "memory"); }

double seconds_of(const auto& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Twelve independent chains of fused multiply-adds: two units with a latency of four cycles need eight, and with their two
// factors they fit 16 registers.
constexpr int chains = 12;
void run_chains(int steps) {
  Packet sum[chains];
  for (int i = 0; i < chains; ++i) sum[i] = Eigen::internal::pset1<Packet>(static_cast<real>(i));
  const Packet a = Eigen::internal::pset1<Packet>(real(0.5)), b = Eigen::internal::pset1<Packet>(real(1));
  for (int step = 0; step < steps; ++step)
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) sum[i] = fused_multiply_add(sum[i], a, b);
  for (Packet& chain : sum) must_know(chain);
}

double measure_flops() {
  constexpr int steps = 1'000'000, attempts = 10;  // an attempt takes about 15 ms
  const Index threads = thread_count();
  double best = 0;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const double seconds = seconds_of([&] { for_blocks(threads, 1, [](Index, Index) { run_chains(steps); }); });
    best = std::max(best, 2.0 * chains * steps * static_cast<double>(packet_size * threads) / seconds);
  }
  return best;
}

double measure_bandwidth() {
  constexpr Index length = Index{16} << 20, block = 1 << 16;  // three arrays of 64 MB (of floats): more than the caches hold
  constexpr int attempts = 5;
  const Scratch a(length), b(length), c(length);
  std::ranges::fill(b.values(), real(1));
  std::ranges::fill(c.values(), real(2));
  std::ranges::fill(a.values(), real(0));
  double best = 0;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const double seconds = seconds_of([&] {
      for_blocks(length, block, [a = a.data(), b = b.data(), c = c.data()](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) a[i] = b[i] + real(0.5) * c[i];
      });
      must_know(*a.data());
    });
    best = std::max(best, 3.0 * length * sizeof(real) / seconds);
  }
  return best;
}

}  // namespace

Machine measure_machine() { return {.flops = measure_flops(), .bandwidth = measure_bandwidth()}; }

}  // namespace tandem
