// Schedules as text, what is refused, and random legal schedules.
#include "parallel/pipeline/schedule.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/random.hpp"
#include "parallel/pipeline/simulate.hpp"
#include "parallel/pipeline/transfers.hpp"
#include "parallel/pipeline/validate.hpp"
#include "tests/parallel/random_schedule.hpp"
#include "tests/support.hpp"

using namespace tandem;

TEST_CASE("schedule: text and value are the same, for every generator and with transfers") {
  for (const std::string_view name : schedule_names())
    for (int p = 1; p <= 4; ++p)
      for (int m = 1; m <= 6; ++m) {
        const Schedule schedule = schedule_named(name, p, m);
        CHECK_NOTHROW(validate(schedule));
        CHECK(out_of_order(schedule).empty());
        CHECK(parse_schedule(to_csv(schedule)) == schedule);
        CHECK(parse_schedule(to_csv(with_transfers(schedule))) == with_transfers(schedule));
      }
  CHECK(to_csv(gpipe(2, 2)) == "0F0,0F1,0B0,0B1\n1F0,1F1,1B0,1B1\n");
}

TEST_CASE("schedule: files of PyTorch, idle cells, blanks, comments, quotes and DOS line ends") {
  const Schedule schedule = parse_schedule("# ours\r\n0F0, 0F1,,,0B0,,0B1\r\n,\"1F0\",1B0 ,1F1,1B1\r\n");
  CHECK(schedule == parse_schedule("0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1"));
  CHECK(schedule.stages == 2);
  CHECK(schedule.micros == 2);
  // In older files B is the gradient of the input where a W follows.
  CHECK(parse_schedule("0F0,0B0,0W0,0F1,0B1\n") == parse_schedule("0F0,0I0,0W0,0F1,0B1\n"));
  // Messages and reductions as PyTorch writes them.
  CHECK(parse_schedule("0F0,0SEND_F0,0RECV_B0,0B0,0REDUCE_GRAD\n1RECV_F0,1F0,1B0,1SEND_B0,1REDUCE_GRAD\n") == with_transfers(gpipe(2, 1)));
}

TEST_CASE("schedule: what is no schedule is refused with line and cell") {
  CHECK(error_of([] { parse_schedule("0F0,0B0\n1F0,1X0\n"); }) ==
        "line 2, cell 2: schedule: '1X0' is no action; expected stage, one of F, B, I, W, and micro-batch, as in 2F0");
  for (const char* text : {"F0", "0F", "0", "0F0F0", "-1F0", "0f0", "99999999999F0", "0F1048576", "0F0x"})
    CHECK_THROWS_AS(parse_schedule(text), Error);
  CHECK(error_of([] { parse_schedule("\n# nothing\n"); }).starts_with("schedule: no action in it"));
  CHECK(error_of([] { schedule_named("2f2b", 2, 2); }) == "there is no schedule '2f2b'; there are naive, gpipe, 1f1b, interleaved, zb-h1");
  CHECK_THROWS_AS(gpipe(0, 1), UsageError);
  CHECK_THROWS_AS(interleaved(2, 2, 0), UsageError);
}

TEST_CASE("validate: each action once, on one rank, in an order that can be") {
  const auto refused = [](const char* text) { return error_of([&] { validate(parse_schedule(text)); }); };
  CHECK(refused("0F0,0B0\n1F0\n") == "schedule: 1 problem:\n  1B0 is missing");
  CHECK(refused("0F0,0F0,0B0\n") == "schedule: 1 problem:\n  rank 0: 0F0 comes twice");
  CHECK(refused("0B0,0F0\n") == "schedule: 1 problem:\n  rank 0: 0B0 before 0F0");
  CHECK(refused("0F0,0W0,0I0\n") == "schedule: 1 problem:\n  rank 0: 0W0 before 0I0");
  CHECK(refused("0F0,0I0\n") == "schedule: 1 problem:\n  0W0 is missing after 0I0");
  CHECK(refused("0F0\n0B0\n").find("rank 1: 0B0, but stage 0 is on rank 0") != std::string::npos);
  CHECK(refused("0F0,0B0,2F0,2B0\n").find("1F0 is missing") != std::string::npos);
  CHECK(refused("0F0,0B0,0F2,0B2\n").find("0F1 is missing") != std::string::npos);
  CHECK(refused("0F0,0F1,0F2,0F3\n").ends_with("0B3 is missing"));  // four problems; more than five are cut short
  CHECK(refused("0F0,0F1,0F2,0F3,0F4,0F5\n").ends_with("..."));
  CHECK(out_of_order(parse_schedule("0F0,0F1,0B1,0B0\n")) == "0B0");
  CHECK(out_of_order(parse_schedule("0F0,0F1,0I1,0I0,0W0,0W1\n")).empty());  // W is what adds
}

TEST_CASE("simulate: a deadlock is told as the circle of those that wait") {
  // Stage 0 wants the gradient of micro-batch 0 before it sends 1; stage 1 wants micro-batch 1 first.
  CHECK(error_of([] { simulate(parse_schedule("0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n"), {}); }) ==
        "schedule: deadlock: these ranks wait for ever:\n  rank 0 stands at 0B0, which needs 1B0 of rank 1"
        "\n  rank 1 stands at 1F1, which needs 0F1 of rank 0");
  // Two stages of one rank in the wrong order.
  CHECK(error_of([] { simulate(parse_schedule("1F0,0F0,1B0,0B0\n"), {}); }) ==
        "schedule: deadlock: a rank waits for ever:\n  rank 0 stands at 1F0, which needs 0F0 of rank 0");
}

TEST_CASE("simulate: costs that do not fit are refused") {
  CHECK(error_of([] { simulate(gpipe(3, 1), {.stages = {{}, {}}}); }) == "simulate: costs of 2 stages for a schedule of 3");
  CHECK(error_of([] { simulate(gpipe(2, 1), {.stages = {{.forward = -1}}}); }) == "simulate: a stage has a negative time");
}

TEST_CASE("random legal schedules: each is completed, whatever the placement; no rank ever does two things at once") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(5, seed);
    const int ranks = 1 + static_cast<int>(random.below(4));
    const int stages = ranks + static_cast<int>(random.below(4)), micros = 1 + static_cast<int>(random.below(6));
    const Schedule schedule = random_schedule(ranks, stages, micros, random);
    validate(schedule);
    CHECK(parse_schedule(to_csv(schedule)) == schedule);
    const Timeline timeline = simulate(schedule, {.hops = {{.delay = 0.25, .busy = 0.125}}});
    for (const auto& spans : timeline.ranks)
      for (std::size_t i = 1; i < spans.size(); ++i) REQUIRE(spans[i].begin >= spans[i - 1].end);
    // Negative control: one rank's program the other way round cannot be completed.
    Schedule broken = schedule;
    std::ranges::reverse(broken.programs[0]);
    CHECK_THROWS_AS(simulate(broken, {}), Error);
  }
}
