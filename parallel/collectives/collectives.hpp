// Collectives: operations of all ranks of a communicator together. This is the table of contents; each algorithm has its own
// .cpp with a drawing and the reason for its cost.
//
//   allreduce: afterwards every rank holds the sum over the ranks, element by element
//
//                                  messages of a rank   time, p = 2^k ranks, n bytes              bytes sent, all ranks
//     recursive_doubling_allreduce  log2 p               log2 p (a + n b + n g)                    p log2 p n
//     ring_allreduce                2(p-1)               2(p-1)a + 2(p-1)/p n b + (p-1)/p n g      2(p-1) n
//     SharedWindow (own header)     0, one node only     2a + 2 n b + (p-1)/p n g                  0
//
//   broadcast: afterwards every rank holds the root's values
//
//     binomial tree                 at most log2 p       ceil(log2 p) (a + n b)                    (p-1) n
//
// Letters as in the literature: latency a (alpha), time per byte b (beta), time per byte added g (gamma).
//
// Order of addition. Floating-point sums depend on it. Recursive doubling and SharedWindow add in the *rank tree*:
//
//     v0   v1   v2   v3      p = 2^k: ((v0+v1)+(v2+v3)): the tree in which a rank adds its own micro-batches, continued
//      \  /      \  /
//       +         +         p = 2^k + r: ranks 0,1 | 2,3 | ... | 2r-2,2r-1 are added first and count as one each
//        \       /
//         \-- + /           Every rank gets the same bits. The ring adds each chunk in another order (see ring.cpp).
//
// Every rank of `comm` must call the same function with the same length, in the same order.
// Errors: those of Communicator's messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/real.hpp"
#include "parallel/mpi/communicator.hpp"

namespace tandem {

using Seconds = double;

// The machine in three numbers: alpha, a message's latency [s]; beta, time per byte sent [s/B]; gamma, per byte added [s/B].
struct Link {
  double alpha, beta, gamma;
};

// What all ranks together hand to MPI.
struct Traffic {
  std::size_t messages, bytes;
  bool operator==(const Traffic&) const = default;
};

// An allreduce under way, for overlap with computation. Open MPI has no progress thread, so somebody has to call progress()
// between other work; the trainer does after each layer's gradient.
//
// Several may be under way at once. Every rank starts them in the same order and waits for them in the same order: wait()
// steps one operation only, so two ranks that each wait for the operation the other neglects would wait for ever. progress()
// may be called in any order. The values belong to the operation until it is done, and it must be done before it is
// destroyed.
class [[nodiscard]] Allreduce {
 public:
  virtual ~Allreduce() = default;

  // Does what can be done without waiting for another rank; true when the values are the sum.
  virtual bool progress() = 0;

  // progress() until done, yielding the core to other ranks in between.
  void wait();
};

void recursive_doubling_allreduce(std::span<real> values, const Communicator& comm);
void ring_allreduce(std::span<real> values, const Communicator& comm);

// The same sum as recursive_doubling_allreduce, stepped. Operations under way at the same time need different tags.
std::unique_ptr<Allreduce> start_recursive_doubling(std::span<real> values, const Communicator& comm, int tag);

Seconds recursive_doubling_allreduce_cost(int ranks, std::size_t bytes, Link link);
Traffic recursive_doubling_allreduce_traffic(int ranks, std::size_t bytes);
Seconds ring_allreduce_cost(int ranks, std::size_t bytes, Link link);
Traffic ring_allreduce_traffic(int ranks, std::size_t bytes);

// The two halves of the ring, useful alone. Chunk k of n values is [k n / p, (k+1) n / p).
std::span<real> chunk(std::span<real> values, int k, int p);                 // k is taken modulo p, also a negative one
void ring_reduce_scatter(std::span<real> values, const Communicator& comm);  // rank r ends up with the sum of chunk r
void ring_allgather(std::span<real> values, const Communicator& comm);       // from rank r's chunk r to all chunks

// Copies the root's bytes to every rank. The template takes any range that can be a message.
void broadcast_bytes(std::span<std::byte> bytes, int root, const Communicator& comm);
template <MessageRange R>
void broadcast(R&& values, int root, const Communicator& comm) {
  broadcast_bytes(std::as_writable_bytes(std::span(values)), root, comm);
}
Seconds broadcast_cost(int ranks, std::size_t bytes, Link link);
Traffic broadcast_traffic(int ranks, std::size_t bytes);

// Small things around a run, not for the inner loop.
std::vector<std::string> gather_text(const std::string& text,
                                     const Communicator& comm);  // on rank 0, in rank order; else empty
std::string broadcast_text(const std::string& text, int root, const Communicator& comm);  // any length
double max_over_ranks(double value, const Communicator& comm);                            // on every rank
double sum_over_ranks(double value, const Communicator& comm);                           // on every rank
void sum_over_ranks(std::span<std::int64_t> counts, const Communicator& comm);            // in place, on every rank

// Runs `work` on rank 0 while the others wait. If it throws, every rank throws the same: one rank that fails alone, say on a
// full disk, would leave the others waiting.
void on_rank_0(const Communicator& comm, const std::function<void()>& work);

}  // namespace tandem
