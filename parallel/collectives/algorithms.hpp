// Collectives: operations of all ranks of a communicator together. This is the table of contents; each algorithm has its own
// .cpp with a drawing and the reason for its cost. What a Plan is, and who reads it: plan.hpp. Functions to call: collectives.hpp.
//
//   allreduce: afterwards every rank holds the sum over the ranks, element by element
//
//                     messages of a rank   time, p = 2^k ranks, n bytes              bytes sent, all ranks   order of addition
//     naive           rank 0: all          2(p-1)(a + n b) + (p-1) n g               2(p-1) n                rank by rank
//     tree            at most 2 log2 p     log2 p (2a + 2 n b + n g)                 2(p-1) n                rank tree
//     ring            2(p-1)               2(p-1)a + 2(p-1)/p n b + (p-1)/p n g      2(p-1) n                another for each chunk
//     doubling        log2 p               log2 p (a + n b + n g)                    p log2 p n              rank tree, any p
//     halving         2 log2 p             2 log2 p a + 2(p-1)/p n b + (p-1)/p n g   2(p-1) n                rank tree, any p
//     shared window   0, one node only     2a + 2 n b + (p-1)/p n g                  0                       rank tree, any p
//     hierarchical    of one rank a node   window within each node, `doubling` between the nodes' first ranks
//
//   reduce-scatter and allgather (ring; halving): the two halves of an allreduce, useful alone
//   broadcast, reduce (tree); gather, scatter (flat); barrier (dissemination)
//
// Letters as in the literature: latency a (alpha), time per byte b (beta), time per byte added g (gamma).
//
// Order of addition. Floating-point sums depend on it. The *rank tree*:
//
//     v0   v1   v2   v3      p = 2^k: ((v0+v1)+(v2+v3)): the tree in which a rank adds its own micro-batches, continued
//      \  /      \  /
//       +         +         p = 2^k + r: ranks 0,1 | 2,3 | ... | 2r-2,2r-1 are added first and count as one each
//        \       /
//         \-- + /           Whatever the order, every rank gets the same bits.
//
// Nothing here needs MPI: these are the algorithms, not their runs.
#pragma once

#include <span>
#include <string_view>

#include "parallel/collectives/plan.hpp"

