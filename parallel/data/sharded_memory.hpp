// Buckets of values of which each rank answers for one piece. The whole bucket is here always, or only while it is needed.
//
//     Keep::whole                                           Keep::piece
//     rank 0   | a0 b0 |   sum    | A  .  |                 | a0 b0 |   sum    | A |
//     rank 1   | a1 b1 |  ----->  | .  B  |                 | a1 b1 |  ----->      | B |        the rest is given back to the pool
//
//     rank 0   | A  .  |  gather  | A  B  |                 | A |       gather  | A  B |
//     rank 1   | .  B  |  ----->  | A  B  |                     | B |   ----->  | A  B |        taken from the pool
//
// A sum is a reduce-scatter, a gather an allgather: by halving and doubling on 2^k ranks (the bits of the rank tree), else by the ring.
// Either way all N ranks together send (N-1) n values for a bucket of n, however it is cut.
#pragma once

#include <memory>
#include <vector>

#include "core/tensor.hpp"
#include "parallel/collectives/collectives.hpp"

namespace tandem {

enum class Keep { whole, piece };

class ShardedMemory {
 public:
  // `buckets`: how each is cut. `comm` must outlive the memory. Zeros at first.
  ShardedMemory(std::vector<Cuts> buckets, const Communicator& comm, Keep keep);

  static bool keeps_rank_tree(const Communicator& comm);
  Piece piece(std::size_t b) const;            // mine, in values of the bucket
  Tensor mine(std::size_t b) const { return mine_[b]; }

  bool has_whole(std::size_t b) const { return whole_[b].defined(); }
  Tensor whole(std::size_t b);                 // takes memory for it if it is not here; its values are anything then
  void keep_mine(std::size_t b);               // copies my piece out of the whole, and forgets the rest

  // Over the ranks, in place in the whole. Under way at once: different tags.
  std::unique_ptr<Collective> start_sum(std::size_t b, int tag);     // afterwards my piece of the whole holds the sum; the rest, nothing
  std::unique_ptr<Collective> start_gather(std::size_t b, int tag);  // from mine(b) of every rank to the whole on all
  void drop(std::size_t b);                    // forgets the whole, unless it is kept

  std::size_t bytes() const { return kept_.values().size_bytes(); }  // kept at all times

 private:
  std::vector<Cuts> cuts_;
  const Communicator& comm_;
  Keep keep_;
  Tensor kept_;
  std::vector<Tensor> whole_, mine_;           // by bucket
};

}  // namespace tandem
