#include "core/random.hpp"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "core/error.hpp"

namespace tandem {

PhiloxBlock philox(PhiloxBlock c, std::array<std::uint32_t, 2> key) {
  const auto multiply = [](std::uint32_t a, std::uint32_t b) {
    const std::uint64_t product = std::uint64_t{a} * b;
    return std::pair{static_cast<std::uint32_t>(product >> 32), static_cast<std::uint32_t>(product)};
  };
  // Ten rounds of multiply and swap; the key advances by two Weyl constants (golden ratio, sqrt(3) - 1).
  for (int round = 0; round < 10; ++round) {
    const auto [high0, low0] = multiply(0xD2511F53u, c[0]);
    const auto [high1, low1] = multiply(0xCD9E8D57u, c[2]);
    c = {high1 ^ c[1] ^ key[0], low1, high0 ^ c[3] ^ key[1], low0};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return c;
}

// The finaliser of SplitMix64 over a weighted sum: every input bit reaches every output bit.
std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t z = a * 0x9E3779B97F4A7C15u + b + 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

std::uint64_t hash(std::string_view bytes, std::uint64_t start) {
  for (const char byte : bytes) start = (start ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  return start;
}

std::uint32_t Random::bits() {
  if (unused_ == 0) {
    const auto low = [](std::uint64_t v) { return static_cast<std::uint32_t>(v); };
    const auto high = [](std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32); };
    block_ = philox({low(block_index_), high(block_index_), low(stream_), high(stream_)}, {low(seed_), high(seed_)});
    ++block_index_;
    unused_ = 4;
  }
  return block_[static_cast<std::size_t>(4 - unused_--)];
}

double Random::uniform() { return bits() * 0x1p-32; }

double Random::normal() {
  const double radius = std::sqrt(-2 * std::log((bits() + 1.0) * 0x1p-32));  // + 1: the logarithm of 0 never happens
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

std::uint32_t Random::below(std::uint32_t n) {
  require(n > 0, "random: below(0) has no answer");
  std::uint64_t product = std::uint64_t{bits()} * n;
  // Of the 2^32 inputs, the first 2^32 mod n of each residue are drawn again.
  const std::uint32_t threshold = (0u - n) % n;
  while (static_cast<std::uint32_t>(product) < threshold) product = std::uint64_t{bits()} * n;
  return static_cast<std::uint32_t>(product >> 32);
}

std::vector<std::int64_t> permutation(std::int64_t n, Random random) {
  require(n >= 0 && n < (std::int64_t{1} << 32), "permutation: of {} elements", n);
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(static_cast<std::uint32_t>(i))]);
  return order;
}

}  // namespace tandem
