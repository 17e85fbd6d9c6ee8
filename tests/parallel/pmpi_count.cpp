#include "tests/parallel/pmpi_count.hpp"

#include <cstdlib>
#include <cstring>

namespace {

tandem::Traffic sent{.messages = 0, .bytes = 0};

bool strict() {
  static const char* const value = std::getenv("TANDEM_STRICT");
  return value != nullptr && std::strcmp(value, "1") == 0;
}

void count(int elements, MPI_Datatype type) {
  int size = 0;
  PMPI_Type_size(type, &size);
  sent.messages += 1;
  sent.bytes += static_cast<std::size_t>(elements) * static_cast<std::size_t>(size);
}

}  // namespace

tandem::Traffic tandem::sent_so_far() { return sent; }

extern "C" {

int MPI_Isend(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  count(n, type);
  return strict() ? PMPI_Issend(values, n, type, to, tag, comm, request)
                  : PMPI_Isend(values, n, type, to, tag, comm, request);
}

int MPI_Send(const void* values, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  count(n, type);
  return strict() ? PMPI_Ssend(values, n, type, to, tag, comm) : PMPI_Send(values, n, type, to, tag, comm);
}

// Send and receive at once is safe by definition, so it has no strict form.
int MPI_Sendrecv(const void* out, int out_n, MPI_Datatype out_type, int to, int out_tag, void* in, int in_n,
                 MPI_Datatype in_type, int from, int in_tag, MPI_Comm comm, MPI_Status* status) {
  count(out_n, out_type);
  return PMPI_Sendrecv(out, out_n, out_type, to, out_tag, in, in_n, in_type, from, in_tag, comm, status);
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
