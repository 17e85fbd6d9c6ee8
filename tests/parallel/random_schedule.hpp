// A random legal schedule: stages lie on ranks at random, and what is done next is drawn among all that could be.
#pragma once

#include <algorithm>
#include <vector>

#include "core/random.hpp"
#include "parallel/pipeline/schedule.hpp"

namespace tandem {

// Every rank has a stage at least. Each stage's backward comes whole or in halves. With `in_order`, the weights' gradients of each stage come
// in the order of micro-batches, so that all such schedules give the same bits.
inline Schedule random_schedule(int ranks, int stages, int micros, Random& random, bool in_order = false) {
  const auto draw = [&](std::size_t n) { return static_cast<std::size_t>(random.below(static_cast<std::uint32_t>(n))); };
  std::vector<std::size_t> rank_of;
  for (int s = 0; s < stages; ++s) rank_of.push_back(s < ranks ? static_cast<std::size_t>(s) : draw(static_cast<std::size_t>(ranks)));
  for (std::size_t i = rank_of.size(); i > 1; --i) std::swap(rank_of[i - 1], rank_of[draw(i)]);
  std::vector<bool> halves;
  for (int s = 0; s < stages; ++s) halves.push_back(draw(2) == 1);

  Schedule schedule{.stages = stages, .micros = micros, .programs = std::vector<std::vector<Action>>(static_cast<std::size_t>(ranks))};
  std::vector<Action> possible;
  for (int i = 0; i < micros; ++i) possible.push_back({Op::F, 0, i});
  std::vector<int> weights_done(static_cast<std::size_t>(stages), 0);  // with in_order: how many micro-batches
  while (!possible.empty()) {
    const std::size_t chosen = draw(possible.size());
    const Action a = possible[chosen];
    int& done = weights_done[static_cast<std::size_t>(a.stage)];
    if (in_order && (a.op == Op::B || a.op == Op::W) && a.micro != done) continue;
    if (a.op == Op::B || a.op == Op::W) ++done;
    possible.erase(possible.begin() + static_cast<std::ptrdiff_t>(chosen));
    schedule.programs[rank_of[static_cast<std::size_t>(a.stage)]].push_back(a);
    const auto back = [&](int s) { return Action{halves[static_cast<std::size_t>(s)] ? Op::I : Op::B, s, a.micro}; };
    if (a.op == Op::F) possible.push_back(a.stage + 1 < stages ? Action{Op::F, a.stage + 1, a.micro} : back(a.stage));
    if (a.op == Op::I) possible.push_back({Op::W, a.stage, a.micro});
    if ((a.op == Op::B || a.op == Op::I) && a.stage > 0) possible.push_back(back(a.stage - 1));
  }
  return schedule;
}

}  // namespace tandem
