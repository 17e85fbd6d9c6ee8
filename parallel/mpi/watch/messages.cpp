// Messages between two ranks: each call says on the board what it is about to do, then does it.
#include "parallel/mpi/watch/journal.hpp"

using namespace tandem::watch;

namespace {

// The status that the caller wants, or one of ours, since we always want to know whose message came.
struct Status {
  explicit Status(MPI_Status* wanted) : used(wanted == MPI_STATUS_IGNORE ? &own : wanted) {}
  MPI_Status own, *used;
};

}  // namespace

extern "C" {

#define BLOCKING_SEND(name)                                                                       \
  int MPI_##name(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {  \
    const Blocked in("MPI_" #name, {sending("MPI_" #name, n, type, to, tag, comm)});      \
    return TANDEM_NEXT(MPI_##name)(values, n, type, to, tag, comm);                               \
  }
BLOCKING_SEND(Send)
BLOCKING_SEND(Ssend)
BLOCKING_SEND(Bsend)
BLOCKING_SEND(Rsend)

#define BEGIN_SEND(name)                                                                                                \
  int MPI_##name(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {  \
    const Operation begun = sending("MPI_" #name, n, type, to, tag, comm);                                          \
    const int code = TANDEM_NEXT(MPI_##name)(values, n, type, to, tag, comm, request);                                  \
    if (code == MPI_SUCCESS) remember(key_of(*request), begun);                                                         \
    return code;                                                                                                        \
  }
BEGIN_SEND(Isend)
BEGIN_SEND(Issend)
BEGIN_SEND(Ibsend)
BEGIN_SEND(Irsend)

// A persistent send is described here, and counted when it starts.
#define PREPARE_SEND(name)                                                                                              \
  int MPI_##name(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {  \
    const int code = TANDEM_NEXT(MPI_##name)(values, n, type, to, tag, comm, request);                                  \
    if (code == MPI_SUCCESS) prepare(key_of(*request), sending_later("MPI_" #name, n, type, to, tag, comm));            \
    return code;                                                                                                        \
  }
PREPARE_SEND(Send_init)
PREPARE_SEND(Ssend_init)
PREPARE_SEND(Bsend_init)
PREPARE_SEND(Rsend_init)

int MPI_Recv(void* values, int n, MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Status* wanted) {
  Status status(wanted);
  const Blocked in("MPI_Recv", {receiving("MPI_Recv", n, type, from, tag, comm)});
  const int code = TANDEM_NEXT(MPI_Recv)(values, n, type, from, tag, comm, status.used);
  message_taken(comm, *status.used);
  return code;
}

int MPI_Irecv(void* values, int n, MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Request* request) {
  const int code = TANDEM_NEXT(MPI_Irecv)(values, n, type, from, tag, comm, request);
  if (code == MPI_SUCCESS) remember(key_of(*request), receiving("MPI_Irecv", n, type, from, tag, comm));
  return code;
}

int MPI_Recv_init(void* values, int n, MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Request* request) {
  const int code = TANDEM_NEXT(MPI_Recv_init)(values, n, type, from, tag, comm, request);
  if (code == MPI_SUCCESS) prepare(key_of(*request), receiving("MPI_Recv_init", n, type, from, tag, comm));
  return code;
}

int MPI_Sendrecv(const void* out, int out_n, MPI_Datatype out_type, int to, int out_tag, void* in, int in_n,
                 MPI_Datatype in_type, int from, int in_tag, MPI_Comm comm, MPI_Status* wanted) {
  Status status(wanted);
  const Blocked both("MPI_Sendrecv", {sending("MPI_Sendrecv", out_n, out_type, to, out_tag, comm),
                                      receiving("MPI_Sendrecv", in_n, in_type, from, in_tag, comm)});
  const int code = TANDEM_NEXT(MPI_Sendrecv)(out, out_n, out_type, to, out_tag, in, in_n, in_type, from, in_tag, comm, status.used);
  message_taken(comm, *status.used);
  return code;
}

int MPI_Sendrecv_replace(void* values, int n, MPI_Datatype type, int to, int out_tag, int from, int in_tag, MPI_Comm comm,
                         MPI_Status* wanted) {
  Status status(wanted);
  const Blocked both("MPI_Sendrecv_replace", {sending("MPI_Sendrecv_replace", n, type, to, out_tag, comm),
                                              receiving("MPI_Sendrecv_replace", n, type, from, in_tag, comm)});
  const int code = TANDEM_NEXT(MPI_Sendrecv_replace)(values, n, type, to, out_tag, from, in_tag, comm, status.used);
  message_taken(comm, *status.used);
  return code;
}

int MPI_Probe(int from, int tag, MPI_Comm comm, MPI_Status* status) {
  const Blocked in("MPI_Probe", {probing("MPI_Probe", from, tag, comm)});
  return TANDEM_NEXT(MPI_Probe)(from, tag, comm, status);
}

// A matched probe takes the message out of the queue: nobody else can receive it.
int MPI_Mprobe(int from, int tag, MPI_Comm comm, MPI_Message* message, MPI_Status* wanted) {
  Status status(wanted);
  const Blocked in("MPI_Mprobe", {probing("MPI_Mprobe", from, tag, comm)});
  const int code = TANDEM_NEXT(MPI_Mprobe)(from, tag, comm, message, status.used);
  message_taken(comm, *status.used);
  return code;
}

// That a message is there is no progress: only receiving it is. Who asks again and again without receiving gets nowhere.
int MPI_Iprobe(int from, int tag, MPI_Comm comm, int* found, MPI_Status* status) {
  const int code = TANDEM_NEXT(MPI_Iprobe)(from, tag, comm, found, status);
  if (!*found) asked_in_vain(probing("MPI_Iprobe", from, tag, comm));
  return code;
}

int MPI_Improbe(int from, int tag, MPI_Comm comm, int* found, MPI_Message* message, MPI_Status* wanted) {
  Status status(wanted);
  const int code = TANDEM_NEXT(MPI_Improbe)(from, tag, comm, found, message, status.used);
  if (*found) {
    moved();
    message_taken(comm, *status.used);
  } else {
    asked_in_vain(probing("MPI_Improbe", from, tag, comm));
  }
  return code;
}

}  // extern "C"
