// The traces of all ranks on one clock.
//
// Clocks of different hosts count from different moments. Rank 0 asks each rank for its time:
//
//     rank 0    t0 ----.                       .---> t1       offset = t - (t0 + t1) / 2
//     rank r            '---> reads t --------'               off by at most (t1 - t0) / 2, however the trip is shared by there and back
//
// Of several rounds the shortest trip counts: least was in its way. Source: Cristian, "Probabilistic clock synchronization", Distributed
// Computing 3, 1989, section 4. Between the trace and the question clocks may drift apart, by about 10 us in each second; so ask soon.
// Cost: `clock_rounds` messages there and back with each rank, then a gather of 32 bytes a span and 16 a sample of memory.
#pragma once

#include "parallel/mpi/communicator.hpp"
#include "parallel/trace.hpp"

namespace tandem {

inline constexpr int clock_rounds = 50;

struct ClockOffset {
  double seconds = 0;  // this rank's clock minus that of rank 0
  double bound = 0;    // the error is at most this
};

// Of each rank on rank 0; empty on the others. Collective.
std::vector<ClockOffset> clock_offsets(const Trace& trace, const Communicator& comm);

// On rank 0 the spans of all ranks in seconds since the first began, and their samples of memory; empty on the others. Collective.
Timeline gather_timeline(const Trace& trace, const Communicator& comm);

}  // namespace tandem
