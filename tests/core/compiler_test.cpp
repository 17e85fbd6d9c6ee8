// The compiler itself: a constant that GCC 12.2 with AVX-512 gets wrong without the flags that CMakeLists.txt gives it.
#include <doctest/doctest.h>

#include <vector>

namespace {

struct Pair {
  long first = 0, second = 0;
};

__attribute__((noinline)) long sum_of_last(const std::vector<Pair>& pairs) { return pairs.back().first + pairs.back().second; }

}  // namespace

TEST_CASE("a list of constants reaches the heap unchanged") {
  CHECK(sum_of_last(std::vector<Pair>{{1, 1}, {0, 0}}) == 0);
  CHECK(sum_of_last(std::vector<Pair>{{0, 0}, {1, 1}}) == 2);
}
