#include "parallel/cost_profile.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "core/file.hpp"
#include "nn/models.hpp"
#include "parallel/outline.hpp"
#include "tests/parallel/schedule/made_up.hpp"
#include "tests/support.hpp"

using namespace tandem;

namespace {

LayerProfile with_points(std::vector<LayerPoint> points) { return {.name = "it", .points = std::move(points)}; }

// The profile's JSON with one value exchanged.
std::string spoiled(const std::string& pointer, const nlohmann::json& value) {
  nlohmann::json json = nlohmann::json::parse(to_json(made_up(2)));
  json[nlohmann::json::json_pointer(pointer)] = value;
  return json.dump();
}

}  // namespace

TEST_CASE("profiles: layers between measured rows, below and beyond") {
  const LayerProfile layer = with_points({{.rows = 2, .forward = 10, .activation_bytes = 4}, {.rows = 4, .forward = 14, .activation_bytes = 8}, {.rows = 8, .forward = 30}});
  CHECK(layer.at(0).forward == 0);
  CHECK(layer.at(1).forward == 8);
  CHECK(layer.at(2).forward == 10);
  CHECK(layer.at(3).forward == 12);
  CHECK(layer.at(3).activation_bytes == 6);
  CHECK(layer.at(6).forward == 22);
  CHECK(layer.at(16).forward == 60);
  CHECK(with_points({{.rows = 2, .forward = 1}, {.rows = 3, .forward = 5}}).at(1).forward == 0);  // not -3
  CHECK(with_points({{.rows = 4, .forward = 8}}).at(1).forward == 2);
  CHECK_THROWS_AS(with_points({}).at(1), Error);
}

TEST_CASE("profiles: what is written is what is read") {
  CostProfile profile = made_up(3, 1, 2, 3, 77, {.alpha = 1e-6, .beta = 2e-9, .gamma = 1e-10}, {.alpha = 3e-5, .beta = 1e-8}, 4);
  profile.machine.slowdown = 1.25;
  profile.machine.assumed = {"this", "that"};
  profile.model.layers[1].tensor_share = 0.5;
  profile.model.layers[1].tensor_backward_summed = 12;
  profile.model.layers[2].halo_values = 34;
  profile.model.layers[2].accumulate = 1e-3;
  const std::string text = to_json(profile);
  CHECK(to_json(parse_cost_profile(text)) == text);
  const CostProfile again = parse_cost_profile(text);
  CHECK(again.machine.ranks_per_node == 4);
  CHECK(again.machine.within.message(1000) == doctest::Approx(1e-6 + 2e-6));
  CHECK(again.machine.assumed == profile.machine.assumed);
  CHECK(again.model.layers[1].tensor_share == 0.5);
  CHECK(again.model.layers[0].at(5).backward_weight == 15);

  const Folder folder;
  write_file(folder.path / "p.json", text);
  CHECK(to_json(load_cost_profile(folder.path / "p.json")) == text);
}

TEST_CASE("profiles: hostile files are refused, with the field") {
  CHECK(error_of([] { parse_cost_profile("{", "f.json"); }) == "f.json: this is no JSON");
  CHECK(error_of([] { parse_cost_profile("[]", "f.json"); }) == "f.json: there is no \"about\"");
  CHECK(error_of([] { parse_cost_profile("", "f.json"); }) == "f.json: this is no JSON");
  CHECK(error_of([] { parse_cost_profile(std::string(100000, '[')); }) == "profile: this is no JSON");
  const auto says = [](const std::string& pointer, const nlohmann::json& value, std::string_view wanted) {
    const std::string said = error_of([&] { parse_cost_profile(spoiled(pointer, value)); });
    CAPTURE(said);
    CAPTURE(wanted);
    CHECK(said.find(wanted) != std::string::npos);
  };
  says("/about", 3, "profile.about is 3; expected a text");
  says("/machine/ranks_per_node", 0, "a node has 0 ranks");
  says("/machine/ranks_per_node", 1.5, "profile.machine.ranks_per_node is 1.5; expected a whole number");
  says("/machine/ranks_per_node", 1e12, "expected a whole number up to 2147483647");
  says("/machine/slowdown", 0.5, "slowdown is 0.5");
  says("/machine/slowdown", "fast", "is \"fast\"; expected a number");
  says("/machine/within/points", nlohmann::json::array(), "profile.machine.within.points: expected a list of 2 or more");
  says("/machine/within/points/1/bytes", 0, "expected ascending lengths");
  says("/machine/within/points/0/message", -1, "profile.machine.within.points[0].message is -1");
  says("/machine/between/points/0/message", nullptr, "is null; expected a number");
  says("/model/layers", nlohmann::json::array(), "profile.model.layers: expected a list of 1 or more");
  says("/model/layers/1/points/0/forward", 1e300, "profile.model.layers[1].points[0].forward");
  says("/model/layers/1/points/0/rows", 0, "a point of 0 rows");
  says("/model/layers/0/parameters", "many", "profile.model.layers[0].parameters");
  says("/model/layers/0", 7, "profile.model.layers[0]: there is no \"name\"");
  says("/model/value_bytes", 3, "a value has 3 bytes");
}

TEST_CASE("outline: a model without a clock") {
  const Shape image{16, 16, 3};
  const auto model = cnn(image, 10);
  initialise(*model, 1);
  const ModelProfile profile = outline("cnn", *model, image);
  REQUIRE(profile.layers.size() == model->size());
  CHECK(profile.layers[0].name == "conv1");
  CHECK(profile.layers[0].parameters == std::vector<std::size_t>{3 * 3 * 3 * 32, 32});
  CHECK(profile.layers[0].output_values == 16 * 16 * 32);
  CHECK(profile.layers[0].halo_values == 2 * 16 * 3);        // a row above, a row below, of 16 pixels
  CHECK(profile.layers[1].output_values == 8 * 8 * 32);      // pooled
  CHECK(profile.layers[6].spatial_gathered == 2 * 2 * 128);  // flatten
  CHECK(profile.layers[7].spatial_share == 0);
  std::size_t parameters = 0;
  for (const LayerProfile& layer : profile.layers) parameters += layer.parameter_count();
  CHECK(parameters == static_cast<std::size_t>(parameter_count(*model)));

  const ModelProfile described = described_model("cnn", *model, image, {.operations = 1e9, .bytes = 1e12});
  const double operations = 2.0 * 16 * 16 * 3 * 3 * 32 * 32;  // of conv2, a row
  CHECK(described.layers[1].at(512).forward == doctest::Approx(512 * operations / 1e9).epsilon(1e-3));
  CHECK(described.layers[0].at(8).backward_input == 0);  // nothing before it learns
  CHECK(described.layers[0].at(1).activation_bytes >= 16 * 16 * 32 * sizeof(real));
  CHECK(described.layers[6].at(8).backward_weight == 0);  // flatten
}
