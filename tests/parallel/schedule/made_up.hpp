// A machine and a model of round numbers, on which predictions can be checked by hand.
#pragma once

#include "parallel/cost_profile.hpp"

namespace tandem {

inline constexpr Link free_link{};

// `layers` equal layers that take forward, input and weight seconds for a row, in proportion; each has `parameters` values, keeps 1000 bytes and
// passes on 100 values of a row.
inline CostProfile made_up(int layers, double forward = 1, double input = 1, double weight = 1, std::size_t parameters = 4096, Link within = free_link,
                           Link between = free_link, int ranks_per_node = 1) {
  CostProfile profile{.about = "made up"};
  profile.machine = {.ranks_per_node = ranks_per_node, .within = within, .between = between, .memory = within};
  profile.model = {.name = "equal", .value_bytes = 4, .sample_values = 10, .optimizer = "adam", .moments = 2, .loss = {.name = "loss"}};
  for (int i = 0; i < layers; ++i) {
    LayerProfile layer{.name = "layer" + std::to_string(i), .output_values = 100};
    layer.points = {{.rows = 1, .forward = forward, .backward_input = input, .backward_weight = weight, .activation_bytes = 1000}};
    if (parameters > 0) layer.parameters = {parameters};
    profile.model.layers.push_back(layer);
  }
  profile.model.loss.points = {{.rows = 1}};
  return profile;
}

}  // namespace tandem
