#include "nn/lr_schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "core/error.hpp"

namespace tandem {
namespace {

void require_rate(const char* schedule, double rate) {
  require(std::isfinite(rate) && rate > 0, "{}: a learning rate of {}; it must be positive", schedule, rate);
}

void require_steps(const char* schedule, std::int64_t steps) {
  require(steps >= 1, "{}: over {} steps; at least one is needed", schedule, steps);
}

// How far `step` is on the way from `begin` to `end`, in [0, 1]; 0 if there is no way to go.
double way(std::int64_t step, std::int64_t begin, std::int64_t end) {
  if (step <= begin || end <= begin) return 0;
  if (step >= end) return 1;
  return static_cast<double>(step - begin) / static_cast<double>(end - begin);
}

// Both are exactly `from` at t = 0 and exactly `to` at t = 1.
double line(double from, double to, double t) { return (1 - t) * from + t * to; }
double half_wave(double from, double to, double t) { return line(from, to, (1 - std::cos(std::numbers::pi * t)) / 2); }

}  // namespace

RateSchedule constant(double rate) {
  require_rate("constant", rate);
  return [rate](std::int64_t) { return rate; };
}

RateSchedule step_decay(const StepDecay& decay) {
  require_rate("step decay", decay.rate);
  require(decay.every >= 1, "step decay: every {} steps; at least one is needed", decay.every);
  require(decay.factor > 0 && decay.factor <= 1, "step decay: a factor of {}; it must be in (0, 1]", decay.factor);
  return [decay](std::int64_t step) {
    return decay.rate * std::pow(decay.factor, static_cast<double>(std::max<std::int64_t>(step, 0) / decay.every));
  };
}

RateSchedule cosine(const Cosine& wave) {
  require_rate("cosine", wave.from);
  require(wave.to >= 0 && wave.to <= wave.from, "cosine: down from {} to {}", wave.from, wave.to);
  require_steps("cosine", wave.steps);
  return [wave](std::int64_t step) { return half_wave(wave.from, wave.to, way(step, 0, wave.steps - 1)); };
}

RateSchedule one_cycle(const OneCycle& cycle) {
  require_rate("one-cycle", cycle.peak);
  require_steps("one-cycle", cycle.steps);
  require(cycle.warm_up >= 0 && cycle.warm_up < 1, "one-cycle: warm-up over {} of the steps; the share must be in [0, 1)",
          cycle.warm_up);
  require(std::isfinite(cycle.div) && cycle.div >= 1 && std::isfinite(cycle.final_div) && cycle.final_div >= 1,
          "one-cycle: starts at peak/{} and ends at peak/{}; both divisors must be at least 1", cycle.div, cycle.final_div);
  const std::int64_t last = cycle.steps - 1;
  const auto top = static_cast<std::int64_t>(cycle.warm_up * static_cast<double>(last));
  return [cycle, top, last](std::int64_t step) {
    if (step < top) return line(cycle.peak / cycle.div, cycle.peak, way(step, 0, top));
    return half_wave(cycle.peak, cycle.peak / cycle.final_div, way(step, top, last));
  };
}

RateSchedule warm_up(std::int64_t steps, RateSchedule then) {
  require_steps("warm-up", steps);
  require(then != nullptr, "warm-up: of no schedule");
  return [steps, then = std::move(then)](std::int64_t step) { return then(step) * way(step + 1, 0, steps); };
}

}  // namespace tandem
