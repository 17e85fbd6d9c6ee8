// Predictions against the closed forms, on machines and models of round numbers.
#include "parallel/predict.hpp"

#include <doctest/doctest.h>

#include "core/memory.hpp"
#include "parallel/collectives/algorithms.hpp"
#include "parallel/stage_model.hpp"
#include "tests/parallel/schedule/made_up.hpp"
#include "tests/support.hpp"

using namespace tandem;

namespace {

Scheme pipeline(int p, int m, std::string schedule = "1f1b", int v = 1) {
  return {.grid = {.pipeline = p}, .schedule = std::move(schedule), .chunks = v, .micro_batches = m};
}
Scheme replicas(int n, int m, int shard = 0) { return {.grid = {.data = n}, .shard = shard, .micro_batches = m}; }

}  // namespace

TEST_CASE("predict: equal stages and free links give the schedules' closed forms") {
  const double f = 2, i = 3, w = 1;
  for (int p = 1; p <= 4; ++p)
    for (const int m : {1, 2, 4, 8, 12}) {
      const CostProfile profile = made_up(2 * p, f, i, w);
      const auto step = [&](const Scheme& scheme) { return predict(profile, scheme, m).step; };
      const double t_F = 2 * f, t_B = 2 * (i + w);
      CHECK(step(pipeline(p, m, "gpipe")) == doctest::Approx((m + p - 1) * (t_F + t_B)));
      CHECK(step(pipeline(p, m)) == doctest::Approx((m + p - 1) * (t_F + t_B)));
      CHECK(step(pipeline(p, m, "naive")) == doctest::Approx(m * p * (t_F + t_B)));
      if (m % p == 0) CHECK(step(pipeline(p, m, "interleaved", 2)) == doctest::Approx((m + (p - 1) / 2.0) * (t_F + t_B)));
      if (m >= p) CHECK(step(pipeline(p, m, "zb-h1")) == doctest::Approx(m * (t_F + t_B) + (p - 1) * 2 * (f + i - w)));
      Scheme twice = pipeline(p, m, "gpipe");
      twice.recompute = true;
      CHECK(step(twice) == doctest::Approx((m + p - 1) * (2 * t_F + t_B)));
      CHECK(predict(profile, pipeline(p, m), m).idle_share == doctest::Approx((p - 1.0) / (m + p - 1)));
      CHECK(predict(profile, pipeline(p, m), 3 * m).step == doctest::Approx(3 * step(pipeline(p, m))));  // three rows each
    }
}

TEST_CASE("predict: unequal stages, latency between nodes: the formula for GPipe") {
  CostProfile profile = made_up(3, 1, 1, 1, 4096, free_link, {.alpha = 0.25});
  for (LayerPoint& p : profile.model.layers[1].points) p.forward = 3, p.backward_weight = 4;
  const int m = 5, p = 3;
  const double sum_F = 5, most_F = 3, sum_B = 9, most_B = 5, c = 0.25;
  CHECK(predict(profile, pipeline(p, m, "gpipe"), m).step == doctest::Approx(sum_F + (m - 1) * most_F + sum_B + (m - 1) * most_B + 2 * (p - 1) * c));
  CHECK(predict(profile, pipeline(p, m, "gpipe"), m).exposed_communication == doctest::Approx(2 * (p - 1) * c));
}

TEST_CASE("predict: the parts of a step add up to it") {
  const CostProfile profile = made_up(8, 1e-3, 1e-3, 1e-3, 100000, {.alpha = 1e-5, .beta = 1e-9}, {.alpha = 1e-4, .beta = 1e-8}, 4);
  for (const char* text : {"serial", "data=4", "data=8 shard=1", "data=4 shard=3", "pipeline=8", "data=2,pipeline=4 gpipe", "pipeline=4 interleaved v=2 recompute"}) {
    const Prediction p = predict(profile, parse_scheme(text), 16);
    CAPTURE(text);
    CHECK(p.computing + p.bubble + p.exposed_communication == doctest::Approx(p.step));
    CHECK(p.computing * static_cast<double>(parse_scheme(text).grid.size()) >= doctest::Approx(16 * 8 * 3e-3));  // nothing is left out
    CHECK(p.images_per_second == doctest::Approx(16 / p.step));
    CHECK(p.timeline.makespan() == p.step);
  }
}

