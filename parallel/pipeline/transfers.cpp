#include "parallel/pipeline/transfers.hpp"

#include "core/error.hpp"
#include "parallel/pipeline/validate.hpp"

namespace tandem {

Schedule with_transfers(const Schedule& schedule) {
  validate(schedule);
  const std::vector<int> rank_of = ranks_of_stages(schedule);
  const auto elsewhere = [&](int stage, int rank) {
    return stage >= 0 && stage < schedule.stages && rank_of[static_cast<std::size_t>(stage)] != rank;
  };
  std::vector<int> gradients_missing(rank_of.size(), schedule.micros);  // by stage: micro-batches

  Schedule result{.stages = schedule.stages, .micros = schedule.micros};
  for (int rank = 0; rank < schedule.ranks(); ++rank) {
    auto& program = result.programs.emplace_back();
    for (const Action& a : schedule.programs[static_cast<std::size_t>(rank)]) {
      require(a.op <= Op::W, "schedule: {} is in it already; expected one without messages", to_string(a));
      const bool forward = a.op == Op::F, gives_gradient = a.op == Op::B || a.op == Op::I;
      if (forward && elsewhere(a.stage - 1, rank)) program.push_back({Op::receive_F, a.stage, a.micro});
      if (gives_gradient && elsewhere(a.stage + 1, rank)) program.push_back({Op::receive_B, a.stage, a.micro});
      program.push_back(a);
      if (forward && elsewhere(a.stage + 1, rank)) program.push_back({Op::send_F, a.stage, a.micro});
      if (gives_gradient && elsewhere(a.stage - 1, rank)) program.push_back({Op::send_B, a.stage, a.micro});
      if ((a.op == Op::B || a.op == Op::W) && --gradients_missing[static_cast<std::size_t>(a.stage)] == 0) program.push_back({Op::reduce, a.stage, 0});
    }
  }
  return result;
}

Schedule without_transfers(Schedule schedule) {
  for (auto& program : schedule.programs) std::erase_if(program, [](const Action& a) { return a.op > Op::W; });
  return schedule;
}

std::int64_t count_messages(const Schedule& schedule) {
  const std::vector<int> rank_of = ranks_of_stages(schedule);
  std::int64_t boundaries = 0;
  for (std::size_t s = 1; s < rank_of.size(); ++s) boundaries += rank_of[s] != rank_of[s - 1];
  return 2 * boundaries * schedule.micros;
}

}  // namespace tandem
