// What was measured of a machine and of a model, once and without any parallel scheme: what predictions are made from (predict.hpp).
//
//     machine    ranks of a node       links within a node and between nodes: time of a message, of an addition, by length
//     model      for each layer        seconds of forward, backward of the input, backward of the weights, and bytes kept, by number of rows;
//                                      parameters, values passed on, and how much of it divides where layers or images are split
//
// The program `measure` writes it, as JSON; one can also be written by hand, for a machine or a model that is not at hand. All ranks measure
// at the same time, because two busy cores share the bandwidth of the memory and run at a lower clock than one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "parallel/cost.hpp"

namespace tandem {

struct MachineProfile {
  int ranks_per_node = 1;
  // Seconds with all cores busy / seconds with one busy. The seconds of the layers are those with all cores busy.
  double slowdown = 1;
  LinkProfile within{Link{}}, between{Link{}};  // messages between ranks of a node, of different nodes
  LinkProfile memory{Link{}};                   // memory that ranks share, as shared_window_allreduce_cost() takes it
  std::vector<std::string> assumed = {};        // what was not measured, in words
};

// One layer on a micro-batch of so many rows.
struct LayerPoint {
  double rows = 0;
  Seconds forward = 0, backward_input = 0, backward_weight = 0;
  double activation_bytes = 0;  // kept from forward to backward: the output, and what else the pullbacks captured
  double work_bytes = 0;        // more, for a moment, while it runs
};

struct LayerProfile {
  std::string name;
  std::vector<LayerPoint> points;        // by rows, ascending
  std::vector<std::size_t> parameters;   // number of values of each
  std::size_t statistics = 0;            // values that are summed over replicas with the gradients (batch normalisation)
  Seconds accumulate = 0;                // adding one gradient to another
  Seconds update = 0;                    // one step of the optimiser
  std::size_t output_values = 0;         // of one sample

  // Where the layer is split over a tensor group: the share of its time that divides; how many of its parameters do; values of a sample that are
  // summed over the group, or gathered from it.
  double tensor_share = 0;
  std::size_t tensor_parameters = 0;
  std::size_t tensor_forward_summed = 0, tensor_forward_gathered = 0, tensor_backward_summed = 0;
  // Where images are: the share of its time that divides; values of a sample that a rank gets from both neighbours together; where the image comes
  // together again, all its values.
  double spatial_share = 0;
  std::size_t halo_values = 0, spatial_gathered = 0;

  // Between two measured numbers of rows: on the line through both. Below the first: on through the first two, but never negative. Beyond the last,
  // or if there is only one: in proportion to it. rows = 0 costs nothing.
  LayerPoint at(double rows) const;
  std::size_t parameter_count() const;
};

struct ModelProfile {
  std::string name;
  std::size_t value_bytes = 4;        // of a real
  std::size_t sample_values = 0;      // of one input
  std::string optimizer = "sgd";
  int moments = 1;                    // values the optimiser keeps for each parameter
  std::vector<LayerProfile> layers;
  LayerProfile loss;                  // behind the last
};

struct CostProfile {
  std::string about;  // where and when it was measured
  MachineProfile machine;
  ModelProfile model;
};

// Error that names file and field for what is no such file: no JSON, a field missing, of another kind, negative or not finite, rows or
// bytes not ascending, no layer.
CostProfile load_cost_profile(const std::filesystem::path& path);
CostProfile parse_cost_profile(std::string_view json, std::string_view name = "profile");
std::string to_json(const CostProfile& profile);

}  // namespace tandem
