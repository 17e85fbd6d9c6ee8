#include "parallel/cost_profile.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/error.hpp"
#include "core/file.hpp"

namespace tandem {
namespace {

using Json = nlohmann::json;

// A value of the file and where it stands there, for messages.
class Field {
 public:
  Field(const Json& json, std::string path) : json_(json), path_(std::move(path)) {}

  Field operator[](const char* name) const {
    require(json_.is_object() && json_.contains(name), "{}: there is no \"{}\"", path_, name);
    return {json_[name], fmt::format("{}.{}", path_, name)};
  }
  std::vector<Field> elements(std::size_t at_least) const {
    require(json_.is_array() && json_.size() >= at_least, "{}: expected a list of {} or more", path_, at_least);
    std::vector<Field> fields;
    for (std::size_t i = 0; i < json_.size(); ++i) fields.emplace_back(json_[i], fmt::format("{}[{}]", path_, i));
    return fields;
  }
  double number() const {
    const double value = json_.is_number() ? json_.get<double>() : -1;
    require(value >= 0 && value <= most, "{} is {}; expected a number from 0 to {:.0e}", path_, shown(), most);
    return value;
  }
  template <class Whole>
  Whole whole() const {
    const double value = number(), largest = std::min(most, static_cast<double>(std::numeric_limits<Whole>::max()));
    require(value == std::floor(value) && value <= largest, "{} is {}; expected a whole number up to {:.0f}", path_, shown(), largest);
    return static_cast<Whole>(value);
  }
  std::string text() const {
    require(json_.is_string(), "{} is {}; expected a text", path_, shown());
    return json_.get<std::string>();
  }
  template <class T, class P>
  void require_ascending(const std::vector<T>& points, P projection) const {
    require(std::ranges::adjacent_find(points, std::ranges::greater_equal{}, projection) == points.end(), "{}: expected ascending lengths", path_);
  }

 private:
  static constexpr double most = 1e15;  // so that no sum overflows
  std::string shown() const {
    return json_.is_structured() ? json_.type_name() : json_.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60);
  }

  const Json& json_;
  std::string path_;
};

LinkProfile links_of(const Field& field) {
  std::vector<LinkProfile::Point> points;
  for (const Field& point : field["points"].elements(2))
    points.push_back({.bytes = point["bytes"].whole<std::size_t>(), .message = point["message"].number(), .addition = point["addition"].number()});
  field.require_ascending(points, &LinkProfile::Point::bytes);
  return LinkProfile(std::move(points));
}

Json json_of(const LinkProfile& links) {
  const Link fit = links.fit();
  Json points = Json::array();
  for (const LinkProfile::Point& p : links.points()) points.push_back({{"bytes", p.bytes}, {"message", p.message}, {"addition", p.addition}});
  return {{"alpha", fit.alpha}, {"beta", fit.beta}, {"gamma", fit.gamma}, {"points", points}};  // the fit is for reading only
}

LayerProfile layer_of(const Field& field) {
  LayerProfile layer{.name = field["name"].text()};
  for (const Field& p : field["points"].elements(1))
    layer.points.push_back({.rows = p["rows"].number(), .forward = p["forward"].number(), .backward_input = p["backward_input"].number(),
                            .backward_weight = p["backward_weight"].number(), .activation_bytes = p["activation_bytes"].number(),
                            .work_bytes = p["work_bytes"].number()});
  field.require_ascending(layer.points, &LayerPoint::rows);
  require(layer.points.front().rows > 0, "layer '{}': a point of 0 rows", layer.name);
  for (const Field& count : field["parameters"].elements(0)) layer.parameters.push_back(count.whole<std::size_t>());
  layer.statistics = field["statistics"].whole<std::size_t>();
  layer.accumulate = field["accumulate"].number();
  layer.update = field["update"].number();
  layer.output_values = field["output_values"].whole<std::size_t>();
  const Field tensor = field["tensor"], spatial = field["spatial"];
  layer.tensor_share = std::min(1.0, tensor["share"].number());
  layer.tensor_parameters = tensor["parameters"].whole<std::size_t>();
  require(layer.tensor_parameters <= layer.parameter_count(), "layer '{}': {} of {} parameters are split", layer.name, layer.tensor_parameters,
          layer.parameter_count());
  layer.tensor_forward_summed = tensor["forward_summed"].whole<std::size_t>();
  layer.tensor_forward_gathered = tensor["forward_gathered"].whole<std::size_t>();
  layer.tensor_backward_summed = tensor["backward_summed"].whole<std::size_t>();
  layer.spatial_share = std::min(1.0, spatial["share"].number());
  layer.halo_values = spatial["halo"].whole<std::size_t>();
  layer.spatial_gathered = spatial["gathered"].whole<std::size_t>();
  return layer;
}

Json json_of(const LayerProfile& layer) {
  Json points = Json::array();
  for (const LayerPoint& p : layer.points)
    points.push_back({{"rows", p.rows}, {"forward", p.forward}, {"backward_input", p.backward_input}, {"backward_weight", p.backward_weight},
                      {"activation_bytes", p.activation_bytes}, {"work_bytes", p.work_bytes}});
  return {{"name", layer.name}, {"points", points}, {"parameters", layer.parameters}, {"statistics", layer.statistics}, {"accumulate", layer.accumulate},
          {"update", layer.update}, {"output_values", layer.output_values},
          {"tensor",
           {{"share", layer.tensor_share}, {"parameters", layer.tensor_parameters}, {"forward_summed", layer.tensor_forward_summed}, {"forward_gathered", layer.tensor_forward_gathered},
            {"backward_summed", layer.tensor_backward_summed}}},
          {"spatial", {{"share", layer.spatial_share}, {"halo", layer.halo_values}, {"gathered", layer.spatial_gathered}}}};
}

}  // namespace

