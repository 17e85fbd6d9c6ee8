// Do the replicas still agree?
//
// Data parallelism never sends parameters after the start: every replica computes the same update from the same gradient, so all must
// stay equal to the last bit. A bug that breaks this (a forgotten broadcast, a rank that skips a gradient, memory that two ranks see)
// does not crash; it trains p different models whose average gradient fits none. So it is worth a look now and then. The same holds
// for what every rank of a tensor group keeps whole.
//
// Cost: one pass over the parameters, and 8 bytes for each parameter tensor over the network.
#pragma once

#include <string_view>

#include "nn/module.hpp"
#include "parallel/grid.hpp"

namespace tandem {

// Error, the same on every rank, that names the first parameter or buffer that differs, the ranks (of the world) and the first value.
// `when` goes into the message. Collective over the grid's world.
void require_equal_replicas(const Module& model, const ProcessGrid& grid, std::string_view when);

}  // namespace tandem
