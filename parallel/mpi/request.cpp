#include "parallel/mpi/request.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <utility>

#include "core/error.hpp"
#include "parallel/mpi/error.hpp"
#include "parallel/trace.hpp"

namespace tandem {

Request::Request(MPI_Request handle, std::size_t expected_bytes) noexcept
    : handle_(handle), expected_bytes_(expected_bytes), exceptions_at_birth_(std::uncaught_exceptions()) {}

Request::Request(Request&& other) noexcept
    : handle_(std::exchange(other.handle_, MPI_REQUEST_NULL)),
      expected_bytes_(other.expected_bytes_),
      exceptions_at_birth_(other.exceptions_at_birth_) {}

Request& Request::operator=(Request&& other) noexcept {
  if (this != &other) {
    drop();
    handle_ = std::exchange(other.handle_, MPI_REQUEST_NULL);
    expected_bytes_ = other.expected_bytes_;
    exceptions_at_birth_ = other.exceptions_at_birth_;
  }
  return *this;
}

Request::~Request() { drop(); }

void Request::wait() {
  if (test()) return;
  const auto span = Trace::waiting();
  MPI_Status status;
  mpi_check(MPI_Wait(&handle_, &status), "MPI_Wait");
  check_length(status);
}

bool Request::test() {
  if (handle_ == MPI_REQUEST_NULL) return true;
  int complete = 0;
  MPI_Status status;
  mpi_check(MPI_Test(&handle_, &complete, &status), "MPI_Test");
  if (complete) check_length(status);
  return complete != 0;
}

// MPI itself reports a message that is too long; one that is too short it takes silently.
void Request::check_length(const MPI_Status& status) const {
  if (expected_bytes_ == not_a_receive) return;
  int bytes = 0;
  mpi_check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
  require(static_cast<std::size_t>(bytes) == expected_bytes_, "receive: rank {} sent {} bytes with tag {}; expected {}",
          status.MPI_SOURCE, bytes, status.MPI_TAG, expected_bytes_);
}

// A destructor cannot throw, so an error here ends the job as well.
void Request::drop() noexcept {
  if (handle_ == MPI_REQUEST_NULL) return;
  const bool unwinding = std::uncaught_exceptions() > exceptions_at_birth_;
  if (!unwinding && MPI_Wait(&handle_, MPI_STATUS_IGNORE) == MPI_SUCCESS) return;
  int rank = 0, size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  fmt::print(stderr, "rank {} of {}: {}\n", rank, size,
             unwinding ? "an error was thrown while a message was under way; its buffer dies, so the job ends here"
                       : "a message that was never waited for failed");
  MPI_Abort(MPI_COMM_WORLD, 1);
}

}  // namespace tandem
