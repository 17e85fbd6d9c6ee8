#include "parallel/collectives/hierarchical.hpp"

#include <bit>

#include "core/error.hpp"

namespace tandem {
namespace {

// Whether the nodes' sums, then their sum, are the rank tree. Every rank computes the same from everybody's node and place.
bool nodes_are_subtrees(const Communicator& comm, const Communicator& node) {
  const int first = comm.rank() - node.rank();  // if the node's ranks follow each other: the same on all of them
  const int lowest = static_cast<int>(-max_over_ranks(-first, node)), highest = static_cast<int>(max_over_ranks(first, node));
  const bool mine = lowest == highest && lowest % node.size() == 0 && std::has_single_bit(static_cast<unsigned>(node.size()));
  const auto size = static_cast<double>(node.size());
  const bool alike = max_over_ranks(size, comm) == -max_over_ranks(-size, comm);
  return alike && max_over_ranks(mine ? 0 : 1, comm) == 0 && std::has_single_bit(static_cast<unsigned>(comm.size()));
}

}  // namespace

HierarchicalMemory::HierarchicalMemory(const Communicator& comm, Communicator node, std::size_t count, int buckets)
    : node_(std::move(node)),
      leaders_(comm.split(node_.rank() == 0 ? 0 : 1, comm.rank())),
      buckets_(buckets),
      window_(node_, count, 2 * buckets),
      keeps_rank_tree_(nodes_are_subtrees(comm, node_)) {}

class HierarchicalSum final : public Collective {
 public:
  HierarchicalSum(HierarchicalMemory& memory, std::size_t offset, std::size_t length, int bucket)
      : memory_(memory), offset_(offset), length_(length), bucket_(bucket), step_(memory.window_.start(offset, length, bucket)) {}

  bool progress() override {
    while (stage_ < done && step_->progress()) {
      if (stage_ == within_node && memory_.node_.rank() == 0) {
        stage_ = between_nodes;
        const Communicator& leaders = memory_.leaders_;
        step_ = tandem::start(doubling_allreduce(leaders.rank(), leaders.size(), length_), memory_.mine().subspan(offset_, length_),
                              leaders, bucket_);
      } else if (stage_ < back_to_all) {
        stage_ = back_to_all;
        step_ = memory_.window_.start_broadcast(offset_, length_, memory_.buckets_ + bucket_);
      } else {
        stage_ = done;
      }
    }
    return stage_ == done;
  }

 private:
  enum Stage { within_node, between_nodes, back_to_all, done };

  HierarchicalMemory& memory_;
  std::size_t offset_, length_;
  int bucket_;
  Stage stage_ = within_node;
  std::unique_ptr<Collective> step_;  // the stage's
};

std::unique_ptr<Collective> HierarchicalMemory::start(std::size_t offset, std::size_t length, int bucket) {
  require(bucket >= 0 && bucket < buckets_, "hierarchical sum: no bucket {} among {}", bucket, buckets_);
  return std::make_unique<HierarchicalSum>(*this, offset, length, bucket);
}

}  // namespace tandem
