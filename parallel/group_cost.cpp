#include "parallel/group_cost.hpp"

#include <algorithm>
#include <bit>

#include "parallel/collectives/choose.hpp"

namespace tandem {

Traffic& operator+=(Traffic& a, const Traffic& b) {
  a.messages += b.messages;
  a.bytes += b.bytes;
  return a;
}
Traffic operator*(std::size_t times, const Traffic& traffic) { return {.messages = times * traffic.messages, .bytes = times * traffic.bytes}; }

LinkProfile shared_by(int senders, const LinkProfile& links) {
  std::vector<LinkProfile::Point> points = links.points();
  const Seconds latency = points.front().message;
  for (LinkProfile::Point& p : points) p.message = latency + std::max(1, senders) * (p.message - latency);
  return LinkProfile(std::move(points));
}

GroupCost::GroupCost(int ranks, int stride, const MachineProfile& machine, std::size_t value_bytes)
    : ranks_(ranks),
      nodes_((ranks * stride + machine.ranks_per_node - 1) / machine.ranks_per_node),
      of_a_node_(std::clamp(machine.ranks_per_node / stride, 1, ranks)),
      value_bytes_(value_bytes),
      links_(machine.within),
      leaders_links_(machine.between),
      memory_(machine.memory) {
  nodes_ = std::min(nodes_, ranks_);  // a stride may be longer than a node
  if (ranks_ == 1 || nodes_ == 1) {
    nodes_ = 1;
    return;
  }
  const int other_groups = std::min(stride, machine.ranks_per_node);
  links_ = shared_by(other_groups * of_a_node_, machine.between);
  leaders_links_ = shared_by(other_groups, machine.between);
}

bool GroupCost::halves() const { return std::has_single_bit(static_cast<unsigned>(ranks_)); }

// As summed_memory() decides. The bits are kept if every node has the same power of two of the group's ranks.
GroupCost::How GroupCost::how() const {
  if (nodes_ == 1) return How::window;
  const bool alike = std::has_single_bit(static_cast<unsigned>(of_a_node_)) && of_a_node_ * nodes_ == ranks_ && halves();
  return of_a_node_ > 1 && alike ? How::hierarchical : How::messages;
}

const AllreduceAlgorithm& GroupCost::chosen(std::size_t values) {
  const AllreduceAlgorithm*& choice = chosen_[values];
  if (!choice) choice = &choose_allreduce(ranks_, values * value_bytes_, links_, {.rank_tree_only = true});
  return *choice;
}

Seconds GroupCost::walk(std::string_view what, std::size_t values, const std::function<Seconds()>& duration) {
  const auto [place, is_new] = known_.try_emplace({std::string(what), values}, 0);
  if (is_new) place->second = duration();
  return place->second;
}

Seconds GroupCost::sum(std::size_t values) {
  if (ranks_ == 1) return 0;
  const std::size_t bytes = values * value_bytes_;
  switch (how()) {
    case How::window: return shared_window_allreduce_cost(ranks_, bytes, memory_);
    case How::hierarchical: return hierarchical_allreduce_cost(nodes_, of_a_node_, bytes, leaders_links_, memory_);
    default: return walk("sum", values, [&] { return duration(plans_of_all(chosen(values).plan, ranks_, values), value_bytes_, links_); });
  }
}

Seconds GroupCost::allreduce(std::size_t values) {
  if (ranks_ == 1) return 0;
  const AllreduceAlgorithm& algorithm = cheapest_allreduce(ranks_, values * value_bytes_);
  return walk("allreduce", values, [&] {
    const Seconds copy = links_.addition(values * value_bytes_);  // the sum is made in a copy; it reads and writes about as an addition does
    return copy + duration(plans_of_all(algorithm.plan, ranks_, values), value_bytes_, links_);
  });
}

Seconds GroupCost::reduce_scatter(std::size_t values) {
  if (ranks_ == 1) return 0;
  const Algorithm plan = halves() ? Algorithm{halving_reduce_scatter} : Algorithm{ring_reduce_scatter};
  return walk("reduce-scatter", values, [&] { return duration(plans_of_all(plan, ranks_, values), value_bytes_, links_); });
}

Seconds GroupCost::allgather(std::size_t values) {
  if (ranks_ == 1) return 0;
  const Algorithm plan = halves() ? Algorithm{doubling_allgather} : Algorithm{ring_allgather};
  return walk("allgather", values, [&] { return duration(plans_of_all(plan, ranks_, values), value_bytes_, links_); });
}

Seconds GroupCost::ring_gather(std::size_t values) {
  if (ranks_ == 1) return 0;
  return walk("ring", values, [&] { return duration(plans_of_all(ring_allgather, ranks_, values), value_bytes_, links_); });
}

Traffic GroupCost::sum_traffic(std::size_t values) {
  if (ranks_ == 1) return {};
  switch (how()) {
    case How::window: return {};
    case How::hierarchical: return doubling_allreduce_traffic(nodes_, values * value_bytes_);
    default: return chosen(values).traffic(ranks_, values * value_bytes_);
  }
}

Traffic GroupCost::allreduce_traffic(std::size_t values) const { return tandem::allreduce_traffic(ranks_, values * value_bytes_); }

Traffic GroupCost::whole_traffic(std::size_t values) const {
  return halves() ? halving_allreduce_traffic(ranks_, values * value_bytes_) : ring_allreduce_traffic(ranks_, values * value_bytes_);
}

Traffic GroupCost::ring_gather_traffic(std::size_t values) const { return ring_allgather_traffic(ranks_, values * value_bytes_); }

Traffic GroupCost::half_traffic(std::size_t values) const {
  const std::size_t bytes = values * value_bytes_;
  return halves() ? doubling_allgather_traffic(ranks_, bytes) : ring_allgather_traffic(ranks_, bytes);
}

}  // namespace tandem
