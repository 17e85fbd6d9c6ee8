// Learning-rate schedules: their values at the ends, and that they rise and fall where they should, without jumps.
#include "nn/lr_schedule.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include "core/error.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

bool falls(const RateSchedule& rate, std::int64_t begin, std::int64_t end) {
  for (std::int64_t step = begin; step < end; ++step)
    if (rate(step + 1) > rate(step)) return false;
  return true;
}
bool rises(const RateSchedule& rate, std::int64_t begin, std::int64_t end) {
  for (std::int64_t step = begin; step < end; ++step)
    if (rate(step + 1) <= rate(step)) return false;
  return true;
}
double largest_jump(const RateSchedule& rate, std::int64_t end) {
  double jump = 0;
  for (std::int64_t step = 0; step < end; ++step) jump = std::max(jump, std::abs(rate(step + 1) - rate(step)));
  return jump;
}

TEST_CASE("constant: the same rate at every step") {
  const RateSchedule rate = constant(0.1);
  for (const std::int64_t step : {0, 1, 1000000}) CHECK(rate(step) == 0.1);
}

TEST_CASE("step decay: falls by the factor after each `every` steps, not before") {
  const RateSchedule rate = step_decay({.rate = 8, .every = 10, .factor = 0.5});  // powers of two: exact
  CHECK(rate(0) == 8);
  CHECK(rate(9) == 8);
  CHECK(rate(10) == 4);
  CHECK(rate(29) == 2);
  CHECK(rate(30) == 1);
}

TEST_CASE("cosine: from end to end, falling all the way, half way in the middle, then still") {
  const RateSchedule rate = cosine({.from = 0.3, .to = 0.001, .steps = 101});
  CHECK(rate(0) == 0.3);
  CHECK(rate(100) == 0.001);
  CHECK(rate(50) == doctest::Approx((0.3 + 0.001) / 2));  // cos(pi/2) is 6e-17 in double precision, not 0
  CHECK(rate(25) == doctest::Approx(0.001 + 0.299 * (1 + std::sqrt(0.5)) / 2));
  CHECK(falls(rate, 0, 200));
  CHECK_FALSE(rises(rate, 0, 1));
  CHECK(rate(1000) == 0.001);
  CHECK(cosine({.from = 1, .steps = 11})(10) == 0);
}

TEST_CASE("one-cycle: peak/div, up a line to the peak, down to peak/final_div, then still") {
  const RateSchedule rate = one_cycle({.peak = 0.15, .steps = 1001, .warm_up = 0.3, .div = 25, .final_div = 1e4});
  CHECK(rate(0) == 0.15 / 25);
  CHECK(rate(150) == doctest::Approx((0.15 / 25 + 0.15) / 2));
  CHECK(rate(300) == 0.15);
  CHECK(rate(1000) == 0.15 / 1e4);
  CHECK(rate(5000) == 0.15 / 1e4);
  CHECK(rises(rate, 0, 300));
  CHECK(falls(rate, 300, 1000));
  CHECK_FALSE(falls(rate, 299, 301));
}

TEST_CASE("one-cycle and cosine have no jumps: no step changes the rate by more than the steepest slope") {
  // The line climbs peak/300 a step at most; half a wave of height h and length n is nowhere steeper than h pi/(2n).
  CHECK(largest_jump(one_cycle({.peak = 1, .steps = 1001}), 1200) <= 1 / 300.0);
  CHECK(largest_jump(cosine({.from = 1, .steps = 1001}), 1200) <= 3.1416 / 2000);
  CHECK(largest_jump(step_decay({.rate = 1, .every = 10}), 1200) > 0.5);  // which the measure would see
}

TEST_CASE("one-cycle: without warm-up it starts at the peak; a run of one step stays there") {
  CHECK(one_cycle({.peak = 2, .steps = 10, .warm_up = 0})(0) == 2);
  CHECK(one_cycle({.peak = 2, .steps = 10, .warm_up = 0})(9) == 2 / 1e4);
  for (const std::int64_t step : {0, 1, 7}) CHECK(one_cycle({.peak = 2, .steps = 1})(step) == 2);
  CHECK(one_cycle({.peak = 2, .steps = 2})(1) == 2 / 1e4);
}

TEST_CASE("warm-up: climbs by equal parts from the first step on, and leaves the rest alone") {
  const RateSchedule rate = warm_up(4, constant(1));
  CHECK(rate(0) == 0.25);
  CHECK(rate(1) == 0.5);
  CHECK(rate(2) == 0.75);
  CHECK(rate(3) == 1);
  CHECK(rate(4) == 1);

  const RateSchedule bare = cosine({.from = 0.1, .steps = 100}), warm = warm_up(10, bare);
  CHECK(warm(0) == bare(0) * 0.1);
  CHECK(warm(8) != bare(8));
  for (std::int64_t step = 9; step < 120; ++step) CHECK(warm(step) == bare(step));
}

TEST_CASE("schedules: nonsense is refused with its values") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  CHECK(error_of([] { constant(0); }) == "constant: a learning rate of 0; it must be positive");
  CHECK(error_of([] { constant(-1); }) == "constant: a learning rate of -1; it must be positive");
  CHECK(error_of([&] { constant(nan); }) == "constant: a learning rate of nan; it must be positive");
  CHECK(error_of([&] { one_cycle({.peak = infinity, .steps = 3}); }) ==
        "one-cycle: a learning rate of inf; it must be positive");
  CHECK(error_of([] { step_decay({.rate = 1, .every = 0}); }) == "step decay: every 0 steps; at least one is needed");
  CHECK(error_of([] { step_decay({.rate = 1, .every = 1, .factor = 2}); }) ==
        "step decay: a factor of 2; it must be in (0, 1]");
  CHECK(error_of([] { cosine({.from = 1, .to = 2, .steps = 3}); }) == "cosine: down from 1 to 2");
  CHECK(error_of([] { cosine({.from = 1, .steps = 0}); }) == "cosine: over 0 steps; at least one is needed");
  CHECK(error_of([] { one_cycle({.peak = 1, .steps = 3, .warm_up = 1}); }) ==
        "one-cycle: warm-up over 1 of the steps; the share must be in [0, 1)");
  CHECK(error_of([] { one_cycle({.peak = 1, .steps = 3, .div = 0}); }) ==
        "one-cycle: starts at peak/0 and ends at peak/10000; both divisors must be at least 1");
  CHECK(error_of([] { warm_up(0, constant(1)); }) == "warm-up: over 0 steps; at least one is needed");
  CHECK(error_of([] { warm_up(3, nullptr); }) == "warm-up: of no schedule");
}

}  // namespace
}  // namespace tandem
