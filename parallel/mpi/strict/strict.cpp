// Every send becomes synchronous: it completes only when its receiver is there.
//
// MPI_Send may return while the message still waits in a buffer of MPI (short messages do, long ones do not: MPI 4.0, section
// 3.4). A program in which two ranks both send before they receive lives on that buffer: it works until its messages grow.
//
//   rank 0   send to 1 ... receive from 1        finishes while 8 bytes fit into MPI's buffer,
//   rank 1   send to 0 ... receive from 0        hangs at once if sends are synchronous
//
// `tandem run --strict` loads this library before the program's own libraries, so that it takes the place of the sends of any
// MPI program, which need not be compiled anew. MPI names each function twice for this purpose: MPI_Send can be replaced,
// PMPI_Send is the real one (MPI 4.0, chapter 15).
//
//   Send, Rsend, Isend, Irsend             ->  Ssend, Issend: a ready send promises that the receive waits, so nothing is lost
//   Send_init, Rsend_init                  ->  Ssend_init
//   Sendrecv, Sendrecv_replace             ->  Irecv, Issend, Wait: each half waits for its own partner only
//   Bsend, Ibsend, Bsend_init              stay: the program brings the buffer itself, so it may rely on it
//   Ssend, Issend, Ssend_init              are synchronous already
//   collectives, one-sided communication   stay
//
// Fortran's functions call PMPI_Send inside Open MPI and are not reached.
#include <mpi.h>

#include <vector>

namespace {

template <class Pointer>
struct Message {
  Pointer values;
  int n;
  MPI_Datatype type;
};

int exchange(Message<const void*> out, int to, int out_tag, Message<void*> in, int from, int in_tag, MPI_Comm comm,
             MPI_Status* status) {
  MPI_Request arriving = MPI_REQUEST_NULL, leaving = MPI_REQUEST_NULL;
  if (const int code = PMPI_Irecv(in.values, in.n, in.type, from, in_tag, comm, &arriving); code != MPI_SUCCESS) return code;
  if (const int code = PMPI_Issend(out.values, out.n, out.type, to, out_tag, comm, &leaving); code != MPI_SUCCESS) {
    PMPI_Cancel(&arriving);
    PMPI_Wait(&arriving, MPI_STATUS_IGNORE);
    return code;
  }
  const int received = PMPI_Wait(&arriving, status);
  const int sent = PMPI_Wait(&leaving, MPI_STATUS_IGNORE);
  return received != MPI_SUCCESS ? received : sent;
}

}  // namespace

extern "C" {

int MPI_Send(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  return PMPI_Ssend(values, n, type, to, tag, comm);
}

int MPI_Rsend(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  return PMPI_Ssend(values, n, type, to, tag, comm);
}

int MPI_Isend(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  return PMPI_Issend(values, n, type, to, tag, comm, request);
}

int MPI_Irsend(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  return PMPI_Issend(values, n, type, to, tag, comm, request);
}

int MPI_Send_init(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  return PMPI_Ssend_init(values, n, type, to, tag, comm, request);
}

int MPI_Rsend_init(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  return PMPI_Ssend_init(values, n, type, to, tag, comm, request);
}

int MPI_Sendrecv(const void* out, int out_n, MPI_Datatype out_type, int to, int out_tag, void* in, int in_n,
                 MPI_Datatype in_type, int from, int in_tag, MPI_Comm comm, MPI_Status* status) {
  return exchange({out, out_n, out_type}, to, out_tag, {in, in_n, in_type}, from, in_tag, comm, status);
}

// What leaves is packed first, since what arrives takes its place.
int MPI_Sendrecv_replace(void* values, int n, MPI_Datatype type, int to, int out_tag, int from, int in_tag, MPI_Comm comm,
                         MPI_Status* status) {
  int room = 0, packed = 0;
  if (const int code = PMPI_Pack_size(n, type, comm, &room); code != MPI_SUCCESS) return code;
  std::vector<char> copy(static_cast<std::size_t>(room));
  if (const int code = PMPI_Pack(values, n, type, copy.data(), room, &packed, comm); code != MPI_SUCCESS) return code;
  return exchange({copy.data(), packed, MPI_PACKED}, to, out_tag, {values, n, type}, from, in_tag, comm, status);
}

}  // extern "C"
