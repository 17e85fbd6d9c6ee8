#include "parallel/pipeline/simulate.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "parallel/pipeline/validate.hpp"

namespace tandem {
namespace {

constexpr double not_yet = -1;
constexpr Action nothing{.stage = -1};

void check(const CostModel& costs, const Schedule& schedule) {
  const auto fits = [](std::size_t given, int wanted) { return given == 1 || given == static_cast<std::size_t>(wanted); };
  require(fits(costs.stages.size(), schedule.stages), "simulate: costs of {} stages for a schedule of {}", costs.stages.size(), schedule.stages);
  require(fits(costs.hops.size(), schedule.stages - 1), "simulate: costs of {} hops for a schedule of {} stages", costs.hops.size(), schedule.stages);
  for (const StageCost& c : costs.stages)
    require(std::min({c.forward, c.backward_input, c.backward_weight, c.recompute, c.reduce, c.update}) >= 0, "simulate: a stage has a negative time");
  for (const Hop& hop : costs.hops) require(std::min(hop.delay, hop.busy) >= 0, "simulate: a message has a negative time");
}

class Simulation {
 public:
  Simulation(const Schedule& schedule, const CostModel& costs)
      : schedule_(schedule), costs_(costs), rank_of_(ranks_of_stages(schedule)), free_(schedule.programs.size(), 0), next_(schedule.programs.size(), 0) {
    const std::size_t pairs = static_cast<std::size_t>(schedule.stages) * static_cast<std::size_t>(schedule.micros);
    forward_.assign(pairs, not_yet);
    backward_.assign(pairs, not_yet);
    timeline_.ranks.resize(schedule.programs.size());
    for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) timeline_.ranks[rank].reserve(schedule.programs[rank].size());
  }

  Timeline run() && {
    std::vector<int> can_move(schedule_.programs.size());
    for (std::size_t i = 0; i < can_move.size(); ++i) can_move[i] = static_cast<int>(can_move.size() - 1 - i);
    while (!can_move.empty()) {
      const int rank = can_move.back();
      can_move.pop_back();
      move(rank, can_move);
    }
    for (int rank = 0; rank < schedule_.ranks(); ++rank)
      if (const Action* stuck = first_unmet(rank)) report_deadlock(rank, *stuck);
    finish();
    return std::move(timeline_);
  }

 private:
  double& forward(int stage, int micro) { return forward_[place(stage, micro)]; }
  double& backward(int stage, int micro) { return backward_[place(stage, micro)]; }
  std::size_t place(int stage, int micro) const {
    return static_cast<std::size_t>(stage) * static_cast<std::size_t>(schedule_.micros) + static_cast<std::size_t>(micro);
  }
  bool backs(Op op) const { return op == Op::B || op == Op::I; }

  // What another rank, or this one, must have done before; `nothing` if that follows from the rank's own program.
  Action need(const Action& a) const {
    if (a.op == Op::F && a.stage > 0) return {Op::F, a.stage - 1, a.micro};
    if (backs(a.op) && a.stage + 1 < schedule_.stages) return {Op::B, a.stage + 1, a.micro};
    return nothing;
  }
  double end_of(const Action& a) { return a.op == Op::F ? forward(a.stage, a.micro) : backward(a.stage, a.micro); }

  // Runs the rank's program up to the first action whose need is not met. Ranks that waited for what it did can move after.
  void move(int rank, std::vector<int>& can_move) {
    const auto r = static_cast<std::size_t>(rank);
    const auto& program = schedule_.programs[r];
    for (; next_[r] < program.size(); ++next_[r]) {
      const Action& a = program[next_[r]];
      if (a.op > Op::W) continue;
      const Action needed = need(a);
      double begin = free_[r];
      if (needed.stage >= 0) {
        const double ready = end_of(needed);
        if (ready == not_yet) return;
        if (rank_of_[static_cast<std::size_t>(needed.stage)] != rank) begin = take_in(a, needed, std::max(begin, ready + hop(a, needed).delay));
      }
      const double end = begin + seconds(a);
      free_[r] = end;
      timeline_.ranks[r].push_back({a, begin, end});
      if (a.op == Op::F) forward(a.stage, a.micro) = end;
      if (backs(a.op)) backward(a.stage, a.micro) = end;
      wake(a, rank, can_move);
    }
  }

  const Hop& hop(const Action& a, const Action& needed) const { return costs_.hop(std::min(a.stage, needed.stage)); }

  double take_in(const Action& a, const Action& needed, double begin) {
    const double busy = hop(a, needed).busy;
    if (busy > 0)
      timeline_.ranks[static_cast<std::size_t>(rank_of_[static_cast<std::size_t>(a.stage)])].push_back(
          {{a.op == Op::F ? Op::receive_F : Op::receive_B, a.stage, a.micro}, begin, begin + busy});
    return begin + busy;
  }

