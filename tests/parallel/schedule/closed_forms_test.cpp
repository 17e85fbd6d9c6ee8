// Simulated times, live micro-batches and messages against the closed forms, each over its stated range.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "parallel/pipeline/simulate.hpp"
#include "parallel/pipeline/transfers.hpp"
#include "tests/support.hpp"

using namespace tandem;

namespace {

CostModel alike(double forward, double input, double weight) {
  return {.stages = {{.forward = forward, .backward_input = input, .backward_weight = weight}}};
}

// Forward, backward of the input, of the weights: usual, cheap, dear and odd ones; all exact in floating point.
const std::vector<CostModel> ratios{alike(1, 1, 1), alike(3, 3, 3), alike(4, 5, 3), alike(2, 3, 1), alike(1, 0.5, 0.25), alike(8, 16, 4)};

double forward_of(const CostModel& c) { return c.stage(0).forward; }
double backward_of(const CostModel& c) { return c.stage(0).backward_input + c.stage(0).backward_weight; }

void for_sizes(int most_ranks, int most_micros, const std::function<void(int, int)>& law) {
  for (int p = 1; p <= most_ranks; ++p)
    for (int m = 1; m <= most_micros; ++m) law(p, m);
}

std::size_t messages(const Schedule& schedule) {
  std::size_t count = 0;
  for (const auto& program : with_transfers(schedule).programs)
    count += static_cast<std::size_t>(std::ranges::count_if(program, [](const Action& a) { return a.op == Op::send_F || a.op == Op::send_B; }));
  CHECK(count_messages(schedule) == static_cast<std::int64_t>(count));  // which does not write them down
  return count;
}

}  // namespace

TEST_CASE("schedules: GPipe and 1F1B take (m+p-1)(t_F+t_B); idle are (p-1)/(m+p-1) of the total") {
  for (const CostModel& cost : ratios)
    for_sizes(8, 32, [&](int p, int m) {
      for (const Schedule& schedule : {gpipe(p, m), one_f_one_b(p, m)}) {
        const Timeline timeline = simulate(schedule, cost);
        REQUIRE(timeline.makespan() == (m + p - 1) * (forward_of(cost) + backward_of(cost)));
        REQUIRE(timeline.idle_share() == doctest::Approx((p - 1.0) / (m + p - 1)));
      }
    });
}

TEST_CASE("schedules: the naive one takes m p (t_F+t_B): one rank in p works") {
  for (const CostModel& cost : ratios)
    for_sizes(8, 16, [&](int p, int m) {
      const Timeline timeline = simulate(naive(p, m), cost);
      REQUIRE(timeline.makespan() == m * p * (forward_of(cost) + backward_of(cost)));
      REQUIRE(1 - timeline.idle_share() == doctest::Approx(1.0 / p));
    });
}

TEST_CASE("schedules: interleaved takes (m+(p-1)/v)(t_F+t_B) where p divides m") {
  for (const CostModel& cost : ratios)
    for_sizes(8, 32, [&](int p, int m) {
      for (int v = 1; v <= 4; ++v) {
        const double chunk = forward_of(cost) + backward_of(cost);  // of one of v p chunks
        const double makespan = simulate(interleaved(p, m, v), cost).makespan();
        if (m % p == 0) REQUIRE(makespan == (m * v + p - 1) * chunk);
        REQUIRE(makespan >= (m * v + p - 1) * chunk);  // else somewhat longer, but it ends
      }
    });
}

TEST_CASE("schedules: what ZB-H1 does not work is (p-1)(t_F+t_I-t_W), for m >= p and t_W not the largest") {
  for (const CostModel& cost : ratios)
    for_sizes(8, 32, [&](int p, int m) {
      const StageCost& t = cost.stage(0);
      if (m < p || t.backward_weight > std::max(t.forward, t.backward_input)) return;
      CAPTURE(p);
      CAPTURE(m);
      const double ideal = m * (forward_of(cost) + backward_of(cost));
      REQUIRE(simulate(zero_bubble(p, m), cost).makespan() == ideal + (p - 1) * (t.forward + t.backward_input - t.backward_weight));
    });
}

