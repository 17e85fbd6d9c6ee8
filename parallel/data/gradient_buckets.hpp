// Stage 0: every replica keeps everything, and sums gradients over the replicas by allreduce. All gradients lie in one contiguous memory;
// ranks on one host share it, so that "sending" is adding where the neighbour's values lie. A rank that is alone needs no such memory: it
// uses its sums where they were made.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/collectives/summed_memory.hpp"
#include "parallel/data/exchange.hpp"

namespace tandem {

class GradientBuckets final : public GradientExchange {
 public:
  struct Options {
    std::size_t bucket_bytes = usual_bucket_bytes;
    std::string algorithm = "auto";                   // as summed_memory() takes it
  };

  // `totals`: size of the last slot. `comm` must outlive the buckets. Collective.
  GradientBuckets(const std::vector<Parameter>& parameters, Index totals, const Communicator& comm, Options options);

  Tensor slot(std::size_t i) override { return slots_[i]; }  // after finish(): the sum over all ranks, of every slot
  std::string_view algorithm() const override { return memory_->algorithm(); }
  bool keeps_rank_tree() const override { return memory_->keeps_rank_tree(); }
  std::size_t gradient_bytes() const override { return alone() ? 0 : all_.values().size_bytes(); }

 private:
  bool keep(std::size_t slot, const Tensor& sum) override;
  std::unique_ptr<Collective> start(std::size_t bucket) override;
  void send_values() override;
  bool alone() const { return comm_.size() == 1; }

  const Communicator& comm_;
  std::vector<std::size_t> begin_;  // by bucket, and the end: in values of all_
  std::unique_ptr<SummedMemory> memory_;
  Tensor all_;
  std::vector<Tensor> slots_;
};

}  // namespace tandem