namespace tandem {

// --- allreduce ---------------------------------------------------------------------------------------------------------------
Plan naive_allreduce(int rank, int ranks, std::size_t count);
Plan tree_allreduce(int rank, int ranks, std::size_t count);
Plan ring_allreduce(int rank, int ranks, std::size_t count);
Plan doubling_allreduce(int rank, int ranks, std::size_t count);
Plan halving_allreduce(int rank, int ranks, std::size_t count);

Seconds naive_allreduce_cost(int ranks, std::size_t bytes, Link link);
Seconds tree_allreduce_cost(int ranks, std::size_t bytes, Link link);
Seconds ring_allreduce_cost(int ranks, std::size_t bytes, Link link);
Seconds doubling_allreduce_cost(int ranks, std::size_t bytes, Link link);
Seconds halving_allreduce_cost(int ranks, std::size_t bytes, Link link);

Traffic naive_allreduce_traffic(int ranks, std::size_t bytes);
Traffic tree_allreduce_traffic(int ranks, std::size_t bytes);
Traffic ring_allreduce_traffic(int ranks, std::size_t bytes);
Traffic doubling_allreduce_traffic(int ranks, std::size_t bytes);
Traffic halving_allreduce_traffic(int ranks, std::size_t bytes);

// All of them that run on messages, for tables, tests and choices.
struct AllreduceAlgorithm {
  std::string_view name;
  Algorithm plan;
  Seconds (*cost)(int ranks, std::size_t bytes, Link link);
  Traffic (*traffic)(int ranks, std::size_t bytes);
  bool (*keeps_rank_tree)(int ranks);
};
std::span<const AllreduceAlgorithm> allreduce_algorithms();
const AllreduceAlgorithm& allreduce_algorithm(std::string_view name);  // UsageError that lists the names

// The one that costs least by its formula. The choice depends on (p, bytes) alone, never on a measurement (for that: choose.hpp), so that
// all ranks make the same one, and a run the same as the last.
const AllreduceAlgorithm& cheapest_allreduce(int ranks, std::size_t bytes);
Traffic allreduce_traffic(int ranks, std::size_t bytes);

// Of what runs in memory that ranks share (shared_window.hpp, hierarchical.hpp). `window`: a flag, and a byte of memory read or written;
// `between`: a message between hosts.
Seconds shared_window_allreduce_cost(int ranks, std::size_t bytes, const LinkProfile& window);
Seconds hierarchical_allreduce_cost(int nodes, int ranks_of_a_node, std::size_t bytes, const LinkProfile& between, const LinkProfile& window);

// --- the two halves of an allreduce --------------------------------------------------------------------------------------------
// Ring, any p. Reduce-scatter: rank r ends up with the sum of chunk r. Allgather: from rank r's chunk r to all chunks.
Plan ring_reduce_scatter(int rank, int ranks, std::size_t count);
Plan ring_allgather(int rank, int ranks, std::size_t count);
// Halving, p = 2^k, rank tree: here rank r ends up with the chunk of which it is halving_owner(chunk, p).
Plan halving_reduce_scatter(int rank, int ranks, std::size_t count);
Plan doubling_allgather(int rank, int ranks, std::size_t count);
// The same where the chunks are not equal. However they are cut, all ranks together send (p-1) n bytes.
Plan ring_reduce_scatter(int rank, const Cuts& cuts);
Plan ring_allgather(int rank, const Cuts& cuts);
Plan halving_reduce_scatter(int rank, const Cuts& cuts);
Plan doubling_allgather(int rank, const Cuts& cuts);
int halving_owner(int chunk, int ranks);  // the bits of the chunk's number in reverse order; its own inverse

Seconds ring_reduce_scatter_cost(int ranks, std::size_t bytes, Link link);     // (p-1)(a + n/p b + n/p g)
Seconds ring_allgather_cost(int ranks, std::size_t bytes, Link link);          // (p-1)(a + n/p b)
Seconds halving_reduce_scatter_cost(int ranks, std::size_t bytes, Link link);  // log2 p a + (p-1)/p n (b + g)
Seconds doubling_allgather_cost(int ranks, std::size_t bytes, Link link);      // log2 p a + (p-1)/p n b
Traffic ring_allgather_traffic(int ranks, std::size_t bytes);                  // of the reduce-scatter, too
Traffic doubling_allgather_traffic(int ranks, std::size_t bytes);              // of the reduce-scatter, too

// --- from and to one rank --------------------------------------------------------------------------------------------------------
Plan tree_reduce(int rank, int ranks, std::size_t count, int root);
Plan tree_broadcast(int rank, int ranks, std::size_t count, int root);
Plan flat_gather(int rank, int ranks, std::size_t count, int root);
Plan flat_scatter(int rank, int ranks, std::size_t count, int root);

Seconds reduce_cost(int ranks, std::size_t bytes, Link link);              // ceil(log2 p) (a + n b + n g); messages: as a broadcast's
Seconds gather_cost(int ranks, std::size_t bytes, Link link);              // of a scatter, too
Traffic gather_traffic(int ranks, std::size_t count, std::size_t value_bytes, int root);  // of a scatter, too

Seconds broadcast_cost(int ranks, std::size_t bytes, Link link);  // ceil(log2 p) (a + n b)
Traffic broadcast_traffic(int ranks, std::size_t bytes);          // (p-1) messages of n bytes

Plan dissemination_barrier(int rank, int ranks, std::size_t count);
Seconds barrier_cost(int ranks, Link link);
Traffic barrier_traffic(int ranks);

}  // namespace tandem
