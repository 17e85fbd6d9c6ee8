// What collectives cost a group of ranks that lies on nodes in a certain way.
//
//   4 nodes of 4 ranks, the group of every second rank: stride 2, 8 ranks
//
//     node 0          node 1          node 2          node 3
//     [0] 1 [2] 3     [4] 5 [6] 7     [8] 9 [10] 11   [12] 13 [14] 15        2 of a node; 4 ranks of a node send at once, 0 and 2 and, for
//                                                                            the other group, 1 and 3: each has a quarter of the node's link
#pragma once

#include <functional>
#include <map>

#include "parallel/cost_profile.hpp"

namespace tandem {

struct AllreduceAlgorithm;

// The same links where `senders` ranks use one at the same time: a byte takes so many times as long, latency stays.
LinkProfile shared_by(int senders, const LinkProfile& links);

class GroupCost {
 public:
  // Ranks 0, stride, 2 stride, ... of the world; the other groups of its kind are busy with the same at the same time.
  GroupCost(int ranks, int stride, const MachineProfile& machine, std::size_t value_bytes);

  int ranks() const { return ranks_; }
  int nodes() const { return nodes_; }
  bool on_one_node() const { return nodes_ == 1; }

  // Of `values` values. sum: of gradients, as summed_memory("auto") does it; allreduce: of activations, a copy and the function of that name;
  // reduce_scatter and allgather: as ShardedMemory does them, by halving if it can; ring_gather: as gather_slices() does it.
  Seconds sum(std::size_t values);
  Seconds allreduce(std::size_t values);
  Seconds reduce_scatter(std::size_t values);
  Seconds allgather(std::size_t values);
  Seconds ring_gather(std::size_t values);
  Seconds message(std::size_t values) const { return links_.message(values * value_bytes_); }

  Traffic sum_traffic(std::size_t values);
  Traffic allreduce_traffic(std::size_t values) const;
  Traffic whole_traffic(std::size_t values) const;  // of what sharded exchange sums whole
  Traffic ring_gather_traffic(std::size_t values) const;
  Traffic half_traffic(std::size_t values) const;   // of a reduce-scatter or an allgather

 private:
  enum class How { window, hierarchical, messages };
  Seconds walk(std::string_view what, std::size_t values, const std::function<Seconds()>& duration);  // asked twice, walked once
  bool halves() const;
  How how() const;
  const AllreduceAlgorithm& chosen(std::size_t values);

  int ranks_, nodes_, of_a_node_;
  std::size_t value_bytes_;
  LinkProfile links_, leaders_links_, memory_;  // between ranks of the group; between the first of each node
  std::map<std::pair<std::string, std::size_t>, Seconds> known_;
  std::map<std::size_t, const AllreduceAlgorithm*> chosen_;
};

Traffic& operator+=(Traffic& a, const Traffic& b);
Traffic operator*(std::size_t times, const Traffic& traffic);

}  // namespace tandem
