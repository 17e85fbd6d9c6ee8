#include "parallel/collectives/plan.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace tandem {

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
