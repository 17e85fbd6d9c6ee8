// Memory whose ranges can be summed over the ranks: where the gradients of data parallelism live.
//
//   const auto memory = summed_memory("auto", count, buckets, comm);
//   ... gradients are written straight into memory->mine() ...
//   auto sum = memory->start(offset, length, bucket);  // "my part of this bucket is ready"
//   ... more computation, sum->progress() now and then ...
//   sum->wait();                                       // mine() holds the sum, on every rank
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "parallel/collectives/collectives.hpp"

namespace tandem {

class SummedMemory {
 public:
  SummedMemory() = default;
  SummedMemory(const SummedMemory&) = delete;
  SummedMemory& operator=(const SummedMemory&) = delete;
  virtual ~SummedMemory() = default;

  virtual std::span<real> mine() = 0;  // begins on 64 bytes

  // Sums [offset, offset + length) over the ranks, in place on all of them. Every rank starts the same buckets with the same
  // ranges in the same order; ranges under way at once must not overlap, nor may one bucket be started again before it is done.
  virtual std::unique_ptr<Collective> start(std::size_t offset, std::size_t length, int bucket = 0) = 0;
  void allreduce(std::size_t offset, std::size_t length, int bucket = 0) { start(offset, length, bucket)->wait(); }

  virtual std::string_view algorithm() const = 0;
  virtual bool keeps_rank_tree() const = 0;  // whether sums have the bits of the rank tree (collectives.hpp)
};

// `algorithm`: "window" (ranks on one host), "hierarchical" (a window on each host), the name of one over messages, or "auto": window on
// one host, hierarchical where hosts have several ranks each and that keeps the rank tree, else what `choose_allreduce` takes for a bucket
// of `count / buckets` values, among those that keep it. "none" if comm has one rank. Zeros at first. Collective; `comm` must outlive it.
// UsageError for another name.
std::unique_ptr<SummedMemory> summed_memory(std::string_view algorithm, std::size_t count, int buckets, const Communicator& comm);
std::string summed_memory_names();                            // for help texts
void check_summed_memory_name(std::string_view algorithm);   // the UsageError, without making anything

}  // namespace tandem