TEST_CASE("schedules: GPipe with unequal stages and a latency: sum t_F + (m-1) max t_F + the same of t_B + 2(p-1)c") {
  for (const double latency : {0.0, 1.0, 2.5})
    for_sizes(6, 16, [&](int p, int m) {
      CostModel cost{.stages = {}, .hops = {{.delay = latency}}};
      double sum = 0, forward_max = 0, backward_max = 0;
      for (int s = 0; s < p; ++s) {
        const double forward = 1 + (s * 5) % 7, backward = 2 + (s * 3) % 5;
        cost.stages.push_back({.forward = forward, .backward_input = backward, .backward_weight = 0});
        sum += forward + backward;
        forward_max = std::max(forward_max, forward), backward_max = std::max(backward_max, backward);
      }
      REQUIRE(simulate(gpipe(p, m), cost).makespan() == sum + (m - 1) * (forward_max + backward_max) + 2 * (p - 1) * latency);
    });
}

TEST_CASE("schedules: GPipe with recomputation takes (m+p-1)(2 t_F+t_B)") {
  for (CostModel cost : ratios)
    for_sizes(8, 16, [&](int p, int m) {
      cost.stages[0].recompute = forward_of(cost);
      REQUIRE(simulate(gpipe(p, m), cost).makespan() == (m + p - 1) * (2 * forward_of(cost) + backward_of(cost)));
    });
}

// Written out by hand once: p = 4, m = 8, t_F = 3, t_B = 6, latency 1.
TEST_CASE("schedules: with a latency 1F1B is slower than GPipe: 115 and 105") {
  CostModel cost = alike(3, 3, 3);
  cost.hops = {{.delay = 1}};
  CHECK(simulate(one_f_one_b(4, 8), cost).makespan() == 115);
  CHECK(simulate(gpipe(4, 8), cost).makespan() == 105);
}

TEST_CASE("schedules: live micro-batches: GPipe m, 1F1B min(m, p-s), ZB-H1 p, interleaved min(mv, 2(p-s-1)+(v-1)p+1)") {
  for_sizes(8, 32, [](int p, int m) {
    const auto all = [&](const Schedule& schedule, const std::function<int(int)>& of_rank) {
      const std::vector<int> live = live_micro_batches(schedule);
      for (int s = 0; s < p; ++s) REQUIRE(live[static_cast<std::size_t>(s)] == of_rank(s));
    };
    all(naive(p, m), [](int) { return 1; });
    all(gpipe(p, m), [&](int) { return m; });
    all(one_f_one_b(p, m), [&](int s) { return std::min(m, p - s); });
    if (m >= p) all(zero_bubble(p, m), [&](int) { return p; });
    if (m % p == 0)
      for (int v = 2; v <= 4; ++v) all(interleaved(p, m, v), [&](int s) { return std::min(m * v, 2 * (p - s - 1) + (v - 1) * p + 1); });
  });
}

TEST_CASE("schedules: 2(pv-1)m messages a step; chunks of one rank send each other none") {
  for_sizes(8, 16, [](int p, int m) {
    const auto micros = static_cast<std::size_t>(m);
    for (const std::string_view name : {"naive", "gpipe", "1f1b", "zb-h1"})
      REQUIRE(messages(schedule_named(name, p, m)) == 2 * static_cast<std::size_t>(p - 1) * micros);
    for (int v = 1; v <= 4; ++v)
      REQUIRE(messages(interleaved(p, m, v)) == (p == 1 ? 0 : 2 * static_cast<std::size_t>(p * v - 1) * micros));
  });
}

TEST_CASE("schedules: sums over replicas begin behind a stage's last gradient and run beside the rest") {
  CostModel cost = alike(1, 1, 1);
  cost.stages[0].reduce = 2;
  cost.stages[0].update = 0.5;
  // The last stage has its gradients first, 1F1B: its sum ends while stage 0 still computes. Stage 0 ends at (m+p-1) 3, then sum and update.
  const Timeline timeline = simulate(one_f_one_b(3, 4), cost);
  CHECK(timeline.makespan() == 6 * 3 + 2 + 0.5);
  const Span& sum = *std::ranges::find(timeline.ranks[2], Op::reduce, [](const Span& s) { return s.what.op; });
  CHECK(sum.end < 6 * 3);
  // Two chunks on one rank: one sum after the other, in the order in which the gradients come.
  cost.stages[0].reduce = 100;
  CHECK(simulate(interleaved(1, 1, 2), cost).makespan() == 2 + 2 + 200 + 2 * 0.5);
}
