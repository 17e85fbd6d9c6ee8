#include "parallel/pipeline/validate.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace tandem {
namespace {

// What a rank has done so far of one stage and one micro-batch.
struct Progress {
  bool forward = false, whole = false, input = false, weight = false;
};

class Problems {
 public:
  template <class... Args>
  void add(fmt::format_string<Args...> text, Args&&... values) {
    if (++count_ <= 5) text_ += "\n  " + fmt::format(text, std::forward<Args>(values)...);
  }
  void raise() const {
    if (count_ > 0) fail("schedule: {} problem{}:{}{}", count_, count_ == 1 ? "" : "s", text_, count_ > 5 ? "\n  ..." : "");
  }

 private:
  int count_ = 0;
  std::string text_;
};

}  // namespace

void validate(const Schedule& schedule) {
  require(schedule.stages > 0 && schedule.micros > 0 && schedule.ranks() > 0, "schedule: {} stages, {} micro-batches, {} ranks; each must be 1 or more",
          schedule.stages, schedule.micros, schedule.ranks());
  const auto micros = static_cast<std::size_t>(schedule.micros);
  // Before memory is taken for each pair of stage and micro-batch: a file of one line may name the millionth of both.
  const std::size_t pairs = static_cast<std::size_t>(schedule.stages) * micros;
  std::size_t actions = 0;
  for (const auto& program : schedule.programs) actions += program.size();
  require(pairs <= (1 << 16) || actions >= 2 * pairs, "schedule: {} actions for {} stages and {} micro-batches; expected F and B of each, {}", actions,
          schedule.stages, schedule.micros, 2 * pairs);
  std::vector<Progress> progress(pairs);
  std::vector<int> rank_of(static_cast<std::size_t>(schedule.stages), -1);
  Problems problems;

  for (int rank = 0; rank < schedule.ranks(); ++rank)
    for (const Action& a : schedule.programs[static_cast<std::size_t>(rank)]) {
      if (a.stage < 0 || a.stage >= schedule.stages || a.micro < 0 || a.micro >= schedule.micros) {
        problems.add("rank {}: {} is beyond {} stages and {} micro-batches", rank, to_string(a), schedule.stages, schedule.micros);
        continue;
      }
      int& owner = rank_of[static_cast<std::size_t>(a.stage)];
      if (owner >= 0 && owner != rank) problems.add("rank {}: {}, but stage {} is on rank {}", rank, to_string(a), a.stage, owner);
      owner = rank;
      Progress& done = progress[static_cast<std::size_t>(a.stage) * micros + static_cast<std::size_t>(a.micro)];
      const auto once = [&](bool& flag) {
        if (flag) problems.add("rank {}: {} comes twice", rank, to_string(a));
        flag = true;
      };
      switch (a.op) {
        case Op::F: once(done.forward); break;
        case Op::B:
        case Op::I:
          once(a.op == Op::B ? done.whole : done.input);
          if (!done.forward) problems.add("rank {}: {} before {}", rank, to_string(a), to_string({Op::F, a.stage, a.micro}));
          if (done.whole && done.input) problems.add("rank {}: both B and I of stage {}, micro-batch {}", rank, a.stage, a.micro);
          break;
        case Op::W:
          once(done.weight);
          if (!done.input) problems.add("rank {}: {} before {}", rank, to_string(a), to_string({Op::I, a.stage, a.micro}));
          break;
        default: break;
      }
    }

  for (int stage = 0; stage < schedule.stages; ++stage)
    for (int micro = 0; micro < schedule.micros; ++micro) {
      const Progress& done = progress[static_cast<std::size_t>(stage) * micros + static_cast<std::size_t>(micro)];
      if (!done.forward) problems.add("{} is missing", to_string({Op::F, stage, micro}));
      if (!done.whole && !done.input) problems.add("{} is missing", to_string({Op::B, stage, micro}));
      if (done.input && !done.weight) problems.add("{} is missing after {}", to_string({Op::W, stage, micro}), to_string({Op::I, stage, micro}));
    }
  problems.raise();
}

std::string out_of_order(const Schedule& schedule) {
  std::vector<int> latest(static_cast<std::size_t>(schedule.stages), -1);
  for (const auto& program : schedule.programs)
    for (const Action& a : program) {
      if (a.op != Op::B && a.op != Op::W) continue;
      int& last = latest[static_cast<std::size_t>(a.stage)];
      if (a.micro < last) return to_string(a);
      last = a.micro;
    }
  return {};
}

}  // namespace tandem
