#include "parallel/collectives/plan.hpp"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "core/error.hpp"
#include "core/memory.hpp"
#include "parallel/collectives/sum.hpp"

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

Piece chunk(std::size_t count, int k, int p) {
  const auto i = static_cast<std::size_t>((k % p + p) % p), parts = static_cast<std::size_t>(p);
  return {.begin = i * count / parts, .end = (i + 1) * count / parts};
}

Cuts even_cuts(std::size_t count, int p) {
  Cuts cuts{0};
  for (int k = 0; k < p; ++k) cuts.push_back(chunk(count, k, p).end);
  return cuts;
}

Piece chunk(const Cuts& cuts, int k) {
  const int p = static_cast<int>(cuts.size()) - 1;
  const auto i = static_cast<std::size_t>((k % p + p) % p);
  return {.begin = cuts[i], .end = cuts[i + 1]};
}

std::span<real> chunk(std::span<real> values, int k, int p) {
  const Piece piece = chunk(values.size(), k, p);
  return values.subspan(piece.begin, piece.size());
}

// Ranks may share a core (oversubscription). Spinning without end would then keep the core from the very rank we wait for,
// so after a short spin, for the common case that the others are nearly there, we offer the core at every turn.
void wait_until(const std::function<bool()>& done) {
  constexpr int short_spin = 100;
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

std::vector<Plan> plans_of_all(Algorithm algorithm, int ranks, std::size_t count) {
  std::vector<Plan> plans;
  for (int rank = 0; rank < ranks; ++rank) plans.push_back(algorithm(rank, ranks, count));
  return plans;
}

Traffic traffic(const std::vector<Plan>& plans, std::size_t value_bytes) {
  Traffic sum;
  for (const Plan& plan : plans)
    for (const Move& move : plan)
      if (move.to != no_rank) {
        sum.messages += 1;
        sum.bytes += move.out.size() * value_bytes;
      }
  return sum;
}

Seconds duration(const std::vector<Plan>& plans, std::size_t value_bytes, const LinkProfile& links) {
  struct Rank {
    std::size_t next = 0;                  // move
    Seconds begin = 0;                     // of that move
    bool sent = false, received = false;   // what of it is done
    Seconds end = 0;                       // of what is done
  };
  std::vector<Rank> ranks(plans.size());
  const auto move_of = [&](std::size_t r) { return ranks[r].next < plans[r].size() ? plans[r][ranks[r].next] : Move{}; };

  for (bool moved = true; moved;) {
    moved = false;
    for (std::size_t r = 0; r < plans.size(); ++r) {
      Rank& rank = ranks[r];
      const Move move = move_of(r);
      if (move.from != no_rank && !rank.received) {
        Rank& sender = ranks[static_cast<std::size_t>(move.from)];
        const Move theirs = move_of(static_cast<std::size_t>(move.from));
        if (theirs.to == static_cast<int>(r) && !sender.sent) {
          require(theirs.out.size() == move.in.size(), "plan: rank {} sends {} values to rank {}, which expects {}", move.from,
                  theirs.out.size(), r, move.in.size());
          const std::size_t bytes = move.in.size() * value_bytes;
          const Seconds arrival = std::max(rank.begin, sender.begin) + links.message(bytes);
          rank.received = sender.sent = moved = true;
          rank.end = std::max(rank.end, arrival + (move.add ? links.addition(bytes) : 0));
          sender.end = std::max(sender.end, arrival);
        }
      }
      if (rank.next < plans[r].size() && rank.sent == (move.to != no_rank) && rank.received == (move.from != no_rank)) {
        rank = {.next = rank.next + 1, .begin = std::max(rank.begin, rank.end)};
        moved = true;
      }
    }
  }
  Seconds last = 0;
  for (std::size_t r = 0; r < plans.size(); ++r) {
    require(ranks[r].next == plans[r].size(), "plan: rank {} waits for ever in its move {} (to {}, from {})", r, ranks[r].next,
            move_of(r).to, move_of(r).from);
    last = std::max(last, ranks[r].begin);
  }
  return last;
}

}  // namespace tandem
