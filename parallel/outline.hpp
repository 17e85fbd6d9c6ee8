// A model as a profile: what can be said of it without a clock, and what its arithmetic would take on a core of a given speed.
#pragma once

#include "nn/data.hpp"
#include "nn/layers.hpp"
#include "parallel/cost_profile.hpp"

namespace tandem {

// Names, parameters, what each layer passes on, and what it exchanges where images are split by rows. Nothing is timed: `points` are empty.
ModelProfile outline(std::string name, Sequential& model, const Shape& sample);

struct CoreSpeed {
  double operations = 50e9;  // multiplications and additions a second, of products and convolutions
  double bytes = 10e9;       // of memory a second, for everything else
};

// The outline with times from a roofline, max(operations / speed, bytes / bandwidth): for forward by the operations that the layer records, for
// each of the two gradients as many. What is kept for backward is measured: it needs no clock.
ModelProfile described_model(std::string name, Sequential& model, const Shape& sample, const CoreSpeed& core);

// A microsecond and 5 GB/s between processes of one node; 25 microseconds and 1.25 GB/s (10 Gbit/s Ethernet) between nodes; 10 GB/s added.
inline constexpr Link typical_host{.alpha = 1e-6, .beta = 2e-10, .gamma = 1e-10}, typical_network{.alpha = 25e-6, .beta = 8e-10, .gamma = 1e-10};
inline constexpr const char *assumed_host = "links within a node: 1 us, 5 GB/s", *assumed_network = "links between nodes: 25 us, 1.25 GB/s";

}  // namespace tandem
