// What makes new communicators and windows, and the synchronisation of windows.
#include "parallel/mpi/watch/journal.hpp"

using namespace tandem::watch;

// All ranks of `comm` make a communicator together; afterwards its ranks agree on what to call it on the board.
#define MAKE_COMM(name, made, parameters, arguments)                                                  \
  extern "C" int MPI_##name parameters {                                                              \
    const Blocked in(Call::name, {gathering(Call::name, comm_of(comm), -1, -1, TANDEM_HERE)});        \
    const int code = TANDEM_NEXT(MPI_##name) arguments;                                               \
    if (code == MPI_SUCCESS) begin_comm(*made);                                                       \
    return code;                                                                                      \
  }
MAKE_COMM(Comm_dup, copy, (MPI_Comm comm, MPI_Comm* copy), (comm, copy))
MAKE_COMM(Comm_dup_with_info, copy, (MPI_Comm comm, MPI_Info info, MPI_Comm* copy), (comm, info, copy))
MAKE_COMM(Comm_split, part, (MPI_Comm comm, int colour, int key, MPI_Comm* part), (comm, colour, key, part))
MAKE_COMM(Comm_split_type, part, (MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm* part), (comm, type, key, info, part))
MAKE_COMM(Comm_create, made, (MPI_Comm comm, MPI_Group group, MPI_Comm* made), (comm, group, made))
MAKE_COMM(Cart_create, made, (MPI_Comm comm, int n, const int* sizes, const int* rings, int reorder, MPI_Comm* made),
          (comm, n, sizes, rings, reorder, made))
MAKE_COMM(Cart_sub, made, (MPI_Comm comm, const int* kept, MPI_Comm* made), (comm, kept, made))
MAKE_COMM(Graph_create, made, (MPI_Comm comm, int n, const int* index, const int* edges, int reorder, MPI_Comm* made),
          (comm, n, index, edges, reorder, made))
MAKE_COMM(Dist_graph_create, made,
          (MPI_Comm comm, int n, const int* sources, const int* degrees, const int* targets, const int* weights, MPI_Info info,
           int reorder, MPI_Comm* made),
          (comm, n, sources, degrees, targets, weights, info, reorder, made))
MAKE_COMM(Dist_graph_create_adjacent, made,
          (MPI_Comm comm, int n_in, const int* sources, const int* in_weights, int n_out, const int* targets, const int* out_weights,
           MPI_Info info, int reorder, MPI_Comm* made),
          (comm, n_in, sources, in_weights, n_out, targets, out_weights, info, reorder, made))

#define MAKE_WINDOW(name, parameters, arguments)                                                      \
  extern "C" int MPI_##name parameters {                                                              \
    const Blocked in(Call::name, {gathering(Call::name, comm_of(comm), -1, -1, TANDEM_HERE)});        \
    const int code = TANDEM_NEXT(MPI_##name) arguments;                                               \
    if (code == MPI_SUCCESS) begin_window(*window, comm);                                             \
    return code;                                                                                      \
  }
MAKE_WINDOW(Win_create, (void* base, MPI_Aint bytes, int unit, MPI_Info info, MPI_Comm comm, MPI_Win* window),
            (base, bytes, unit, info, comm, window))
MAKE_WINDOW(Win_allocate, (MPI_Aint bytes, int unit, MPI_Info info, MPI_Comm comm, void* base, MPI_Win* window),
            (bytes, unit, info, comm, base, window))
MAKE_WINDOW(Win_allocate_shared, (MPI_Aint bytes, int unit, MPI_Info info, MPI_Comm comm, void* base, MPI_Win* window),
            (bytes, unit, info, comm, base, window))
MAKE_WINDOW(Win_create_dynamic, (MPI_Info info, MPI_Comm comm, MPI_Win* window), (info, comm, window))

#define SYNCHRONISE(name, parameters, arguments)                                                      \
  extern "C" int MPI_##name parameters {                                                              \
    const Blocked in(Call::name, {one_sided(Call::name, comm_of(window), TANDEM_HERE)});              \
    return TANDEM_NEXT(MPI_##name) arguments;                                                         \
  }
SYNCHRONISE(Win_lock, (int type, int rank, int promise, MPI_Win window), (type, rank, promise, window))
SYNCHRONISE(Win_lock_all, (int promise, MPI_Win window), (promise, window))
SYNCHRONISE(Win_unlock, (int rank, MPI_Win window), (rank, window))
SYNCHRONISE(Win_unlock_all, (MPI_Win window), (window))
SYNCHRONISE(Win_flush, (int rank, MPI_Win window), (rank, window))
SYNCHRONISE(Win_flush_all, (MPI_Win window), (window))
SYNCHRONISE(Win_start, (MPI_Group group, int promise, MPI_Win window), (group, promise, window))
SYNCHRONISE(Win_complete, (MPI_Win window), (window))
SYNCHRONISE(Win_wait, (MPI_Win window), (window))

extern "C" {

int MPI_Win_fence(int promise, MPI_Win window) {
  const Blocked in(Call::Win_fence, {gathering(Call::Win_fence, comm_of(window), -1, -1, TANDEM_HERE)});
  return TANDEM_NEXT(MPI_Win_fence)(promise, window);
}

int MPI_Win_free(MPI_Win* window) {
  const MPI_Win before = *window;
  const Blocked in(Call::Win_free, {gathering(Call::Win_free, comm_of(before), -1, -1, TANDEM_HERE)});
  const int code = TANDEM_NEXT(MPI_Win_free)(window);
  end_window(before);
  return code;
}

int MPI_Comm_free(MPI_Comm* comm) {
  const MPI_Comm before = *comm;
  const Blocked in(Call::Comm_free, {gathering(Call::Comm_free, comm_of(before), -1, -1, TANDEM_HERE)});
  const int code = TANDEM_NEXT(MPI_Comm_free)(comm);
  end_comm(before);
  return code;
}

int MPI_Comm_set_name(MPI_Comm comm, const char* name) {
  name_comm(comm, name);
  return TANDEM_NEXT(MPI_Comm_set_name)(comm, name);
}

}  // extern "C"
