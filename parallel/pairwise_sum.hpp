// The fixed tree in which the gradients of M micro-batches are added.
//
// Floating-point addition is not associative: (a+b)+c and a+(b+c) differ in the last bits. So that one rank and eight ranks end
// with the same weights, the *tree* of additions is fixed by M alone: every range of leaves is cut in the middle.
//
//        leaf    0   1   2   3   4   5   6   7        M = 8
//                 \ /     \ /     \ /     \ /
//                  +       +       +       +          2 ranks: rank 0 has leaves 0-3, rank 1 leaves 4-7; each adds its own
//                   \     /         \     /           half of the tree, and the allreduce over ranks (recursive doubling,
//                      +               +              shared window) does the last addition, the root.
//                       \             /
//                              +                      4 ranks: two leaves each; two levels are left to the allreduce.
//
// That works for every power of two of ranks that divides M. Leaves arrive one after the other; at most log2(M) + 1 partial sums
// are pending at any time. A leaf may be skipped (an empty micro-batch): its sibling passes through unchanged.
#pragma once

#include <vector>

#include "core/kernels/elementwise.hpp"

namespace tandem {

class PairwiseSum {
 public:
  explicit PairwiseSum(Index leaves) : leaves_(leaves) {}

  // The next leaf. Takes over the tensor; its values may be overwritten. A Tensor that is not defined() is skipped.
  void add(Tensor leaf) {
    require(next_ < leaves_, "pairwise sum: leaf {} of only {}", next_, leaves_);
    pending_.push_back(std::move(leaf));
    for (int merges = closed_by(next_++, 0, leaves_); merges > 0; --merges) {
      Tensor right = std::move(pending_.back());
      pending_.pop_back();
      pending_.back() = sum(std::move(pending_.back()), std::move(right));
    }
  }

  Index arrived() const { return next_; }
  bool complete() const { return next_ == leaves_; }

  // Adds something to the finished sum that is no leaf of this tree.
  void add_to_total(Tensor part) {
    require(complete(), "pairwise sum: {} of {} leaves have arrived", next_, leaves_);
    if (pending_.empty()) pending_.emplace_back();
    pending_.front() = sum(std::move(pending_.front()), std::move(part));
  }

  // The sum of all leaves, once they have all arrived; not defined() if all were skipped. It is given away: no memory stays here.
  Tensor take_total() {
    require(complete(), "pairwise sum: {} of {} leaves have arrived", next_, leaves_);
    Tensor sum = pending_.empty() ? Tensor() : std::move(pending_.front());
    pending_.clear();
    return sum;
  }

 private:
  // How many nodes of the tree over [lo, hi) have `leaf` as their last leaf, hence are complete when it arrives.
  static int closed_by(Index leaf, Index lo, Index hi) {
    if (hi - lo == 1) return 0;
    const Index middle = lo + (hi - lo) / 2;
    return leaf < middle ? closed_by(leaf, lo, middle) : closed_by(leaf, middle, hi) + (leaf == hi - 1);
  }

  static Tensor sum(Tensor left, Tensor right) {
    if (!left.defined()) return right;
    if (!right.defined()) return left;
    if (!left.sole_owner()) return tandem::add(left, right);
    add_to(left, right);
    return left;
  }

  Index leaves_, next_ = 0;
  std::vector<Tensor> pending_;
};

}  // namespace tandem
