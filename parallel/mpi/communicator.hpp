// A group of ranks that can talk to each other, and its messages.
//
// A thin owner around MPI_Comm. It can be moved but not copied: making a new communicator is an act of all its ranks
// together (collective), so it must be visible in the code as duplicate() or split(), never happen by accident.
//
//   Communicator::world()           borrows MPI_COMM_WORLD
//   comm.duplicate()                the same ranks, separate messages
//   comm.split(colour, key)         the ranks that name the same colour, ordered by key
//   comm.split_by_node()            the ranks on the same host, which can share memory
//
// A message is a contiguous range of trivially copyable values (a vector, an array, a span). It travels as bytes, because
// mpi::run has made sure that all ranks lay out data alike. It needs the same length on both sides, at most 2^31 - 1 bytes.
// Cost of a message of n bytes: alpha + n beta (latency plus time per byte).
//
// Errors: whatever MPI reports, plus a message that is too long or too short, or a tag beyond MPI_TAG_UB.
#pragma once

#include <mpi.h>

#include <concepts>
#include <cstddef>
#include <ranges>
#include <span>
#include <type_traits>

#include "parallel/cost.hpp"
#include "parallel/mpi/request.hpp"

namespace tandem {

// A contiguous range whose values may be copied as bytes. `borrowed_range`: isend must not be given a temporary vector.
template <class R>
concept MessageRange = std::ranges::contiguous_range<R> && std::ranges::sized_range<R> && std::ranges::borrowed_range<R> &&
    std::is_trivially_copyable_v<std::ranges::range_value_t<R>>;

// What this process has handed to MPI as messages since it began, over all communicators. Memory that ranks share carries none.
Traffic sent_by_this_rank();

class [[nodiscard]] Communicator {
 public:
  static Communicator world();

  Communicator(Communicator&& other) noexcept;
  Communicator& operator=(Communicator&& other) noexcept;
  ~Communicator();

  Communicator duplicate() const;
  Communicator split(int colour, int key) const;  // colour >= 0
  Communicator split_by_node() const;

  int rank() const { return rank_; }
  int size() const { return size_; }
  MPI_Comm handle() const { return handle_; }

  void barrier() const;

  // Blocks until `values` may be reused, which can mean: until the receiver is there. Do not rely on buffering; two ranks
  // that both send before they receive hang as soon as a message passes the eager limit. Use exchange().
  template <MessageRange R>
  void send(R&& values, int to, int tag = 0) const {
    isend(values, to, tag).wait();
  }

  template <MessageRange R>
  void receive(R&& values, int from, int tag = 0) const {
    irecv(values, from, tag).wait();
  }

  // Sends `out` while receiving `in`; the two must not overlap. Safe however MPI buffers: the receive is posted first.
  template <MessageRange Out, MessageRange In>
  void exchange(Out&& out, int to, In&& in, int from, int tag = 0) const {
    Request arriving = irecv(in, from, tag);
    Request leaving = isend(out, to, tag);
    arriving.wait();
    leaving.wait();
  }

  // The buffer belongs to MPI until the Request completes.
  template <MessageRange R>
  Request isend(R&& values, int to, int tag = 0) const {
    return isend_bytes(std::as_bytes(std::span(values)), to, tag);
  }

  template <MessageRange R>
  Request irecv(R&& values, int from, int tag = 0) const {
    return irecv_bytes(std::as_writable_bytes(std::span(values)), from, tag);
  }

 private:
  Communicator(MPI_Comm handle, bool owned);
  Request isend_bytes(std::span<const std::byte> bytes, int to, int tag) const;
  Request irecv_bytes(std::span<std::byte> bytes, int from, int tag) const;
  void check_message(const char* call, std::size_t bytes, int tag) const;
  void drop() noexcept;

  MPI_Comm handle_ = MPI_COMM_NULL;
  bool owned_ = false;
  int rank_ = 0, size_ = 0, largest_tag_ = 0;
  int exceptions_at_birth_ = 0;
};

}  // namespace tandem
