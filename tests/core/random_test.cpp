// Philox against its published vectors, and what is built on it.
#include "core/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "tests/support.hpp"

namespace tandem {
namespace {

// Source: the file kat_vectors of Random123 (Salmon et al.), lines "philox4x32 10".
TEST_CASE("random: Philox gives the published vectors") {
  constexpr std::uint32_t ones = 0xffffffffu;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == PhiloxBlock{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  CHECK(philox({ones, ones, ones, ones}, {ones, ones}) == PhiloxBlock{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  CHECK(philox({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}) ==
        PhiloxBlock{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
}

TEST_CASE("random: one changed bit of counter or key changes about half of the 128 bits") {
  const PhiloxBlock counter{1, 2, 3, 4}, before = philox(counter, {5, 6});
  const auto changed_bits = [&](const PhiloxBlock& after) {
    int bits = 0;
    for (std::size_t i = 0; i < 4; ++i) bits += std::popcount(before[i] ^ after[i]);
    return bits;
  };
  CHECK(changed_bits(philox(counter, {5, 6})) == 0);
  for (std::size_t bit = 0; bit < 192; ++bit) {
    PhiloxBlock other = counter;
    std::array<std::uint32_t, 2> key{5, 6};
    (bit < 128 ? other[bit / 32] : key[bit / 32 - 4]) ^= 1u << bit % 32;
    // Binomial(128, 1/2): deviation 5.7, so five deviations around 64.
    const int bits = changed_bits(philox(other, key));
    CHECK(bits > 35);
    CHECK(bits < 93);
  }
}

TEST_CASE("random: a stream is the Philox blocks of counters (index, stream) under key seed, in order") {
  const std::uint64_t seed = 0x1122334455667788u, stream = 0x99aabbccddeeff00u;
  Random random(seed, stream);
  for (std::uint32_t index = 0; index < 3; ++index)
    for (const std::uint32_t expected : philox({index, 0, 0xddeeff00u, 0x99aabbccu}, {0x55667788u, 0x11223344u}))
      CHECK(random.bits() == expected);
}

TEST_CASE("random: streams do not overlap, and a stream does not repeat itself") {
  // 64 streams of 1000 pairs of 32-bit numbers: 64,000 values of 64 bits, of which two agree by chance in 1 of 10^10 runs.
  std::set<std::uint64_t> seen;
  for (std::uint64_t stream = 0; stream < 64; ++stream) {
    Random random(7, stream);
    for (int i = 0; i < 1000; ++i) seen.insert(std::uint64_t{random.bits()} << 32 | random.bits());
  }
  CHECK(seen.size() == 64'000);

  Random a(7, 3), b(7, 3), other(8, 3);
  CHECK(a.bits() == b.bits());  // negative control: the same seed and stream are the same numbers
  CHECK(a.bits() != other.bits());
}

TEST_CASE("random: mix depends on the order and on each part; hash is FNV-1a") {
  CHECK(mix(1, 2) != mix(2, 1));
  CHECK(mix(1, 2, 3) != mix(1, 3, 2));
  CHECK(mix(mix(1, 2), 3) == mix(1, 2, 3));
  std::set<std::uint64_t> seen;
  for (std::uint64_t a = 0; a < 200; ++a)
    for (std::uint64_t b = 0; b < 200; ++b) seen.insert(mix(a, b));
  CHECK(seen.size() == 40'000);
  // Source: Fowler, Noll and Vo's own test vectors for 64-bit FNV-1a.
  CHECK(hash("") == 0xcbf29ce484222325u);
  CHECK(hash("a") == 0xaf63dc4c8601ec8cu);
  CHECK(hash("foobar") == 0x85944171f73967e8u);
  CHECK(hash("bar", hash("foo")) == hash("foobar"));
}

TEST_CASE("random: below(n) reaches every number equally often") {
  for (const std::uint32_t n : {1u, 2u, 3u, 5u, 7u, 10u}) {
    Random random(3, n);
    constexpr int draws = 100'000;
    std::vector<int> counts(n);
    for (int i = 0; i < draws; ++i) ++counts.at(random.below(n));
    const double expected = double{draws} / n, deviation = std::sqrt(expected * (1 - 1.0 / n));
    for (const int count : counts) CHECK(std::abs(count - expected) <= 5 * deviation);
  }
  CHECK(error_of([] { Random(1, 1).below(0); }) == "random: below(0) has no answer");
}

TEST_CASE("random: below(n) is unbiased also where 2^32 is far from a multiple of n") {
  // With n = 3 * 2^30, scaling alone would give the numbers 0 mod 3 twice as often as the others.
  Random random(4, 0);
  constexpr int draws = 30'000;
  std::array<int, 3> counts{};
  for (int i = 0; i < draws; ++i) ++counts[random.below(3u << 30) % 3];
  for (const int count : counts) CHECK(std::abs(count - draws / 3) < 5 * std::sqrt(draws * 2.0 / 9));

  std::array<int, 3> biased{};  // negative control
  for (int i = 0; i < draws; ++i) ++biased[(std::uint64_t{random.bits()} * (3u << 30) >> 32) % 3];
  CHECK(std::abs(biased[0] - draws / 3) > 5 * std::sqrt(draws * 2.0 / 9));
}

TEST_CASE("random: uniform numbers lie in [0,1) with mean 1/2, normal ones have mean 0 and variance 1") {
  Random random(9, 1);
  constexpr int draws = 200'000;
  double sum = 0, normal_sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < draws; ++i) {
    const double u = random.uniform();
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    sum += u;
    const double z = random.normal();
    REQUIRE(std::isfinite(z));
    normal_sum += z, squares += z * z, fourth += z * z * z * z;
  }
  // Five deviations of each average: var(u) = 1/12, var(z) = 1, var(z^2) = 2, var(z^4) = 96.
  const double root = std::sqrt(double{draws});
  CHECK(std::abs(sum / draws - 0.5) < 5 * std::sqrt(1.0 / 12) / root);
  CHECK(std::abs(normal_sum / draws) < 5 / root);
  CHECK(std::abs(squares / draws - 1) < 5 * std::sqrt(2.0) / root);
  CHECK(std::abs(fourth / draws - 3) < 5 * std::sqrt(96.0) / root);
}

TEST_CASE("random: a permutation holds every number once and is keyed by its stream") {
  for (const std::int64_t n : {0, 1, 2, 1000}) {
    std::vector<std::int64_t> order = permutation(n, Random(1, 2));
    CHECK(order == permutation(n, Random(1, 2)));
    if (n == 1000) CHECK(order != permutation(n, Random(1, 3)));
    std::ranges::sort(order);
    for (std::int64_t i = 0; i < n; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
  }
  CHECK(error_of([] { permutation(-1, Random(1, 1)); }) == "permutation: of -1 elements");
}

TEST_CASE("random: all orders of three are equally likely") {
  std::map<std::vector<std::int64_t>, int> counts;
  constexpr int draws = 12'000;
  for (std::uint64_t stream = 0; stream < draws; ++stream) ++counts[permutation(3, Random(2, stream))];
  CHECK(counts.size() == 6);
  for (const auto& [order, count] : counts) CHECK(std::abs(count - draws / 6) < 5 * std::sqrt(draws * 5.0 / 36));
}

}  // namespace
}  // namespace tandem
