#include "parallel/scheme.hpp"

#include <doctest/doctest.h>

#include "tests/support.hpp"

using namespace tandem;

TEST_CASE("schemes: text means what it says") {
  CHECK(parse_scheme("serial") == Scheme{});
  CHECK(parse_scheme("data=2") == Scheme{.grid = {.data = 2}});
  CHECK(parse_scheme("pipeline=2 1f1b") == Scheme{.grid = {.pipeline = 2}});
  CHECK(parse_scheme("  data=2,pipeline=2   zb-h1 m=16 ") == Scheme{.grid = {.data = 2, .pipeline = 2}, .schedule = "zb-h1", .micro_batches = 16});
  CHECK(parse_scheme("shard=3 data=4") == Scheme{.grid = {.data = 4}, .shard = 3});
  CHECK(parse_scheme("pipeline=2 interleaved").chunks == 2);
  CHECK(parse_scheme("pipeline=2 interleaved v=4 recompute") == Scheme{.grid = {.pipeline = 2}, .schedule = "interleaved", .chunks = 4, .recompute = true});
  CHECK(parse_scheme("data=2", {.shard = 1, .micro_batches = 32}) == Scheme{.grid = {.data = 2}, .shard = 1, .micro_batches = 32});
  CHECK(parse_scheme("data=2 shard=0", {.shard = 1}).shard == 0);
}

TEST_CASE("schemes: what is printed parses to the same, whatever the defaults") {
  const Scheme others{.grid = {.data = 2}, .schedule = "gpipe", .shard = 1, .micro_batches = 32, .recompute = true};
  for (const GridShape grid : {GridShape{}, GridShape{.data = 2}, GridShape{.pipeline = 3}, GridShape{.data = 2, .pipeline = 2, .tensor = 2, .spatial = 2}})
    for (const std::string schedule : {"naive", "gpipe", "1f1b", "interleaved", "zb-h1"})
      for (const int chunks : {1, 2, 3})
        for (const int shard : {0, 2, 3})
          for (const bool recompute : {false, true})
            for (const int m : {4, 8, 32}) {
              if (chunks > 1 && schedule != "interleaved") continue;
              if (shard == 3 && (recompute || (grid.pipeline > 1 && schedule != "naive"))) continue;
              const Scheme scheme{.grid = grid, .schedule = schedule, .chunks = chunks, .shard = shard, .micro_batches = m, .recompute = recompute};
              for (const Scheme& defaults : {Scheme{}, others}) CHECK(parse_scheme(to_string(scheme, defaults), defaults) == scheme);
            }
  CHECK(to_string(parse_scheme("data=2,pipeline=2 zb-h1")) == "data=2,pipeline=2 zb-h1");
  CHECK(to_string(Scheme{}) == "serial");
}

TEST_CASE("schemes: a list is separated by semicolons") {
  const std::vector<Scheme> schemes = parse_schemes("serial; data=2 ;pipeline=2 gpipe;");
  REQUIRE(schemes.size() == 3);
  CHECK(schemes[2].schedule == "gpipe");
  CHECK(error_of([] { parse_schemes(" ; "); }).starts_with("no scheme is named"));
}

TEST_CASE("schemes: mistakes are named") {
  const auto starts = [](std::string_view text, std::string_view wanted) {
    const std::string said = error_of([&] { parse_scheme(text); });
    CAPTURE(said);
    CHECK(said.find(wanted) != std::string::npos);
  };
  starts("data=2 fast", "what is 'fast'?");
  starts("data=2 data=4", "the grid is said twice");
  starts("data=0", "data is '0'");
  starts("data=99999999999", "data is '99999999999'");
  starts("shard=4", "shard is '4'; expected a number from 0 to 3");
  starts("m=", "m is ''");
  starts("m=8x", "m is '8x'");
  starts("rows=2", "no axis 'rows'");
  starts("data=16", "16 replicas for 8 micro-batches: each needs at least one; m=16 would do");
  starts("pipeline=2 gpipe v=2", "only the schedule interleaved has several chunks");
  starts("pipeline=2 data=2", "the grid is said twice");
  starts("data=2,pipeline=2 shard=3", "this schedule has several micro-batches under way");
  starts("data=2 shard=3 recompute", "recomputation has one more");
  CHECK_NOTHROW(parse_scheme("data=2,pipeline=2 naive shard=3"));
  CHECK_THROWS_AS(parse_scheme("fast"), UsageError);
}
