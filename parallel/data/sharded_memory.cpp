#include "parallel/data/sharded_memory.hpp"

#include <bit>

namespace tandem {

bool ShardedMemory::keeps_rank_tree(const Communicator& comm) { return std::has_single_bit(static_cast<unsigned>(comm.size())); }

ShardedMemory::ShardedMemory(std::vector<Cuts> buckets, const Communicator& comm, Keep keep)
    : cuts_(std::move(buckets)), comm_(comm), keep_(keep), whole_(cuts_.size()) {
  Index count = 0;
  for (std::size_t b = 0; b < cuts_.size(); ++b) count += static_cast<Index>(keep == Keep::whole ? cuts_[b].back() : piece(b).size());
  kept_ = Tensor::zeros({count});
  Index next = 0;
  const auto cut_off = [&](std::size_t size) {
    next += static_cast<Index>(size);
    return kept_.rows(next - static_cast<Index>(size), next);
  };
  for (std::size_t b = 0; b < cuts_.size(); ++b) {
    const Piece p = piece(b);
    if (keep == Keep::whole) whole_[b] = cut_off(cuts_[b].back());
    mine_.push_back(keep == Keep::whole ? whole_[b].rows(static_cast<Index>(p.begin), static_cast<Index>(p.end)) : cut_off(p.size()));
  }
}

Piece ShardedMemory::piece(std::size_t b) const {
  return chunk(cuts_[b], keeps_rank_tree(comm_) ? halving_owner(comm_.rank(), comm_.size()) : comm_.rank());
}

Tensor ShardedMemory::whole(std::size_t b) {
  if (!has_whole(b)) whole_[b] = Tensor({static_cast<Index>(cuts_[b].back())});
  return whole_[b];
}

void ShardedMemory::keep_mine(std::size_t b) {
  if (keep_ == Keep::whole) return;
  const Piece p = piece(b);
  mine_[b].copy_from(whole_[b].rows(static_cast<Index>(p.begin), static_cast<Index>(p.end)));
  drop(b);
}

void ShardedMemory::drop(std::size_t b) {
  if (keep_ == Keep::piece) whole_[b] = {};
}

std::unique_ptr<Collective> ShardedMemory::start_sum(std::size_t b, int tag) {
  Plan plan = keeps_rank_tree(comm_) ? halving_reduce_scatter(comm_.rank(), cuts_[b]) : ring_reduce_scatter(comm_.rank(), cuts_[b]);
  return start(std::move(plan), whole_[b].values(), comm_, tag);
}

std::unique_ptr<Collective> ShardedMemory::start_gather(std::size_t b, int tag) {
  Tensor all = whole(b);
  const Piece p = piece(b);
  if (keep_ == Keep::piece) all.rows(static_cast<Index>(p.begin), static_cast<Index>(p.end)).copy_from(mine_[b]);
  Plan plan = keeps_rank_tree(comm_) ? doubling_allgather(comm_.rank(), cuts_[b]) : ring_allgather(comm_.rank(), cuts_[b]);
  return start(std::move(plan), all.values(), comm_, tag);
}

}  // namespace tandem
