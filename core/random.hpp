// Random numbers that depend on *what they are for*, not on who asks first.
//
// A usual generator carries a state from number to number, so the result depends on the order of the calls; with threads and
// ranks there is no such order. Philox has no state. It is a keyed scrambling of a counter:
//
//   four 32-bit numbers = philox(counter, key)          counter: 128 bits, key: 64 bits
//
// We take key = seed and counter = (index, stream). The stream names the use ("dropout of layer 3, sample 17, step 200"; see
// mix()), the index runs within it. Every rank and thread thus draws the same number for the same purpose.
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011, section 4.3 (Philox4x32-10).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/real.hpp"

namespace tandem {

using PhiloxBlock = std::array<std::uint32_t, 4>;
PhiloxBlock philox(PhiloxBlock counter, std::array<std::uint32_t, 2> key);

// One 64-bit number that stands for several: mix(seed, hash("conv1"), step). Order matters.
std::uint64_t mix(std::uint64_t a, std::uint64_t b);
template <class... More>
std::uint64_t mix(std::uint64_t a, std::uint64_t b, More... more) {
  return mix(mix(a, b), more...);
}

// 64-bit FNV-1a of a text or of bytes; `start` continues an earlier hash.
inline constexpr std::uint64_t hash_start = 0xcbf29ce484222325u;
std::uint64_t hash(std::string_view bytes, std::uint64_t start = hash_start);

// The stream `stream` under `seed`, read in order from index 0. Cheap to make: no warm-up, no state beyond the position.
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  std::uint32_t bits();                       // uniform over 2^32
  double uniform();                           // [0, 1), 32 bits
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double normal();                            // mean 0, variance 1 (Box and Muller)
  std::uint32_t below(std::uint32_t n);       // 0 .. n-1 without bias, n >= 1 (Lemire)

 private:
  std::uint64_t seed_, stream_;
  std::uint64_t block_index_ = 0;
  PhiloxBlock block_{};
  int unused_ = 0;                            // numbers of block_ not handed out yet
};

// 0 .. n-1 in random order (Fisher and Yates).
std::vector<std::int64_t> permutation(std::int64_t n, Random random);

}  // namespace tandem
