// What the executor does at MPI's door and in memory, against the schedule's own count.
#include "parallel/pipeline/executor.hpp"

#include <doctest/doctest.h>

#include <map>

#include "core/ops.hpp"
#include "nn/layers.hpp"
#include "parallel/pipeline/simulate.hpp"
#include "parallel/pipeline/transfers.hpp"
#include "tests/parallel/pmpi_count.hpp"
#include "tests/parallel/random_schedule.hpp"
#include "tests/support.hpp"

using namespace tandem;

namespace {

constexpr Index width = 5, rows = 3;

// Every stage doubles its input and adds a weight; the loss is a sum. It notes what it is told.
class DoublingPass : public Pass {
 public:
  explicit DoublingPass(int empty = -1) : empty_(empty) {}
  Index rows(int micro) const override { return micro == empty_ ? 0 : ::rows; }
  Tensor input(int micro) override { return Tensor::full({::rows, width}, static_cast<real>(micro + 1)); }
  Context context(int) const override { return {.training = true}; }
  Variable loss(int micro, const Variable& output, bool again) override {
    (again ? losses_again : losses)[micro] = output.value()[0];
    return sum(output);
  }
  void forward_done(const Stage&, int) override { ++forwards; }
  void leaf_ready(const Stage&, const Variable& leaf) override {
    gradients += leaf.gradient()[0];
    Variable(leaf).set_gradient({});
  }
  void gradients_done(const Stage& stage, int micro) override { order.push_back({Op::B, stage.index, micro}); }
  void progress() override {}

  std::map<int, real> losses, losses_again;
  int forwards = 0;
  double gradients = 0;
  std::vector<Action> order;

 private:
  int empty_;
};

Pipeline doubling(const Schedule& schedule, const Communicator& comm, bool recompute = false) {
  Pipeline pipeline{.stages = {}, .ranks_of_stages = ranks_of_stages(schedule), .comm = comm, .recompute = recompute};
  for (int s = 0; s < schedule.stages; ++s) {
    if (pipeline.rank_of(s) != comm.rank()) continue;
    const Variable weight(Tensor::zeros({rows, width}), true);
    pipeline.stages.push_back({.index = s,
                               .run = [weight](const Variable& x, const Context&) { return scale(x, 2) + weight; },
                               .input = [](Index n) { return Shape{n, width}; }});
  }
  return pipeline;
}

int run(const Schedule& schedule, const Communicator& comm, Pass& pass, bool recompute = false) {
  const Pipeline pipeline = doubling(schedule, comm, recompute);
  return execute(with_transfers(schedule).programs[static_cast<std::size_t>(comm.rank())], schedule.micros, pipeline, pass);
}

}  // namespace

TEST_CASE("executor: messages, bytes and live micro-batches are those of the closed forms: 2(pv-1)m, 2(pv-1)B a") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  for (const std::string_view name : schedule_names())
    for (const int m : {1, 2, 5, 8}) {
      CAPTURE(name);
      CAPTURE(m);
      const Schedule schedule = schedule_named(name, p, m);
      DoublingPass pass;
      int live = 0;
      const Traffic counted = traffic_of(world, [&] { live = run(schedule, world, pass); });
      const auto messages = p == 1 ? 0 : 2 * static_cast<std::size_t>(schedule.stages - 1) * static_cast<std::size_t>(m);
      CHECK(counted == Traffic{messages, messages * rows * width * sizeof(real)});
      CHECK(live == live_micro_batches(schedule)[static_cast<std::size_t>(world.rank())]);
    }
}

TEST_CASE("executor: each micro-batch is doubled by each stage, and each weight gets its part of the gradient") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  for (const std::string_view name : schedule_names())
    for (const bool recompute : {false, true}) {
      CAPTURE(name);
      CAPTURE(recompute);
      const int m = 4, empty = 2;
      const Schedule schedule = schedule_named(name, p, m);
      DoublingPass pass(empty);
      run(schedule, world, pass, recompute);
      const std::vector<int> rank_of = ranks_of_stages(schedule);
      double expected = 0;
      for (int s = 0; s < schedule.stages; ++s)  // of three micro-batches, doubled by each later stage
        if (rank_of[static_cast<std::size_t>(s)] == world.rank()) expected += 3.0 * (1 << (schedule.stages - 1 - s));
      CHECK(pass.gradients == expected);
      CHECK(pass.forwards == static_cast<int>(pass.order.size() / m * 3));
      if (rank_of.back() != world.rank()) continue;
      CHECK(pass.losses.size() == 3);
      for (const auto& [micro, loss] : pass.losses) CHECK(loss == static_cast<real>((micro + 1) << schedule.stages));
      CHECK(pass.losses_again.size() == (recompute ? 3 : 0));
    }
}

TEST_CASE("executor: a schedule that the simulator completes never hangs") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    Random random(29, seed);
    const Schedule schedule = random_schedule(p, p + static_cast<int>(random.below(4)), 1 + static_cast<int>(random.below(7)), random);
    simulate(schedule, {});
    DoublingPass pass;
    CHECK(run(schedule, world, pass) == live_micro_batches(schedule)[static_cast<std::size_t>(world.rank())]);
  }
}
