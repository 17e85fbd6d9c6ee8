// Cross-entropy of logits whose classes are split over ranks: with many classes the logits are a net's largest activation, and need
// not be gathered for a single number a row.
//
//     log p_k = x_k - top - log sum_j e^(x_j - top)        row of k classes over p = 2:   x_0 x_1 | x_2 x_3 x_4
//
//     each rank            the group
//     max of its x_k       top    = the largest             gather, n values a rank     (a maximum is exact in any order)
//     e^(x_k - top)        total  = sum_k e^(x_k - top)     allreduce, 2n values        together with
//     t_k (x_k - top)      chosen = sum_k t_k (x_k - top)                               the targets' part of the loss
//
// With t_k the target as in cross_entropy_sum, T = sum_k t_k:  loss of a row = T log total - chosen. The label's logit comes from the
// rank that owns it, as its t_k is 0 elsewhere. All terms must be shifted by the *group's* top: rank 0's e^(x - top_0) and rank 1's
// e^(x - top_1) are numbers on different scales.
//
// Gradient: dx_k = T p_k - t_k for the own classes; no message.
// Cost, n rows of reals of b bytes: ring_allgather_traffic(p, p n b) and allreduce_traffic(p, 2 n b), against
// ring_allgather_traffic(p, n k b) for gathering the logits.
//
// Source: Shoeybi et al., "Megatron-LM", 2019, section 3 (there three reductions; here the last two travel together).
#pragma once

#include "core/ops.hpp"
#include "parallel/tensor/group_ops.hpp"

namespace tandem {

// The sum over rows, the same on every rank: cross_entropy_sum of the gathered logits. `local_logits` [n, part(classes, r, p)]; labels
// and class weights are those of all classes, equal on every rank.
// Errors: as cross_entropy_sum; logits that are not this rank's part.
Variable class_parallel_cross_entropy_sum(const Variable& local_logits, Index classes, std::span<const std::int32_t> labels,
                                          const CrossEntropyOptions& options, const Communicator& group);

}  // namespace tandem
