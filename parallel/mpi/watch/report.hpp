// What the watch says at the end: for people, and as JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "parallel/mpi/watch/diagnosis.hpp"
#include "parallel/mpi/watch/lines.hpp"

namespace tandem::watch {

// "MPI_Waitall for MPI_Irecv from rank 1, tag 0, 4 bytes and MPI_Isend to rank 2, tag 0, 4 bytes"
std::string describe(const RankView& rank);

// `lines`: of each rank, where it waits.
//
//   tandem watch: 1 of 2 ranks can never go on
//     rank 0  MPI_Recv from rank 1, tag 3, 4 bytes
//             at halo.c:31 in exchange, called from halo.c:57 in main
//     rank 1  has finished (MPI_Finalize)
//   A tag mismatch: ...
std::string report_text(const Snapshot& now, const Diagnosis& diagnosis, const std::vector<std::vector<Line>>& lines);

// {"kind": ..., "stuck": [0], "what": ..., "advice": ..., "text": ...,
//  "ranks": [{"rank", "state", "what", "call", "peer", "tag", "bytes", "file", "line", "function"}, ...]}
// peer and tag: -1 for any; null where the call has none. Of a call that waits for several messages they are those of the first.
std::string report_json(const Snapshot& now, const Diagnosis& diagnosis, const std::vector<std::vector<Line>>& lines);

}  // namespace tandem::watch
