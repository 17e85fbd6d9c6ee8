// Allreduce without messages: ranks on one host add each other's values where they lie.
//
//   SharedWindow window(node, count, buckets);        // each rank gets `count` reals that all can see
//   ... gradients are written straight into window.mine() ...
//   auto sum = window.start(offset, length, bucket);  // "my part of this bucket is ready"
//   ... more computation, sum->progress() now and then ...
//   sum->wait();                                      // mine() holds the sum, on every rank
//
// It adds in the rank tree, so the bits are those of recursive_doubling_allreduce.
#pragma once

#include <mpi.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "parallel/collectives/collectives.hpp"

namespace tandem {

class SharedWindow {
 public:
  // Collective. `comm` must outlive the window. `buckets`: how many sums may be under way at once.
  // Errors: ranks on several hosts; not enough shared memory; counts that differ between ranks.
  SharedWindow(const Communicator& comm, std::size_t count, int buckets = 1);
  ~SharedWindow();
  SharedWindow(const SharedWindow&) = delete;
  SharedWindow& operator=(const SharedWindow&) = delete;

  const Communicator& comm() const { return comm_; }
  std::size_t count() const { return count_; }
  std::span<real> mine() { return parts_[static_cast<std::size_t>(comm_.rank())]; }  // begins on 64 bytes
  std::span<const real> of(int rank) const { return parts_[static_cast<std::size_t>(rank)]; }

  // Sums [offset, offset + length) over the ranks, in place on all of them. Every rank starts the same buckets with the same
  // ranges in the same order; ranges under way at once must not overlap, nor may one bucket be started again before it is
  // done.
  std::unique_ptr<Allreduce> start(std::size_t offset, std::size_t length, int bucket = 0);
  void allreduce(std::size_t offset, std::size_t length, int bucket = 0) { start(offset, length, bucket)->wait(); }

 private:
  friend class SharedWindowAllreduce;

  // One cache line per rank and bucket, written by that rank alone. Both count upwards from step to step and are never
  // reset, so no rank can mistake the last step's flag for this step's.
  struct alignas(64) Flags {
    std::atomic<std::uint64_t> ready{0};    // my values of round t may be read, and overwritten by the sum
    std::atomic<std::uint64_t> reduced{0};  // I have written the sum of my slice of round t to every rank
  };

  const Communicator& comm_;
  std::size_t count_ = 0;
  MPI_Win window_ = MPI_WIN_NULL;
  std::vector<std::span<real>> parts_;   // by rank
  std::vector<std::span<Flags>> flags_;  // by rank, then bucket
  std::vector<std::uint64_t> rounds_;    // by bucket: how often I have started it
  int exceptions_at_birth_ = 0;
};

// Each rank reads n bytes and writes n bytes of memory; alpha is the time until another core sees a flag.
Seconds shared_window_allreduce_cost(int ranks, std::size_t bytes, Link link);

}  // namespace tandem
