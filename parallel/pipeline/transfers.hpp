// The messages of a schedule, written into its programs: what the executor runs.
//
//     rank 0   0F0 0SEND_F0 0F1 0SEND_F1 0RECV_B0 0B0 0RECV_B1 0B1           an output leaves as soon as it is there;
//     rank 1   1RECV_F0 1F0 1B0 1SEND_B0 1RECV_F1 1F1 1B1 1SEND_B1           an input is waited for where it is first needed
//
// A send begins and does not wait. So a rank waits in receives only, and in the order of its own program.
#pragma once

#include "parallel/pipeline/schedule.hpp"

namespace tandem {

// Sends after the action that makes a value, receives before the one that takes it, only where the two are on different ranks; a reduction behind
// the last B or W of each stage. `schedule` has none of these yet and is valid; else Error.
Schedule with_transfers(const Schedule& schedule);
Schedule without_transfers(Schedule schedule);  // the other way round: F, B, I and W alone

// How many messages a step has: 2 m for each boundary between stages of different ranks. Counted without writing them down.
std::int64_t count_messages(const Schedule& schedule);

}  // namespace tandem
