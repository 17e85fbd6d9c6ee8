// Do the replicas still agree?
//
// Data parallelism never sends parameters after the start: every replica computes the same update from the same gradient, so all must
// stay equal to the last bit. A bug that breaks this (a forgotten broadcast, a rank that skips a gradient, memory that two ranks see)
// does not crash; it trains p different models whose average gradient fits none. So it is worth a look now and then.
//
// Cost: one pass over the parameters, and 8 bytes for each parameter tensor over the network.
#pragma once

#include <string_view>

#include "nn/module.hpp"
#include "parallel/mpi/communicator.hpp"

namespace tandem {

// Error, the same on every rank, that names the first parameter or buffer that differs, the rank, and the first value. `when` goes into
// the message. Collective.
void require_equal_replicas(const Module& model, const Communicator& replicas, std::string_view when);

}  // namespace tandem
