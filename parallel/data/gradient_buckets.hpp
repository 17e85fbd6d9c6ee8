// Where gradients are summed over the data-parallel ranks.
//
// All gradients of a step lie in one contiguous memory, cut into buckets of about `bucket_bytes`. Backward runs from the last
// layer to the first, so parameters are laid out in *reverse* order: bucket 0 holds what is ready first and starts its allreduce
// while the earlier layers are still computing.
//
//     backward   | layer 9 | layer 8 | layer 7 | layer 6 | layer 5 |  ...
//     bucket 0             |<--- allreduce --->|
//     bucket 1                                 |<--- allreduce --->|  ...
//
// Buckets start in order on every rank, whatever the order in which gradients become ready; else two ranks could wait for each
// other's other bucket. Ranks on one host share the memory, so that "sending" is adding where the neighbour's values lie.
//
// Source: Li et al., "PyTorch Distributed", VLDB 2020, section 3.2.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.hpp"
#include "parallel/collectives/summed_memory.hpp"

namespace tandem {

class GradientBuckets {
 public:
  struct Options {
    std::size_t bucket_bytes = std::size_t{1} << 20;  // 1 MiB: long against the latency, short against a step
    std::string algorithm = "auto";                   // as summed_memory() takes it
  };

  // `shapes` in the order of the parameters. `comm` must outlive the buckets. Collective.
  GradientBuckets(const std::vector<Shape>& shapes, const Communicator& comm, Options options);

  // The place of parameter i's gradient: before finish() this rank's sum, afterwards the sum over all ranks.
  Tensor slot(std::size_t i) const { return slots_[i]; }
  Tensor all() const { return all_; }                // every slot at once, with the gaps between
  std::size_t bucket_count() const { return buckets_.size(); }

  // Slot i is filled. Starts its bucket once that is full and all earlier ones have been started.
  void ready(std::size_t i);
  void progress();                                   // moves what is under way; call it between layers
  void finish();                                     // waits until every bucket is summed; every slot must be ready

  std::string_view algorithm() const { return memory_->algorithm(); }
  bool keeps_rank_tree() const { return memory_->keeps_rank_tree(); }

 private:
  struct Bucket {
    std::size_t begin = 0, end = 0;                  // in values of all_
    std::size_t parameters = 0, missing = 0;         // how many it holds; how many are not ready in this step
    std::unique_ptr<Collective> sum = {};
  };
  void start(Bucket& bucket, int index);

  const Communicator& comm_;
  std::unique_ptr<SummedMemory> memory_;
  Tensor all_;
  std::vector<Tensor> slots_;                        // by parameter
  std::vector<std::size_t> bucket_of_;               // by parameter
  std::vector<Bucket> buckets_;
  std::size_t started_ = 0;
};

}  // namespace tandem
