// Allreduce without messages: ranks on one host add each other's values where they lie. How to use it: summed_memory.hpp.
//
// It adds in the rank tree, so the bits are those of doubling_allreduce.
#pragma once

#include <mpi.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "parallel/collectives/summed_memory.hpp"

namespace tandem {

class SharedWindow final : public SummedMemory {
 public:
  // Collective. `comm` must outlive the window. `buckets`: how many sums may be under way at once.
  // Errors: ranks on several hosts; not enough shared memory; counts that differ between ranks.
  SharedWindow(const Communicator& comm, std::size_t count, int buckets = 1);
  ~SharedWindow() override;

  const Communicator& comm() const { return comm_; }
  std::size_t count() const { return count_; }
  std::span<real> mine() override { return parts_[static_cast<std::size_t>(comm_.rank())]; }
  std::span<const real> of(int rank) const { return parts_[static_cast<std::size_t>(rank)]; }

  std::unique_ptr<Collective> start(std::size_t offset, std::size_t length, int bucket = 0) override;
  std::string_view algorithm() const override { return "window"; }
  bool keeps_rank_tree() const override { return true; }

  // Copies the range from rank 0's part to all others. Rules as for start().
  std::unique_ptr<Collective> start_broadcast(std::size_t offset, std::size_t length, int bucket = 0);

 private:
  friend class WindowRound;

  // One cache line per rank and bucket, written by that rank alone. Both count upwards from step to step and are never
  // reset, so no rank can mistake the last step's flag for this step's.
  struct alignas(64) Flags {
    std::atomic<std::uint64_t> ready{0};  // my values of round t may be read, and overwritten by the result
    std::atomic<std::uint64_t> done{0};   // I have done my part of round t: my slice is summed, or copied
  };

  std::unique_ptr<Collective> start_round(bool sums, std::size_t offset, std::size_t length, int bucket);

  const Communicator& comm_;
  std::size_t count_ = 0;
  MPI_Win window_ = MPI_WIN_NULL;
  std::vector<std::span<real>> parts_;   // by rank
  std::vector<std::span<Flags>> flags_;  // by rank, then bucket
  std::vector<std::uint64_t> rounds_;    // by bucket: how often I have started it
  int exceptions_at_birth_ = 0;
};

}  // namespace tandem