LayerPoint LayerProfile::at(double rows) const {
  if (rows <= 0) return {};
  require(!points.empty(), "layer '{}': nothing was measured", name);
  const auto right = std::ranges::lower_bound(points, rows, {}, &LayerPoint::rows);
  const bool beyond = right == points.end();  // in proportion to the last: two points would magnify their errors
  const LayerPoint& b = beyond ? points.back() : right == points.begin() && points.size() > 1 ? points[1] : *right;
  const LayerPoint a = beyond || points.size() == 1 ? LayerPoint{} : *(&b - 1);
  const double x = (rows - a.rows) / (b.rows - a.rows);
  const auto between = [&](double LayerPoint::*what) { return std::max(0.0, a.*what + x * (b.*what - a.*what)); };
  return {.rows = rows, .forward = between(&LayerPoint::forward), .backward_input = between(&LayerPoint::backward_input),
          .backward_weight = between(&LayerPoint::backward_weight), .activation_bytes = between(&LayerPoint::activation_bytes),
          .work_bytes = between(&LayerPoint::work_bytes)};
}

std::size_t LayerProfile::parameter_count() const { return std::accumulate(parameters.begin(), parameters.end(), std::size_t{0}); }

CostProfile parse_cost_profile(std::string_view text, std::string_view name) {
  const Json json = Json::parse(text, nullptr, false);
  require(!json.is_discarded(), "{}: this is no JSON", name);
  const Field file(json, std::string(name));
  CostProfile profile{.about = file["about"].text()};

  const Field machine = file["machine"];
  profile.machine = {.ranks_per_node = machine["ranks_per_node"].whole<int>(), .slowdown = machine["slowdown"].number(),
                     .within = links_of(machine["within"]), .between = links_of(machine["between"]), .memory = links_of(machine["memory"])};
  for (const Field& text_of : machine["assumed"].elements(0)) profile.machine.assumed.push_back(text_of.text());
  require(profile.machine.ranks_per_node >= 1, "{}: a node has {} ranks", name, profile.machine.ranks_per_node);
  require(profile.machine.slowdown >= 1, "{}: slowdown is {}; expected 1 or more", name, profile.machine.slowdown);

  const Field model = file["model"];
  profile.model = {.name = model["name"].text(), .value_bytes = model["value_bytes"].whole<std::size_t>(), .sample_values = model["sample_values"].whole<std::size_t>(),
                   .optimizer = model["optimizer"].text(), .moments = model["moments"].whole<int>()};
  require(profile.model.value_bytes == 4 || profile.model.value_bytes == 8, "{}: a value has {} bytes; expected 4 or 8", name, profile.model.value_bytes);
  for (const Field& layer : model["layers"].elements(1)) profile.model.layers.push_back(layer_of(layer));
  profile.model.loss = layer_of(model["loss"]);
  return profile;
}

CostProfile load_cost_profile(const std::filesystem::path& path) { return parse_cost_profile(read_file(path, std::size_t{64} << 20), path.string()); }

std::string to_json(const CostProfile& profile) {
  const MachineProfile& machine = profile.machine;
  const ModelProfile& model = profile.model;
  Json layers = Json::array();
  for (const LayerProfile& layer : model.layers) layers.push_back(json_of(layer));
  const Json json{
      {"about", profile.about},
      {"machine",
       {{"ranks_per_node", machine.ranks_per_node}, {"slowdown", machine.slowdown}, {"within", json_of(machine.within)},
        {"between", json_of(machine.between)}, {"memory", json_of(machine.memory)}, {"assumed", machine.assumed}}},
      {"model",
       {{"name", model.name}, {"value_bytes", model.value_bytes}, {"sample_values", model.sample_values}, {"optimizer", model.optimizer},
        {"moments", model.moments}, {"layers", layers}, {"loss", json_of(model.loss)}}}};
  return json.dump(1) + "\n";
}

}  // namespace tandem
