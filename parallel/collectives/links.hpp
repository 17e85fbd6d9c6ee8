// What messages cost on this machine: measured once, for choose.hpp and for predictions (parallel/predict.hpp).
#pragma once

#include "parallel/cost.hpp"
#include "parallel/mpi/communicator.hpp"

namespace tandem {

// Times exchanges between neighbours (ranks 0 and 1, 2 and 3, ... all at once, as in a collective), and additions, for lengths of 8 B to
// 16 MB; the slowest pair counts. About 0.1 s on one host. The same on every rank. Collective. Error on a single rank.
LinkProfile measure_links(const Communicator& comm);

}  // namespace tandem
