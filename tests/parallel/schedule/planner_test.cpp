// Extremes in which everybody would choose the same.
#include "parallel/planner.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "nn/models.hpp"
#include "parallel/outline.hpp"
#include "tests/parallel/schedule/made_up.hpp"
#include "tests/support.hpp"

using namespace tandem;

namespace {

constexpr Link fast{.alpha = 1e-7, .beta = 1e-12, .gamma = 1e-12}, slow{.alpha = 1e-3, .beta = 1e-7, .gamma = 1e-12};
constexpr double P = 8 * 262144;  // values of eight layers

// Eight layers of a megabyte and three milliseconds a row, on nodes of four ranks.
CostProfile eight(Link within, Link between) { return made_up(8, 1e-3, 1e-3, 1e-3, 262144, within, between, 4); }

Candidate best(const CostProfile& profile, const PlanRequest& request) {
  const PlanResult plan = search_schemes(profile, request);
  REQUIRE(!plan.fitting.empty());
  return plan.fitting.front();
}

}  // namespace

TEST_CASE("plan: fast links and much memory: replicas, nothing shared out, nothing done twice") {
  const Scheme scheme = best(eight(fast, fast), {.ranks = 8, .batch = 64}).scheme;
  CHECK(scheme.grid == GridShape{.data = 8});
  CHECK(scheme.shard == 0);
  CHECK(!scheme.recompute);
}

TEST_CASE("plan: little memory: the model is shared out, as far as it must be") {
  const CostProfile profile = eight(fast, fast);
  for (const double memory : {14 * P, 7 * P, 3 * P}) {
    const Candidate choice = best(profile, {.ranks = 8, .memory = memory, .batch = 64});
    CAPTURE(to_string(choice.scheme));
    CHECK(choice.prediction.memory.total() <= memory);
    CHECK((choice.scheme.shard > 0 || choice.scheme.grid.pipeline > 1));
  }
  const PlanResult plan = search_schemes(profile, {.ranks = 8, .memory = 7 * P, .batch = 64});
  const auto replicas = std::ranges::find(plan.refused, GridShape{.data = 8}, [](const Candidate& c) { return c.scheme.grid; });
  REQUIRE(replicas != plan.refused.end());
  CHECK(replicas->refused.starts_with("needs 32 MB a rank of 14 MB; most for moments of the optimiser, 16 MB"));
}

TEST_CASE("plan: slow links between nodes: stages on different nodes, replicas within each") {
  const Scheme scheme = best(eight(fast, slow), {.ranks = 8, .batch = 64}).scheme;
  CHECK(scheme.grid == GridShape{.data = 4, .pipeline = 2});
  // The same with messages between stages as large as gradients are not worth it.
  CostProfile wide = eight(fast, slow);
  for (LayerProfile& layer : wide.model.layers) layer.output_values = 1 << 20;
  CHECK(best(wide, {.ranks = 8, .batch = 64}).scheme.grid.pipeline == 1);
}

TEST_CASE("plan: links that are slower than the work is long: one rank, and it says so") {
  const Link hopeless{.alpha = 10};
  const CostProfile profile = eight(hopeless, hopeless);
  const PlanRequest request{.ranks = 4, .batch = 16};
  CHECK(best(profile, request).scheme.grid.size() == 1);
  CHECK(explain(search_schemes(profile, request), profile, request).find("It leaves 3 of 4 ranks idle") != std::string::npos);
}

TEST_CASE("plan: activations that do not fit: more micro-batches, or stages that run forward twice") {
  CostProfile profile = made_up(4, 1e-3, 1e-3, 1e-3, 0, fast, fast, 4);
  for (LayerProfile& layer : profile.model.layers) layer.points[0].activation_bytes = 1e6;
  CHECK(best(profile, {.ranks = 4, .memory = 9e6, .batch = 64}).scheme.micro_batches >= 32);  // two rows of four layers
  // One layer a stage and one row at a time is the least without recomputation where M is given.
  const PlanRequest given{.ranks = 4, .memory = 3.5e6, .batch = 64, .micro_batches = 64};
  for (const Candidate& c : search_schemes(profile, given).fitting) CHECK(c.prediction.memory.total() <= given.memory);
}

TEST_CASE("plan: nothing fits, and the least is named") {
  const CostProfile profile = eight(fast, fast);
  const PlanRequest request{.ranks = 2, .memory = 1000, .batch = 16};
  const PlanResult plan = search_schemes(profile, request);
  CHECK(plan.fitting.empty());
  const std::string text = explain(plan, profile, request);
  CHECK(text.starts_with("Nothing fits: no scheme on 2 ranks keeps a rank within 1.0 KB."));
  CHECK(text.find("The least is") != std::string::npos);
}

TEST_CASE("plan: what the bound leaves out is not the best") {
  for (const Link between : {fast, slow})
    for (const double memory : {0.0, 5 * P}) {
      const CostProfile profile = eight(fast, between);
      PlanRequest request{.ranks = 8, .memory = memory, .batch = 32};
      const PlanResult bounded = search_schemes(profile, request);
      request.interest = std::numeric_limits<double>::infinity();
      const PlanResult all = search_schemes(profile, request);
      CHECK(all.bounded == 0);
      CHECK(bounded.predicted < all.predicted);
      CHECK(bounded.fitting.front().prediction.step == all.fitting.front().prediction.step);
      CHECK(std::ranges::is_sorted(all.fitting, {}, [](const Candidate& c) { return c.prediction.step; }));
    }
}

TEST_CASE("plan: explains itself for 64 ranks of a described cluster") {
  const Shape image{32, 32, 3};
  const auto model = cnn(image, 10);
  initialise(*model, 1);
  CostProfile profile{.about = "described"};
  profile.machine = {.ranks_per_node = 4, .within = typical_host, .between = typical_network, .memory = typical_host, .assumed = {"everything"}};
  profile.model = described_model("cnn", *model, image, {});
  const PlanRequest request{.ranks = 64, .memory = 1e9, .batch = 512};
  const PlanResult plan = search_schemes(profile, request);
  REQUIRE(plan.fitting.size() > 1);
  const std::string text = explain(plan, profile, request);
  for (const char* wanted : {" a step of 512 rows", "because its ranks compute", "The next best, ", "slower, because", "Not measured but assumed: everything"}) {
    CAPTURE(text);
    CHECK(text.find(wanted) != std::string::npos);
  }
  CHECK(plan_table(plan).find("speed-up") != std::string::npos);
}

TEST_CASE("plan: requests that make no sense are refused") {
  CHECK_THROWS_AS(search_schemes(eight(fast, fast), {.ranks = 0}), UsageError);
  CHECK_THROWS_AS(search_schemes(eight(fast, fast), {.ranks = 1, .batch = 0}), UsageError);
  CHECK_THROWS_AS(search_schemes(eight(fast, fast), {.ranks = 1, .batch = 4, .micro_batches = 8}), UsageError);
}