TEST_CASE("predict: sharded memory with Adam is that of the table, at one micro-batch a rank") {
  const double P = 4 * 65536;
  const CostProfile profile = made_up(4, 1, 1, 1, 65536);
  for (const int n : {1, 2, 4, 8}) {
    const auto kept = [&](int shard) {
      const MemoryNeed need = predict(profile, replicas(n, n, shard), n).memory;
      return need.parameters + need.gradients + need.moments;
    };
    CHECK(kept(0) == 16 * P);
    CHECK(kept(1) == 8 * P + 8 * P / n);
    CHECK(kept(2) == 4 * P + 12 * P / n);
    CHECK(kept(3) == 16 * P / n);
  }
  CHECK(predict(profile, replicas(2, 2), 2).memory.passing == 0);
  CHECK(predict(profile, replicas(2, 8), 8).memory.passing == 2 * 4 * P);  // four a rank: after three of them, 0+1 and 2 wait
  CHECK(predict(profile, pipeline(4, 8), 8).memory.parameters == P);       // a quarter of the layers
}

TEST_CASE("predict: activations are those of the live micro-batches, with recomputation their inputs") {
  const CostProfile profile = made_up(4);
  const auto need = [&](Scheme scheme, bool recompute = false) {
    scheme.recompute = recompute;
    return predict(profile, scheme, 8).memory.activations;
  };
  const double layer = 1000, input = 400;  // bytes of a row: what a layer keeps; what came from the stage before
  CHECK(need(pipeline(1, 8)) == 4 * layer);
  CHECK(need(pipeline(4, 8, "gpipe")) == 8 * (layer + input));
  CHECK(need(pipeline(4, 8)) == std::max(4 * layer, 3 * (layer + input)));
  CHECK(need(pipeline(2, 8)) == std::max(2 * 2 * layer, 2 * layer + input));
  CHECK(need(pipeline(4, 8, "gpipe"), true) == 7 * input + layer + input);
}

TEST_CASE("predict: a pipeline's bytes and messages are 2(pv-1) B a in 2(pv-1) m, and the totals' broadcast") {
  const CostProfile profile = made_up(8);
  for (const int p : {2, 4})
    for (const int v : {1, 2})
      for (const int m : {1, 3, 8}) {
        const std::size_t batch = 17, cuts = static_cast<std::size_t>(p * v - 1);
        const Traffic traffic = predict(profile, pipeline(p, m, v > 1 ? "interleaved" : "gpipe", v), 17).traffic;
        CHECK(traffic.messages == 2 * cuts * static_cast<std::size_t>(m) + static_cast<std::size_t>(p - 1));
        CHECK(traffic.bytes == 2 * cuts * batch * 400 + static_cast<std::size_t>(p - 1) * 12);
      }
}

TEST_CASE("predict: empty micro-batches send nothing") {
  CHECK(predict(made_up(2), pipeline(2, 8), 3).traffic == Traffic{.messages = 2 * 3 + 1, .bytes = 2 * 3 * 400 + 12});
  CHECK(predict(made_up(2), pipeline(2, 8), 9).traffic == Traffic{.messages = 2 * 8 + 1, .bytes = 2 * 9 * 400 + 12});
}

