#include "parallel/mpi/communicator.hpp"

#include <climits>
#include <exception>
#include <utility>

#include "core/error.hpp"
#include "parallel/mpi/error.hpp"

namespace tandem {
namespace {

Traffic sent;  // only the main thread calls MPI

}  // namespace

Communicator::Communicator(MPI_Comm handle, bool owned)
    : handle_(handle), owned_(owned), exceptions_at_birth_(std::uncaught_exceptions()) {
  mpi_check(MPI_Comm_rank(handle, &rank_), "MPI_Comm_rank");
  mpi_check(MPI_Comm_size(handle, &size_), "MPI_Comm_size");
  void* limit = nullptr;
  int found = 0;
  mpi_check(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, static_cast<void*>(&limit), &found), "MPI_Comm_get_attr");
  largest_tag_ = found ? *static_cast<int*>(limit) : 32767;  // what the standard guarantees (MPI 4.0, section 9.1.2)
}

Communicator Communicator::world() { return Communicator(MPI_COMM_WORLD, false); }

Communicator::Communicator(Communicator&& other) noexcept
    : handle_(std::exchange(other.handle_, MPI_COMM_NULL)),
      owned_(other.owned_),
      rank_(other.rank_),
      size_(other.size_),
      largest_tag_(other.largest_tag_),
      exceptions_at_birth_(other.exceptions_at_birth_) {}

Communicator& Communicator::operator=(Communicator&& other) noexcept {
  if (this != &other) {
    drop();
    handle_ = std::exchange(other.handle_, MPI_COMM_NULL);
    owned_ = other.owned_;
    rank_ = other.rank_;
    size_ = other.size_;
    largest_tag_ = other.largest_tag_;
    exceptions_at_birth_ = other.exceptions_at_birth_;
  }
  return *this;
}

Communicator::~Communicator() { drop(); }

// Freeing is collective. A rank that an exception unwinds is alone and would wait for the others, so it leaves the
// communicator to the end of the job, which is near.
void Communicator::drop() noexcept {
  if (!owned_ || handle_ == MPI_COMM_NULL || std::uncaught_exceptions() > exceptions_at_birth_) return;
  MPI_Comm_free(&handle_);
}

Communicator Communicator::duplicate() const {
  MPI_Comm copy = MPI_COMM_NULL;
  mpi_check(MPI_Comm_dup(handle_, &copy), "MPI_Comm_dup");
  return Communicator(copy, true);
}

Communicator Communicator::split(int colour, int key) const {
  require(colour >= 0, "split: colour {} is negative", colour);
  MPI_Comm part = MPI_COMM_NULL;
  mpi_check(MPI_Comm_split(handle_, colour, key, &part), "MPI_Comm_split");
  return Communicator(part, true);
}

Communicator Communicator::split_by_node() const {
  MPI_Comm node = MPI_COMM_NULL;
  mpi_check(MPI_Comm_split_type(handle_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node), "MPI_Comm_split_type");
  return Communicator(node, true);
}

void Communicator::barrier() const { mpi_check(MPI_Barrier(handle_), "MPI_Barrier"); }

Traffic sent_by_this_rank() { return sent; }

Request Communicator::isend_bytes(std::span<const std::byte> bytes, int to, int tag) const {
  check_message("send", bytes.size(), tag);
  MPI_Request request = MPI_REQUEST_NULL;
  mpi_check(MPI_Isend(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, to, tag, handle_, &request), "MPI_Isend");
  sent.messages += 1;
  sent.bytes += bytes.size();
  return Request(request, Request::not_a_receive);
}

Request Communicator::irecv_bytes(std::span<std::byte> bytes, int from, int tag) const {
  check_message("receive", bytes.size(), tag);
  MPI_Request request = MPI_REQUEST_NULL;
  mpi_check(MPI_Irecv(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, from, tag, handle_, &request), "MPI_Irecv");
  return Request(request, bytes.size());
}

// MPI counts in int; a longer message would wrap around to a wrong length.
void Communicator::check_message(const char* call, std::size_t bytes, int tag) const {
  require(bytes <= INT_MAX, "{}: {} bytes in one message; MPI takes at most {}", call, bytes, INT_MAX);
  require(tag >= 0 && tag <= largest_tag_, "{}: tag {} is outside 0..{} (MPI_TAG_UB)", call, tag, largest_tag_);
}

}  // namespace tandem