  double seconds(const Action& a) const {
    const StageCost& cost = costs_.stage(a.stage);
    switch (a.op) {
      case Op::F: return cost.forward;
      case Op::B: return cost.recompute + cost.backward_input + cost.backward_weight;
      case Op::I: return cost.recompute + cost.backward_input;
      default: return cost.backward_weight;
    }
  }

  // The neighbour's rank, if what it stands at needs `a`.
  void wake(const Action& a, int rank, std::vector<int>& can_move) const {
    const int stage = a.op == Op::F ? a.stage + 1 : backs(a.op) ? a.stage - 1 : -1;
    if (stage < 0 || stage >= schedule_.stages) return;
    const int other = rank_of_[static_cast<std::size_t>(stage)];
    if (other == rank) return;
    const Action* waits = first_unmet(other);
    if (waits != nullptr && waits->stage == stage && waits->micro == a.micro && (waits->op == Op::F) == (a.op == Op::F)) can_move.push_back(other);
  }

  const Action* first_unmet(int rank) const {
    const auto& program = schedule_.programs[static_cast<std::size_t>(rank)];
    const std::size_t at = next_[static_cast<std::size_t>(rank)];
    return at < program.size() ? &program[at] : nullptr;
  }

  // Follows who waits for whom until a rank comes again: that is the circle.
  [[noreturn]] void report_deadlock(int rank, Action stuck) const {
    std::vector<int> seen;
    std::vector<std::string> lines;
    while (std::ranges::find(seen, rank) == seen.end()) {
      const Action needed = need(stuck);
      const int other = rank_of_[static_cast<std::size_t>(needed.stage)];
      const Op op = std::ranges::find(schedule_.programs[static_cast<std::size_t>(other)], Action{Op::I, needed.stage, needed.micro}) ==
                            schedule_.programs[static_cast<std::size_t>(other)].end() ? needed.op : Op::I;
      seen.push_back(rank);
      lines.push_back(fmt::format("\n  rank {} stands at {}, which needs {} of rank {}", rank, to_string(stuck),
                                  to_string({needed.op == Op::F ? Op::F : op, needed.stage, needed.micro}), other));
      rank = other;
      stuck = *first_unmet(rank);
    }
    lines.erase(lines.begin(), lines.begin() + (std::ranges::find(seen, rank) - seen.begin()));
    fail("schedule: deadlock: {} wait{} for ever:{}", lines.size() == 1 ? "a rank" : "these ranks", lines.size() == 1 ? "s" : "", fmt::join(lines, ""));
  }

  // Reductions go on beside the computing, one after the other in the order in which they begin; then comes the update.
  void finish() {
    for (std::size_t r = 0; r < timeline_.ranks.size(); ++r) {
      auto& spans = timeline_.ranks[r];
      std::vector<Span> reductions;
      double update = 0, link_free = 0;
      std::vector<bool> seen(static_cast<std::size_t>(schedule_.stages), false);
      for (std::size_t i = spans.size(); i-- > 0;) {
        const Span& last = spans[i];
        const auto stage = static_cast<std::size_t>(last.what.stage);
        if ((last.what.op != Op::B && last.what.op != Op::W) || seen[stage]) continue;
        seen[stage] = true;
        update += costs_.stage(last.what.stage).update;
        if (costs_.stage(last.what.stage).reduce > 0) reductions.push_back({{Op::reduce, last.what.stage, 0}, last.end, last.end});
      }
      std::ranges::reverse(reductions);
      for (Span& sum : reductions) {
        sum.begin = std::max(sum.begin, link_free);
        link_free = sum.end = sum.begin + costs_.stage(sum.what.stage).reduce;
      }
      const double begin = std::max(free_[r], link_free);
      spans.insert(spans.end(), reductions.begin(), reductions.end());
      if (update > 0) spans.push_back({{Op::update, spans.front().what.stage, 0}, begin, begin + update});
      std::ranges::stable_sort(spans, {}, &Span::begin);
    }
  }

  const Schedule& schedule_;
  const CostModel& costs_;
  std::vector<int> rank_of_;
  std::vector<double> free_;                  // by rank: end of the last action
  std::vector<std::size_t> next_;             // by rank: place in its program
  std::vector<double> forward_, backward_;    // by stage and micro-batch: end of F; of B or I
  Timeline timeline_;
};

}  // namespace

Timeline simulate(const Schedule& schedule, const CostModel& costs) {
  validate(schedule);
  check(costs, schedule);
  return Simulation(schedule, costs).run();
}

}  // namespace tandem
