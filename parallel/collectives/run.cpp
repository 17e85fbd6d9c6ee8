#include "parallel/collectives/run.hpp"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "core/error.hpp"
#include "core/memory.hpp"
#include "parallel/collectives/sum.hpp"
#include "parallel/trace.hpp"

namespace tandem {
namespace {

std::size_t longest_addition(const Plan& plan) {
  std::size_t longest = 0;
  for (const Move& move : plan)
    if (move.add) longest = std::max(longest, move.in.size());
  return longest;
}

class Walk final : public Collective {
 public:
  // `unit`: bytes of a value.
  Walk(Plan plan, std::span<std::byte> values, std::size_t unit, const Communicator& comm, int tag)
      : plan_(std::move(plan)), values_(values), unit_(unit), comm_(comm), tag_(tag), inbox_(longest_addition(plan_)) {
    if (!plan_.empty()) post();
  }

  bool progress() override {
    while (next_ < plan_.size()) {
      if (!arriving_.test() || !leaving_.test()) return false;
      const Move& move = plan_[next_];
      if (move.from != no_rank && move.add) add(reals(move.in), inbox_.first(move.in.size()));
      if (++next_ < plan_.size()) post();
    }
    return true;
  }

 private:
  // Starts the messages of move next_.
  void post() {
    const Move& move = plan_[next_];
    if (move.from != no_rank)
      arriving_ = move.add ? comm_.irecv(inbox_.first(move.in.size()), move.from, tag_) : comm_.irecv(bytes(move.in), move.from, tag_);
    if (move.to != no_rank) leaving_ = comm_.isend(bytes(move.out), move.to, tag_);
  }

  std::span<std::byte> bytes(Piece piece) const { return values_.subspan(piece.begin * unit_, piece.size() * unit_); }
  std::span<real> reals(Piece piece) const { return {reinterpret_cast<real*>(bytes(piece).data()), piece.size()}; }

  Plan plan_;
  std::span<std::byte> values_;
  std::size_t unit_;
  const Communicator& comm_;
  int tag_;
  std::size_t next_ = 0;  // the move whose messages are under way
  Scratch<> inbox_;       // declared before the requests, hence alive until they have completed
  Request arriving_, leaving_;
};

}  // namespace

// Ranks may share a core (oversubscription). Spinning without end would then keep the core from the very rank we wait for,
// so after a short spin, for the common case that the others are nearly there, we offer the core at every turn.
void wait_until(const std::function<bool()>& done) {
  constexpr int short_spin = 100;
  if (done()) return;
  const auto span = Trace::waiting();
  for (int turns = 0; !done(); ++turns)
    if (turns > short_spin) sched_yield();
}

void Collective::wait() {
  wait_until([this] { return progress(); });
}

std::unique_ptr<Collective> start(Plan plan, std::span<real> values, const Communicator& comm, int tag) {
  return std::make_unique<Walk>(std::move(plan), std::as_writable_bytes(values), sizeof(real), comm, tag);
}

void run(Plan plan, std::span<real> values, const Communicator& comm) { start(std::move(plan), values, comm)->wait(); }

void run(Algorithm algorithm, std::span<real> values, const Communicator& comm) {
  run(algorithm(comm.rank(), comm.size(), values.size()), values, comm);
}

void run_bytes(Plan plan, std::span<std::byte> bytes, const Communicator& comm) {
  require(longest_addition(plan) == 0, "a plan that adds cannot run on bytes");
  Walk(std::move(plan), bytes, 1, comm, 0).wait();
}

}  // namespace tandem
