// Collectives, each also in its nonblocking form: the root and the bytes, where all ranks must say the same; -1 where they need not.
#include "parallel/mpi/watch/journal.hpp"

using namespace tandem::watch;

namespace {
// With MPI_IN_PLACE the count beside it means nothing.
std::int64_t size(const void* values, int n, MPI_Datatype type) { return values == MPI_IN_PLACE ? -1 : bytes_of(n, type); }
}  // namespace

// TOGETHER(Name, Iname, root, bytes, (parameters), (arguments)): the parameters end with `MPI_Comm comm`.
#define OPEN(...) __VA_ARGS__
#define TOGETHER(name, iname, root, bytes, parameters, arguments)                                        \
  extern "C" int MPI_##name(OPEN parameters) {                                                           \
    const Blocked in_call("MPI_" #name, {gathering("MPI_" #name, comm_of(key_of(comm)), root, bytes)});  \
    return TANDEM_NEXT(MPI_##name) arguments;                                                            \
  }                                                                                                      \
  extern "C" int MPI_##iname(OPEN parameters, MPI_Request* request) {                                    \
    const Operation begun = gathering("MPI_" #iname, comm_of(key_of(comm)), root, bytes);                \
    const int code = TANDEM_NEXT(MPI_##iname)(OPEN arguments, request);                                  \
    if (code == MPI_SUCCESS) remember(key_of(*request), begun);                                          \
    return code;                                                                                         \
  }

TOGETHER(Barrier, Ibarrier, -1, 0,
         (MPI_Comm comm),
         (comm))
TOGETHER(Bcast, Ibcast, root, bytes_of(n, type),
         (void* values, int n, MPI_Datatype type, int root, MPI_Comm comm),
         (values, n, type, root, comm))
TOGETHER(Gather, Igather, root, size(out, out_n, out_type),
         (const void* out, int out_n, MPI_Datatype out_type, void* in, int in_n, MPI_Datatype in_type, int root,
          MPI_Comm comm),
         (out, out_n, out_type, in, in_n, in_type, root, comm))
TOGETHER(Gatherv, Igatherv, root, -1,
         (const void* out, int out_n, MPI_Datatype out_type, void* in, const int* in_n, const int* in_at,
          MPI_Datatype in_type, int root, MPI_Comm comm),
         (out, out_n, out_type, in, in_n, in_at, in_type, root, comm))
TOGETHER(Scatter, Iscatter, root, size(in, in_n, in_type),
         (const void* out, int out_n, MPI_Datatype out_type, void* in, int in_n, MPI_Datatype in_type, int root,
          MPI_Comm comm),
         (out, out_n, out_type, in, in_n, in_type, root, comm))
TOGETHER(Scatterv, Iscatterv, root, -1,
         (const void* out, const int* out_n, const int* out_at, MPI_Datatype out_type, void* in, int in_n,
          MPI_Datatype in_type, int root, MPI_Comm comm),
         (out, out_n, out_at, out_type, in, in_n, in_type, root, comm))
TOGETHER(Allgather, Iallgather, -1, bytes_of(in_n, in_type),
         (const void* out, int out_n, MPI_Datatype out_type, void* in, int in_n, MPI_Datatype in_type, MPI_Comm comm),
         (out, out_n, out_type, in, in_n, in_type, comm))
TOGETHER(Allgatherv, Iallgatherv, -1, -1,
         (const void* out, int out_n, MPI_Datatype out_type, void* in, const int* in_n, const int* in_at,
          MPI_Datatype in_type, MPI_Comm comm),
         (out, out_n, out_type, in, in_n, in_at, in_type, comm))
TOGETHER(Alltoall, Ialltoall, -1, bytes_of(in_n, in_type),
         (const void* out, int out_n, MPI_Datatype out_type, void* in, int in_n, MPI_Datatype in_type, MPI_Comm comm),
         (out, out_n, out_type, in, in_n, in_type, comm))
TOGETHER(Alltoallv, Ialltoallv, -1, -1,
         (const void* out, const int* out_n, const int* out_at, MPI_Datatype out_type, void* in, const int* in_n,
          const int* in_at, MPI_Datatype in_type, MPI_Comm comm),
         (out, out_n, out_at, out_type, in, in_n, in_at, in_type, comm))
TOGETHER(Alltoallw, Ialltoallw, -1, -1,
         (const void* out, const int* out_n, const int* out_at, const MPI_Datatype* out_type, void* in, const int*
          in_n, const int* in_at, const MPI_Datatype* in_type, MPI_Comm comm),
         (out, out_n, out_at, out_type, in, in_n, in_at, in_type, comm))
TOGETHER(Reduce, Ireduce, root, bytes_of(n, type),
         (const void* out, void* in, int n, MPI_Datatype type, MPI_Op op, int root, MPI_Comm comm),
         (out, in, n, type, op, root, comm))
TOGETHER(Allreduce, Iallreduce, -1, bytes_of(n, type),
         (const void* out, void* in, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm),
         (out, in, n, type, op, comm))
TOGETHER(Reduce_scatter, Ireduce_scatter, -1, -1,
         (const void* out, void* in, const int* n, MPI_Datatype type, MPI_Op op, MPI_Comm comm),
         (out, in, n, type, op, comm))
TOGETHER(Reduce_scatter_block, Ireduce_scatter_block, -1, bytes_of(n, type),
         (const void* out, void* in, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm),
         (out, in, n, type, op, comm))
TOGETHER(Scan, Iscan, -1, bytes_of(n, type),
         (const void* out, void* in, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm),
         (out, in, n, type, op, comm))
TOGETHER(Exscan, Iexscan, -1, bytes_of(n, type),
         (const void* out, void* in, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm),
         (out, in, n, type, op, comm))
