// Recursive doubling: in round k every rank swaps its whole partial sum with the rank whose number differs in bit k.
//
//   p=4            round 0: partner r^1          round 1: partner r^2
//     rank 0   0    <-+      0+1                  <-+       (0+1)+(2+3)
//     rank 1   1    <-+      0+1                  <-|-+     (0+1)+(2+3)
//     rank 2   2    <-+      2+3                  <-+ |     (0+1)+(2+3)
//     rank 3   3    <-+      2+3                  <---+     (0+1)+(2+3)
//
// Nearest partner first, so the sums form the rank tree. Both partners add the same two numbers, and a+b == b+a to the last
// bit, so all ranks agree. log2 p rounds is the least possible; but the whole vector travels in each, so this is for short
// vectors.
//
// Rank counts that are no power of two, p = 2^k + r: the first r pairs fold into one rank each, which takes part for both.
//
//   p=3, r=1       fold in               round 0                unfold
//     rank 0   0   <-+  0+1   now "0"    <-+    (0+1)+2   -+     (0+1)+2
//     rank 1   1   --+                     |               +->   (0+1)+2
//     rank 2   2        2     now "1"    <-+    (0+1)+2          (0+1)+2
//
// Source: Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in MPICH", IJHPCA 19(1), 2005,
// section 4 (allreduce).
#include <bit>
#include <vector>

#include "core/memory.hpp"
#include "parallel/collectives/collectives.hpp"
#include "parallel/collectives/sum.hpp"

namespace tandem {

namespace {

// What one rank does, as a list. The operation below only walks along it, and so can stop between any two messages.
enum class Move { send, receive, receive_and_add, exchange_and_add };
struct Round {
  Move move;
  int partner;
};

std::vector<Round> rounds_of(int rank, int ranks) {
  const int power = static_cast<int>(std::bit_floor(static_cast<unsigned>(ranks)));
  const int folded = ranks - power;
  const bool in_pair = rank < 2 * folded;
  if (in_pair && rank % 2 == 1) return {{Move::send, rank - 1}, {Move::receive, rank - 1}};

  std::vector<Round> rounds;
  if (in_pair) rounds.push_back({Move::receive_and_add, rank + 1});
  const int position = in_pair ? rank / 2 : rank - folded;
  const auto rank_at = [&](int p) { return p < folded ? 2 * p : p + folded; };
  for (int distance = 1; distance < power; distance *= 2)
    rounds.push_back({Move::exchange_and_add, rank_at(position ^ distance)});
  if (in_pair) rounds.push_back({Move::send, rank + 1});
  return rounds;
}

class RecursiveDoubling final : public Allreduce {
 public:
  RecursiveDoubling(std::span<real> values, const Communicator& comm, int tag)
      : values_(values),
        comm_(comm),
        tag_(tag),
        rounds_(rounds_of(comm.rank(), comm.size())),
        inbox_(comm.size() > 1 ? values.size() : 0) {
    if (!rounds_.empty()) post();
  }

  bool progress() override {
    while (next_ < rounds_.size()) {
      if (!arriving_.test() || !leaving_.test()) return false;
      const Move move = rounds_[next_].move;
      if (move == Move::receive_and_add || move == Move::exchange_and_add) add(values_, inbox_.values());
      if (++next_ < rounds_.size()) post();
    }
    return true;
  }

 private:
  // Starts the messages of round next_. While they are under way, `values_` is only read unless it is what arrives.
  void post() {
    const auto [move, partner] = rounds_[next_];
    if (move == Move::receive) arriving_ = comm_.irecv(values_, partner, tag_);
    if (move == Move::receive_and_add || move == Move::exchange_and_add)
      arriving_ = comm_.irecv(inbox_.values(), partner, tag_);
    if (move == Move::send || move == Move::exchange_and_add) leaving_ = comm_.isend(values_, partner, tag_);
  }

  std::span<real> values_;
  const Communicator& comm_;
  int tag_;
  std::vector<Round> rounds_;
  std::size_t next_ = 0;  // the round whose messages are under way
  Scratch<> inbox_;       // declared before the requests, hence alive until they have completed
  Request arriving_, leaving_;
};

int log2_floor(int ranks) { return std::bit_width(static_cast<unsigned>(ranks)) - 1; }
int beyond_power_of_two(int ranks) { return ranks - (1 << log2_floor(ranks)); }

}  // namespace

std::unique_ptr<Allreduce> start_recursive_doubling(std::span<real> values, const Communicator& comm, int tag) {
  return std::make_unique<RecursiveDoubling>(values, comm, tag);
}

void recursive_doubling_allreduce(std::span<real> values, const Communicator& comm) {
  start_recursive_doubling(values, comm, 0)->wait();
}

// log2 p (a + n b + n g); if ranks are folded in and out: + 2(a + n b) + n g
Seconds recursive_doubling_allreduce_cost(int ranks, std::size_t bytes, Link link) {
  const double n = static_cast<double>(bytes);
  const Seconds send = link.alpha + n * link.beta, sum = n * link.gamma;
  const Seconds fold = beyond_power_of_two(ranks) ? 2 * send + sum : 0;
  return log2_floor(ranks) * (send + sum) + fold;
}

// 2^k k messages of n bytes, and 2 for each folded pair
Traffic recursive_doubling_allreduce_traffic(int ranks, std::size_t bytes) {
  const int k = log2_floor(ranks);
  const auto messages = static_cast<std::size_t>((1 << k) * k + 2 * beyond_power_of_two(ranks));
  return {.messages = messages, .bytes = messages * bytes};
}

}  // namespace tandem
