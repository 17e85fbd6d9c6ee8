// The collectives as functions to call. What they do, message by message, and what it costs: algorithms.hpp.
//
// Every rank of `comm` must call the same function with the same length, in the same order.
// Errors: those of Communicator's messages; a root that does not exist.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "parallel/collectives/algorithms.hpp"
#include "parallel/collectives/run.hpp"

namespace tandem {

// The sum over the ranks on every rank, by cheapest_allreduce().
void allreduce(std::span<real> values, const Communicator& comm);

void reduce(std::span<real> values, int root, const Communicator& comm);   // the sum on the root; elsewhere partial sums are left
void gather(std::span<real> values, int root, const Communicator& comm);   // from rank r's chunk r to all chunks on the root
void scatter(std::span<real> values, int root, const Communicator& comm);  // from all chunks on the root to chunk r on rank r

// Copies the root's bytes to every rank. The template takes any range that can be a message.
void broadcast_bytes(std::span<std::byte> bytes, int root, const Communicator& comm);
template <MessageRange R>
void broadcast(R&& values, int root, const Communicator& comm) {
  broadcast_bytes(std::as_writable_bytes(std::span(values)), root, comm);
}
void barrier(const Communicator& comm);

// --- small things around a run, not for the inner loop ---------------------------------------------------------------------------
std::vector<std::string> gather_text(const std::string& text,
                                     const Communicator& comm);  // on rank 0, in rank order; else empty
std::string broadcast_text(const std::string& text, int root, const Communicator& comm);  // any length
std::vector<std::string> union_over_ranks(const std::vector<std::string>& lines, const Communicator& comm);  // sorted, on every rank
double max_over_ranks(double value, const Communicator& comm);                            // on every rank
double sum_over_ranks(double value, const Communicator& comm);                           // on every rank
void sum_over_ranks(std::span<std::int64_t> counts, const Communicator& comm);            // in place, on every rank
void sum_over_ranks(std::span<double> values, const Communicator& comm);                  // in place, on every rank

// Runs `work` on rank 0 while the others wait. If it throws, every rank throws the same: one rank that fails alone, say on a
// full disk, would leave the others waiting.
void on_rank_0(const Communicator& comm, const std::function<void()>& work);

// Runs `work` on ranks 0 to count-1 while the others sleep, so that their cores are free: for timing few ranks in a job of more. An exception
// is that rank's alone. Collective.
void on_first_ranks(int count, const Communicator& comm, const std::function<void()>& work);

}  // namespace tandem
