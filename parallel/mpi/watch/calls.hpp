// The MPI calls that the watch knows by name.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tandem::watch {

#define TANDEM_WATCH_CALLS(X)                                                                                            \
  X(Send) X(Ssend) X(Bsend) X(Rsend) X(Recv) X(Sendrecv) X(Sendrecv_replace) X(Probe) X(Mprobe) X(Iprobe) X(Improbe)      \
  X(Mrecv) X(Imrecv) X(Isend) X(Issend) X(Ibsend) X(Irsend) X(Irecv) X(Send_init) X(Ssend_init) X(Bsend_init)             \
  X(Rsend_init) X(Recv_init) X(Wait) X(Waitall) X(Waitany) X(Waitsome) X(Test) X(Testall) X(Testany) X(Testsome)          \
  X(Barrier) X(Bcast) X(Gather) X(Gatherv) X(Scatter) X(Scatterv) X(Allgather) X(Allgatherv) X(Alltoall) X(Alltoallv)     \
  X(Alltoallw) X(Reduce) X(Allreduce) X(Reduce_scatter) X(Reduce_scatter_block) X(Scan) X(Exscan)                         \
  X(Ibarrier) X(Ibcast) X(Igather) X(Igatherv) X(Iscatter) X(Iscatterv) X(Iallgather) X(Iallgatherv) X(Ialltoall)         \
  X(Ialltoallv) X(Ialltoallw) X(Ireduce) X(Iallreduce) X(Ireduce_scatter) X(Ireduce_scatter_block) X(Iscan) X(Iexscan)    \
  X(Neighbor_allgather) X(Neighbor_allgatherv) X(Neighbor_alltoall) X(Neighbor_alltoallv) X(Neighbor_alltoallw)           \
  X(Ineighbor_allgather) X(Ineighbor_allgatherv) X(Ineighbor_alltoall) X(Ineighbor_alltoallv) X(Ineighbor_alltoallw)      \
  X(Comm_dup) X(Comm_dup_with_info) X(Comm_split) X(Comm_split_type) X(Comm_create) X(Comm_free) X(Cart_create)           \
  X(Cart_sub) X(Graph_create) X(Dist_graph_create) X(Dist_graph_create_adjacent)                                          \
  X(Win_create) X(Win_allocate) X(Win_allocate_shared) X(Win_create_dynamic) X(Win_free) X(Win_fence) X(Win_lock)         \
  X(Win_lock_all) X(Win_unlock) X(Win_unlock_all) X(Win_flush) X(Win_flush_all) X(Win_start) X(Win_complete) X(Win_wait)  \
  X(Finalize) X(shared_window)

enum class Call : std::uint16_t {
#define X(name) name,
  TANDEM_WATCH_CALLS(X)
#undef X
};

inline constexpr std::array call_names = {
#define X(name) std::string_view(#name),
    TANDEM_WATCH_CALLS(X)
#undef X
};

inline constexpr std::string_view name(Call call) { return call_names[static_cast<std::size_t>(call)]; }

}  // namespace tandem::watch
