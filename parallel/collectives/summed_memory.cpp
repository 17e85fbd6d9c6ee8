#include "parallel/collectives/summed_memory.hpp"

#include "core/tensor.hpp"
#include "parallel/collectives/choose.hpp"
#include "parallel/collectives/hierarchical.hpp"
#include "parallel/collectives/links.hpp"

namespace tandem {
namespace {

// Memory of this rank alone; sums travel as messages.
class MessagedMemory final : public SummedMemory {
 public:
  MessagedMemory(const AllreduceAlgorithm& how, std::size_t count, const Communicator& comm)
      : how_(how), comm_(comm), values_(Tensor::zeros({static_cast<Index>(count)})) {}

  std::span<real> mine() override { return values_.values(); }
  std::unique_ptr<Collective> start(std::size_t offset, std::size_t length, int bucket) override {
    return tandem::start(how_.plan(comm_.rank(), comm_.size(), length), mine().subspan(offset, length), comm_, bucket);
  }
  std::string_view algorithm() const override { return comm_.size() == 1 ? "none" : how_.name; }
  bool keeps_rank_tree() const override { return how_.keeps_rank_tree(comm_.size()); }

 private:
  const AllreduceAlgorithm& how_;
  const Communicator& comm_;
  Tensor values_;
};

}  // namespace

std::string summed_memory_names() {
  std::string names = "auto, window, hierarchical";
  for (const AllreduceAlgorithm& algorithm : allreduce_algorithms()) names += fmt::format(", {}", algorithm.name);
  return names;
}

void check_summed_memory_name(std::string_view algorithm) {
  for (const std::string_view name : {"auto", "window", "hierarchical"})
    if (name == algorithm) return;
  for (const AllreduceAlgorithm& known : allreduce_algorithms())
    if (known.name == algorithm) return;
  throw UsageError(fmt::format("there is no allreduce '{}'; there are {}", algorithm, summed_memory_names()));
}

std::unique_ptr<SummedMemory> summed_memory(std::string_view algorithm, std::size_t count, int buckets, const Communicator& comm) {
  require(buckets >= 1, "summed memory: {} buckets", buckets);
  check_summed_memory_name(algorithm);
  const bool automatic = algorithm == "auto", by_window = algorithm == "window", by_node = algorithm == "hierarchical";
  if (!automatic && !by_window && !by_node) return std::make_unique<MessagedMemory>(allreduce_algorithm(algorithm), count, comm);
  if (comm.size() == 1) return std::make_unique<MessagedMemory>(allreduce_algorithm("doubling"), count, comm);

  Communicator node = comm.split_by_node();
  if (by_window || (automatic && node.size() == comm.size())) return std::make_unique<SharedWindow>(comm, count, buckets);
  if (by_node || max_over_ranks(node.size(), comm) > 1) {
    auto memory = std::make_unique<HierarchicalMemory>(comm, std::move(node), count, buckets);
    if (by_node || memory->keeps_rank_tree()) return memory;
  }
  const std::size_t bucket_bytes = count * sizeof(real) / static_cast<std::size_t>(buckets);
  return std::make_unique<MessagedMemory>(choose_allreduce(comm.size(), bucket_bytes, measure_links(comm), {.rank_tree_only = true}),
                                          count, comm);
}

}  // namespace tandem
