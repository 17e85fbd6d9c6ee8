// What is measured of a machine and of a model; what is predicted from it, against what MPI is handed in a real step.
#include "parallel/measure_costs.hpp"

#include <doctest/doctest.h>

#include <numeric>

#include "nn/models.hpp"
#include "parallel/place.hpp"
#include "parallel/predict.hpp"
#include "tests/parallel/pmpi_count.hpp"
#include "tests/support.hpp"

using namespace tandem;

namespace {

const Shape image{16, 16, 3};

std::shared_ptr<Sequential> small(std::string_view name) {
  const auto model = make_model(name, image, 5);
  initialise(*model, 3);
  return model;
}

CostProfile profile_of(std::string_view name, const Communicator& world) {
  const auto model = small(name);
  CostProfile profile{.about = "a test", .machine = profile_machine(world)};
  profile.model = profile_model(std::string(name), *model, image, classification_loss(), {.rows = {1, 2}, .repetitions = 1}, world, profile.machine.slowdown);
  return profile;
}

Batch batch_of(std::int64_t rows, const Trainer& trainer, std::int64_t micro_batches) {
  const Range mine = trainer.my_micro_batches();
  const auto row = [&](std::int64_t micro) { return part(rows, micro, micro_batches).begin; };
  const std::int64_t first = row(mine.begin), count = row(mine.end) - first;
  Batch batch;
  batch.x = random_tensor(batch_shape(count, image));
  batch.global_size = rows;
  batch.samples.resize(static_cast<std::size_t>(count));
  std::iota(batch.samples.begin(), batch.samples.end(), first);
  batch.labels.assign(static_cast<std::size_t>(count), 1);
  for (std::int64_t m = mine.begin; m < mine.end; ++m) batch.micro_batches.push_back({row(m) - first, row(m + 1) - first});
  return batch;
}

}  // namespace

TEST_CASE("measuring: every rank has the same profile, it is complete, and the model is as before") {
  const auto world = Communicator::world();
  const auto model = small("resnet");
  const std::uint64_t before = weights_hash(*model);
  CostProfile profile{.about = "a test", .machine = profile_machine(world)};
  profile.model = profile_model("resnet", *model, image, classification_loss(), {.rows = {2, 4}, .repetitions = 2}, world, profile.machine.slowdown);
  CHECK(weights_hash(*model) == before);
  for (const Parameter& p : model->parameters()) CHECK(!p.variable.gradient().defined());

  const std::string mine = to_json(profile);
  CHECK(broadcast_text(mine, 0, world) == mine);
  CHECK(to_json(parse_cost_profile(mine)) == mine);
  CHECK(profile.machine.slowdown >= 1);
  CHECK(profile.machine.within.points().size() >= 2);

  REQUIRE(profile.model.layers.size() == model->size());
  for (std::size_t i = 0; i < model->size(); ++i) {
    const LayerProfile& layer = profile.model.layers[i];
    CAPTURE(layer.name);
    std::size_t parameters = 0;
    for (const Parameter& p : model->children()[i]->parameters()) parameters += static_cast<std::size_t>(p.variable.value().size());
    CHECK(layer.parameter_count() == parameters);
    REQUIRE(layer.points.size() == 2);
    CHECK(layer.points[1].rows == 4);
    CHECK(layer.points[1].forward > 0);
    CHECK(layer.points[1].activation_bytes >= 4.0 * static_cast<double>(layer.output_values * sizeof(real)));
    if (parameters > 0) CHECK(layer.points[1].backward_input + layer.points[1].backward_weight > 0);
    if (parameters > 0) CHECK(layer.update > 0);
  }
  CHECK(profile.model.layers[0].statistics == 2 * 16 + 1);
}

// Negative control: with one more cache line of parameters the prediction is another.
TEST_CASE("predicted bytes and messages are those at MPI's door: replicas, sharded or not, and tensor groups") {
  const auto world = Communicator::world();
  const int p = world.size();
  constexpr int micro_batches = 8, rows = 11;
  for (const std::string_view name : {"mlp", "resnet", "cnn"}) {
    CostProfile profile = profile_of(name, world);
    for (const Scheme& scheme : {Scheme{.grid = {.data = p}}, Scheme{.grid = {.data = p}, .shard = 1}, Scheme{.grid = {.data = p}, .shard = 2},
                                 Scheme{.grid = {.data = p}, .shard = 3}, Scheme{.grid = {.tensor = p}}}) {
      if (scheme.grid.tensor > 4 || scheme.grid.data > micro_batches) continue;
      const ProcessGrid grid(world, scheme.grid);
      const auto part = place_on_grid(small(name), image, 1, grid);
      auto exchange = make_exchange(*part, grid, scheme.shard);
      const auto optimizer = make_optimizer("sgd", exchange->owned(), 0);
      Trainer trainer(*part, *optimizer, classification_loss(), grid, std::move(exchange), {.micro_batches = micro_batches});
      const std::int64_t batch_rows = scheme.grid.tensor > 1 ? micro_batches : rows;  // equal micro-batches where messages depend on them
      Batch batch = batch_of(batch_rows, trainer, micro_batches);
      trainer.step(batch, 0.01);
      ++batch.step;
      const Traffic counted = traffic_of(world, [&] { trainer.step(batch, 0.01); });
      const Traffic predicted = predict(profile, scheme, batch_rows).traffic;
      CAPTURE(name);
      CAPTURE(to_string(scheme));
      CHECK(predicted.messages == counted.messages);
      CHECK(predicted.bytes == counted.bytes);
      if (scheme.shard > 0 && p > 1) {
        profile.model.layers.back().parameters.front() += 16;
        CHECK(predict(profile, scheme, batch_rows).traffic.bytes != counted.bytes);
        profile.model.layers.back().parameters.front() -= 16;
      }
    }
  }
}
