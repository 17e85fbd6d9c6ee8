// Allreduce over several hosts: memory is shared within a host, messages pass between hosts only.
//
//        host A                        host B
//     ranks 0  1  2  3              ranks 4  5  6  7
//     1. [ window sum ]             [ window sum ]           each host's own sum, without a message
//     2.   0 <------------ doubling ------------> 4          the first ranks add the hosts' sums
//     3. [ 0 -> 1 2 3 ]             [ 4 -> 5 6 7 ]           and the others copy it from the shared memory
//
// One rank a host uses the wire, once a sum, instead of all of them. Cost with q hosts of s ranks, of which only the first term and its
// q log2 q messages pass between hosts:  log2 q (a + n b + n g) + [2a' + 2 n b' + (s-1)/s n g']  + [2a' + 2 n b'], a' and b' of the memory.
//
// Order of addition: within a host, then over the hosts. That is the rank tree if all hosts have the same power of two of ranks that
// follow each other, and there is a power of two of hosts.
//
// Source: Träff, "Improved MPI All-to-all Communication on a Giganet SMP Cluster", EuroPVM/MPI 2002, for the idea of nodes' leaders.
#pragma once

#include "parallel/collectives/shared_window.hpp"

namespace tandem {

class HierarchicalMemory final : public SummedMemory {
 public:
  // `node`: the ranks of `comm` that share memory with this one, in the order of `comm`; comm.split_by_node(), or a smaller group to
  // try the algorithm on one host. Collective over `comm`, which must outlive this.
  HierarchicalMemory(const Communicator& comm, Communicator node, std::size_t count, int buckets = 1);

  std::span<real> mine() override { return window_.mine(); }
  std::unique_ptr<Collective> start(std::size_t offset, std::size_t length, int bucket = 0) override;
  std::string_view algorithm() const override { return "hierarchical"; }
  bool keeps_rank_tree() const override { return keeps_rank_tree_; }

 private:
  friend class HierarchicalSum;

  Communicator node_, leaders_;  // leaders_: the first ranks of all nodes; on other ranks, all the others
  int buckets_;
  SharedWindow window_;          // buckets 0 to buckets_ - 1 for sums, the next ones for step 3
  bool keeps_rank_tree_;
};

}  // namespace tandem
