#include "tests/parallel/pmpi_count.hpp"

#include <dlfcn.h>

namespace {

tandem::Traffic sent{.messages = 0, .bytes = 0};

void count(int elements, MPI_Datatype type) {
  int size = 0;
  PMPI_Type_size(type, &size);
  sent.messages += 1;
  sent.bytes += static_cast<std::size_t>(elements) * static_cast<std::size_t>(size);
}

// The definition of `call` in the libraries, which this program's own one hides.
template <class Function>
Function* next(Function&, const char* call) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, call));
}

}  // namespace

tandem::Traffic tandem::sent_so_far() { return sent; }

extern "C" {

int MPI_Isend(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  static auto* const isend = next(MPI_Isend, "MPI_Isend");
  count(n, type);
  return isend(values, n, type, to, tag, comm, request);
}

int MPI_Send(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  static auto* const send = next(MPI_Send, "MPI_Send");
  count(n, type);
  return send(values, n, type, to, tag, comm);
}

int MPI_Sendrecv(const void* out, int out_n, MPI_Datatype out_type, int to, int out_tag, void* in, int in_n,
                 MPI_Datatype in_type, int from, int in_tag, MPI_Comm comm, MPI_Status* status) {
  static auto* const sendrecv = next(MPI_Sendrecv, "MPI_Sendrecv");
  count(out_n, out_type);
  return sendrecv(out, out_n, out_type, to, out_tag, in, in_n, in_type, from, in_tag, comm, status);
}

int MPI_Issend(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  count(n, type);
  return PMPI_Issend(values, n, type, to, tag, comm, request);
}

int MPI_Ssend(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  count(n, type);
  return PMPI_Ssend(values, n, type, to, tag, comm);
}

}  // extern "C"