TEST_CASE("predict: replicas on one node exchange no message, on several the algorithm's, sharded 2 or 3 times (N-1) P") {
  const std::size_t P = 4 * 262144;  // a bucket a layer
  const auto traffic = [&](int n, int shard, int ranks_per_node) {
    return predict(made_up(4, 1, 1, 1, 262144, free_link, free_link, ranks_per_node), replicas(n, n, shard), n).traffic;
  };
  CHECK(traffic(4, 0, 4) == Traffic{});
  CHECK(traffic(4, 0, 1).bytes >= 2 * 3 * 4 * P);
  CHECK(traffic(4, 0, 2).bytes == 2 * 1 * 4 * (P + memory_alignment / sizeof(real)));  // two nodes' first ranks, and the totals
  const std::size_t totals = halving_allreduce_traffic(4, 12).bytes;
  CHECK(traffic(4, 1, 4).bytes == 2 * 3 * 4 * P + totals);
  CHECK(traffic(4, 2, 1).bytes == 2 * 3 * 4 * P + totals);
  CHECK(traffic(4, 3, 4).bytes == 3 * 3 * 4 * P + totals);
  CHECK(traffic(3, 3, 4).bytes == 3 * 2 * 4 * P + ring_allreduce_traffic(3, 12).bytes);
}

TEST_CASE("predict: between nodes sums hide behind the backward pass: end_k = max(ready_k, end_(k-1)) + T_k") {
  const double n = 1 << 20, backward = 2;  // bytes of a layer's gradients, a bucket; seconds of its backward pass
  const auto exposed = [&](double T) {
    const CostProfile profile = made_up(4, 1, 1, 1, 262144, free_link, {.beta = T / n});
    return predict(profile, replicas(2, 2), 2).exposed_communication;
  };
  CHECK(exposed(0) == 0);
  CHECK(exposed(0.5) == doctest::Approx(0.5).epsilon(1e-3));                       // the last bucket alone
  CHECK(exposed(2) == doctest::Approx(2).epsilon(1e-3));
  CHECK(exposed(3) == doctest::Approx(4 * 3.0 - 3 * backward).epsilon(1e-3));      // a queue
  // On one node the ranks' own cores add: nothing hides.
  CostProfile node = made_up(4, 1, 1, 1, 262144, {.beta = 0.5 / n}, free_link, 2);
  CHECK(predict(node, replicas(2, 2), 2).exposed_communication == doctest::Approx(4 * shared_window_allreduce_cost(2, 1 << 20, node.machine.memory)).epsilon(1e-3));
}

TEST_CASE("predict: cores that are idle leave the others faster") {
  CostProfile profile = made_up(4, 1, 1, 1, 4096, free_link, free_link, 2);
  profile.machine.slowdown = 1.5;
  CHECK(predict(profile, parse_scheme("serial"), 8).step == doctest::Approx(8 * 12 / 1.5));
  CHECK(predict(profile, replicas(2, 8), 8).step == doctest::Approx(4 * 12));
  CHECK(predict(profile, pipeline(2, 8, "naive"), 8).step == doctest::Approx(8 * 12 / 1.5));
}

TEST_CASE("group cost: where a group's ranks lie") {
  MachineProfile machine{.ranks_per_node = 4, .within = Link{.alpha = 1}, .between = Link{.alpha = 10, .beta = 1}, .memory = Link{.alpha = 2}};
  CHECK(GroupCost(4, 1, machine, 4).nodes() == 1);
  CHECK(GroupCost(8, 1, machine, 4).nodes() == 2);
  CHECK(GroupCost(2, 2, machine, 4).nodes() == 1);
  CHECK(GroupCost(4, 4, machine, 4).nodes() == 4);
  CHECK(GroupCost(3, 8, machine, 4).nodes() == 3);
  CHECK(GroupCost(4, 1, machine, 4).sum(100) == 4);                   // two flags
  CHECK(GroupCost(1, 1, machine, 4).sum(100) == 0);
  CHECK(GroupCost(2, 4, machine, 4).message(25) == 10 + 4 * 100);     // with three other groups on the node's link
  CHECK(shared_by(3, machine.between).message(7) == 10 + 21);
}

TEST_CASE("predict: what cannot be is refused") {
  const CostProfile profile = made_up(2);
  CHECK(error_of([&] { predict(profile, pipeline(3, 8), 8); }).find("2 layers cannot make 3 stages") != std::string::npos);
  CHECK(error_of([&] { predict(profile, replicas(4, 2), 8); }).find("4 replicas for 2 micro-batches") != std::string::npos);
  CHECK(error_of([&] { predict(profile, replicas(2, 8), 0); }) == "predict: a batch of 0 rows");
}
