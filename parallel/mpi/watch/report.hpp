// What the watch says at the end: for people, and as JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "parallel/mpi/watch/diagnose.hpp"
#include "parallel/mpi/watch/stack.hpp"

namespace tandem::watch {

// `lines`: of each rank, where it waits.
std::string report_text(const Snapshot& now, const Diagnosis& diagnosis, const std::vector<std::vector<Line>>& lines);

// {"kind": ..., "stuck": [0, 1], "what": ..., "advice": ..., "text": ...,
//  "ranks": [{"rank", "state", "call", "peer", "tag", "bytes", "what", "file", "line", "function"}]}
// peer and tag: -1 for any; null where the call has none. Of a call that waits for several messages they are those of the first.
std::string report_json(const Snapshot& now, const Diagnosis& diagnosis, const std::vector<std::vector<Line>>& lines);

}  // namespace tandem::watch
