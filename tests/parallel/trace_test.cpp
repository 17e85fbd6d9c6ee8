// What ranks do, recorded as they do it, on one clock.
#include "parallel/trace.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "parallel/gather_timeline.hpp"
#include "parallel/pipeline/transfers.hpp"
#include "tests/parallel/grid_training.hpp"

using namespace tandem;

namespace {

void sleep_for_ms(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

std::vector<Op> ops(const Trace& trace) {
  std::vector<Op> found;
  for (const Span& span : trace.spans()) found.push_back(span.what.op);
  return found;
}

}  // namespace

TEST_CASE("trace: nothing is recorded without one, and the one before comes back") {
  CHECK(Trace::current() == nullptr);
  Trace trace;
  { const auto span = Trace::span({Op::F}); }
  {
    const Tracing on(&trace);
    {
      const Tracing off(nullptr);
      const auto span = Trace::span({Op::F});
    }
    const auto span = Trace::span({Op::W, 2, 3});
    CHECK_THROWS_AS(trace.clear(), Error);
  }
  CHECK(Trace::current() == nullptr);
  CHECK(trace.spans().size() == 1);
  CHECK(trace.spans()[0].what == Action{Op::W, 2, 3});
  CHECK(trace.spans()[0].seconds() >= 0);
  CHECK(trace.memory().size() == 1);
  trace.clear();
  CHECK(trace.spans().empty());
}

TEST_CASE("trace: waiting inside computing is an exchange and no computing; inside a receive it is the receive; outside it is idle") {
  const Communicator world = Communicator::world();
  if (world.size() < 2 || world.rank() > 1) return;
  constexpr int late_ms = 30;
  std::array<int, 1> value{};
  const auto message = [&] {
    if (world.rank() == 1) sleep_for_ms(late_ms);
    world.rank() == 1 ? world.send(value, 0) : world.receive(value, 1);
  };
  Trace trace;
  const Tracing on(&trace);
  message();
  CHECK(trace.spans().empty());
  {
    const auto span = Trace::span({Op::receive_F, 0, 1});
    message();
  }
  CHECK(ops(trace) == std::vector{Op::receive_F});
  trace.clear();
  {
    const auto span = Trace::span({Op::F, 5, 1});
    message();
  }
  if (world.rank() == 1) return;
  REQUIRE(ops(trace) == std::vector{Op::F, Op::exchange});
  CHECK(trace.spans()[1].what.stage == 5);
  const Span outer = trace.spans()[0], inner = trace.spans()[1];
  CHECK(outer.begin <= inner.begin);
  CHECK(inner.end <= outer.end);
  // Rank 1 sleeps that long, but may have begun before: half of it allows for a busy machine.
  CHECK(inner.seconds() > late_ms * 0.5e-3);
  const double end = outer.seconds();
  const Timeline timeline{.ranks = {{{outer.what, 0, end}, {inner.what, inner.begin - outer.begin, inner.end - outer.begin}}}};
  CHECK(timeline.idle_share() == doctest::Approx(inner.seconds() / end));
}

TEST_CASE("trace: the shift of each rank's clock is found, to within half of the shortest round trip") {
  const Communicator world = Communicator::world();
  const auto shift = [](int rank) { return 100.0 * rank * (rank % 2 == 0 ? 1 : -1); };
  const Trace trace(shift(world.rank()));
  const std::vector<ClockOffset> offsets = clock_offsets(trace, world);
  CHECK(offsets.size() == (world.rank() == 0 ? static_cast<std::size_t>(world.size()) : 0));
  for (std::size_t rank = 0; rank < offsets.size(); ++rank) {
    // One host, hence one clock but for the shift. Seconds since the start of the machine and 1000 more, as double, are exact to 1e-9 for a year.
    constexpr double rounding = 1e-8;
    CHECK(std::abs(offsets[rank].seconds - shift(static_cast<int>(rank))) <= offsets[rank].bound + rounding);
    CHECK(offsets[rank].bound < 1);  // so that the shifts of 100 seconds cannot pass for errors
  }
}

TEST_CASE("trace: the gathered timeline has every rank's spans in the order in which they were, whatever their clocks say") {
  const Communicator world = Communicator::world();
  const int p = world.size(), r = world.rank();
  constexpr int length_ms = 20;
  Trace trace(-50.0 * r);
  {
    const Tracing on(&trace);
    std::array<int, 1> baton{};
    if (r > 0) world.receive(baton, r - 1);
    {
      const auto span = Trace::span({Op::F, r, r});
      sleep_for_ms(length_ms);
    }
    if (r + 1 < p) world.send(baton, r + 1);
  }
  const Timeline timeline = gather_timeline(trace, world);
  if (r != 0) {
    CHECK(timeline.ranks.empty());
    return;
  }
  REQUIRE(static_cast<int>(timeline.ranks.size()) == p);
  CHECK(timeline.ranks[0][0].begin == 0);
  CHECK(timeline.makespan() < 40);  // seconds: the shifts are out
  for (std::size_t rank = 0; rank < timeline.ranks.size(); ++rank) {
    REQUIRE(timeline.ranks[rank].size() == 1);
    CHECK(timeline.ranks[rank][0].what == Action{Op::F, static_cast<int>(rank), static_cast<int>(rank)});
    CHECK(timeline.memory[rank].size() == 1);
    // Each began when the one before had ended; a quarter of a span for what the two offsets may be off.
    if (rank > 0) CHECK(timeline.ranks[rank][0].begin > timeline.ranks[rank - 1][0].end - length_ms * 0.25e-3);
  }
}

TEST_CASE("trace: a traced run has the spans of its program, one after the other, and the bits of one without") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  if (p > 4) return;
  for (const std::string_view name : schedule_names()) {
    if (p == 1 && name != "1f1b") continue;  // a model on one rank is no pipeline and knows no other
    GridRun run{.grid = {.pipeline = p}, .samples = 8, .batch = 8, .micro_batches = 4, .steps = 1, .schedule = {.name = std::string(name)}};
    const State plain = trained_on_grid(run, world);
    Trace trace;
    State traced;
    {
      const Tracing on(&trace);
      traced = trained_on_grid(run, world);
    }
    check_same_bits(traced, plain, world);

    std::vector<Action> program = with_transfers(run.schedule.of(p, 4)).programs[static_cast<std::size_t>(world.rank())];
    std::erase_if(program, [](const Action& a) { return a.op == Op::reduce; });  // of the rank, once, at the end
    std::vector<Action> seen, rest;
    double last_end = 0;
    for (const Span& span : trace.spans()) {
      (span.what.op < Op::reduce ? seen : rest).push_back(span.what);
      if (span.what.op >= Op::reduce) continue;
      CHECK(span.begin >= last_end);
      last_end = span.end;
    }
    CHECK(seen == program);
    CHECK(std::ranges::count(rest, Op::update, &Action::op) == 1);
    CHECK(std::ranges::count(rest, Op::reduce, &Action::op) == 1);
    for (const MemorySample& sample : trace.memory()) CHECK(sample.bytes > 0);
  }
}
