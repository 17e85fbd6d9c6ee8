// A message under way.
//
// isend and irecv return at once; until the Request has completed, MPI still reads or writes the caller's buffer. So the
// buffer must outlive the Request, and a Request must not be forgotten:
//
//   Request arriving = comm.irecv(inbox, left);      // declared after `inbox`, hence destroyed, and waited for, before it
//   comm.send(outbox, right);
//   arriving.wait();
//
// What if an exception is thrown between isend and wait? The buffer is about to die while MPI may write into it. Waiting
// could last forever, since the peer's half may never come; cancelling a send is not possible in practice; going on would
// corrupt memory silently. The destructor therefore ends the whole job, with a message, if it runs while an exception
// unwinds the stack.
#pragma once

#include <mpi.h>

#include <cstddef>

namespace tandem {

class [[nodiscard]] Request {
 public:
  Request() = default;  // nothing under way: wait() returns and test() is true
  Request(Request&& other) noexcept;
  Request& operator=(Request&& other) noexcept;  // the one overwritten is waited for first
  ~Request();

  // Blocks until the message has left the buffer (send) or filled it (receive).
  // Error if a received message is shorter or longer than its buffer.
  void wait();

  // The same without blocking: true once complete. Open MPI has no progress thread: messages move only inside such calls.
  bool test();

 private:
  friend class Communicator;
  static constexpr std::size_t not_a_receive = static_cast<std::size_t>(-1);
  Request(MPI_Request handle, std::size_t expected_bytes) noexcept;
  void check_length(const MPI_Status& status) const;
  void drop() noexcept;

  MPI_Request handle_ = MPI_REQUEST_NULL;
  std::size_t expected_bytes_ = not_a_receive;
  int exceptions_at_birth_ = 0;  // more of them in the destructor means: we are being unwound
};

}  // namespace tandem
