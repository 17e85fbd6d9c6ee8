// A plan in words and as a table.
#include <algorithm>

#include "core/error.hpp"
#include "parallel/planner.hpp"

namespace tandem {
namespace {

std::string name(const Candidate& c) { return to_string(c.scheme, {.micro_batches = 0}); }
std::string ms(Seconds seconds) { return seconds >= 10 ? fmt::format("{:.1f} s", seconds) : fmt::format("{:.3g} ms", 1e3 * seconds); }
double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

// Where its ranks' time goes, and their memory.
std::string portrait(const Candidate& c) {
  const Prediction& p = c.prediction;
  std::string text = fmt::format("its ranks compute {:.0f} % of the time", percent(p.computing, p.step));
  if (c.scheme.grid.pipeline > 1)
    text += fmt::format(", wait {:.0f} % for the pipeline to fill and drain ({} stages, {} micro-batches)", percent(p.bubble, p.step),
                        c.scheme.grid.pipeline * c.scheme.chunks, c.scheme.micro_batches_of_a_rank());
  else if (percent(p.bubble, p.step) >= 0.5)
    text += fmt::format(", wait {:.0f} %", percent(p.bubble, p.step));
  text += fmt::format(", and {:.1f} % is communication that nothing hides", percent(p.exposed_communication, p.step));
  return text;
}

std::string memory(const MemoryNeed& need) {
  return fmt::format("{} (parameters {}, gradients {}, moments {}, activations {}, under way {})", bytes_text(need.total()), bytes_text(need.parameters),
                     bytes_text(need.gradients), bytes_text(need.moments), bytes_text(need.activations), bytes_text(need.passing));
}

// Why `other` takes longer than `best`: the part of the step that grows most.
std::string difference(const Candidate& best, const Candidate& other) {
  const Prediction &a = best.prediction, &b = other.prediction;
  const double more_computing = b.computing - a.computing, more_waiting = b.bubble - a.bubble, more_messages = b.exposed_communication - a.exposed_communication;
  if (other.scheme.grid.size() < best.scheme.grid.size() && more_computing >= std::max(more_waiting, more_messages))
    return fmt::format("only {} ranks of {} work, {} each instead of {}", other.scheme.grid.size(), best.scheme.grid.size(), ms(b.computing), ms(a.computing));
  if (more_messages >= std::max(more_computing, more_waiting))
    return fmt::format("messages cost it {} that nothing hides, instead of {} ({} a step over all ranks, instead of {})", ms(b.exposed_communication),
                       ms(a.exposed_communication), bytes_text(static_cast<double>(b.traffic.bytes)), bytes_text(static_cast<double>(a.traffic.bytes)));
  if (more_waiting >= more_computing)
    return fmt::format("its ranks wait {} for the pipeline instead of {}{}", ms(b.bubble), ms(a.bubble),
                       other.scheme.grid.pipeline > 1 ? " (stages of unequal time, or too few micro-batches for their number)" : "");
  return fmt::format("its ranks compute {} instead of {}: not all of a layer's work divides, small micro-batches run slower, and some is done twice",
                     ms(b.computing), ms(a.computing));
}

}  // namespace

std::string explain(const PlanResult& plan, const CostProfile& profile, const PlanRequest& request) {
  std::string text;
  if (plan.fitting.empty()) {
    text = fmt::format("Nothing fits: no scheme on {} ranks keeps a rank within {}.\n", request.ranks, bytes_text(request.memory));
    const auto least = std::ranges::min_element(plan.refused, {}, [](const Candidate& c) { return c.prediction.memory.total(); });
    if (least != plan.refused.end())
      text += fmt::format("The least is {}: it {}.\nMore ranks, a smaller batch or more micro-batches would help.\n", name(*least), least->refused);
    return text;
  }
  const Candidate& best = plan.fitting.front();
  text = fmt::format("{}: {} a step of {} rows, {:.0f} rows/s, {:.1f} times one rank, because {}. A rank needs {}{}.\n", name(best), ms(best.prediction.step),
                     request.batch, best.prediction.images_per_second, plan.serial.prediction.step / best.prediction.step, portrait(best),
                     memory(best.prediction.memory), request.memory > 0 ? fmt::format(" of {}", bytes_text(request.memory)) : "");
  if (best.scheme.grid.size() < request.ranks)
    text += fmt::format("It leaves {} of {} ranks idle: with more, what they exchange costs more than what they compute.\n",
                        request.ranks - best.scheme.grid.size(), request.ranks);
  if (plan.fitting.size() > 1) {
    const Candidate& next = plan.fitting[1];
    const double slower = 100 * (next.prediction.step / best.prediction.step - 1);
    text += fmt::format("The next best, {}, is {} slower, because {}.\n", name(next), slower < 0.5 ? "less than 1 %" : fmt::format("{:.0f} %", slower),
                        difference(best, next));
  }
  if (!plan.refused.empty() && plan.refused.front().prediction.step < best.prediction.step)
    text += fmt::format("{} would take {}, but it {}.\n", name(plan.refused.front()), ms(plan.refused.front().prediction.step), plan.refused.front().refused);
  for (const std::string& assumed : profile.machine.assumed) text += fmt::format("Not measured but assumed: {}.\n", assumed);
  text += fmt::format("{} schemes were simulated, {} more cannot come within {} times the best.\n", plan.predicted, plan.bounded, request.interest);
  return text;
}

std::string plan_table(const PlanResult& plan, std::size_t rows) {
  std::string text = fmt::format("{:<44}{:>11}{:>10}{:>9}{:>8}{:>10}{:>10}{:>11}\n", "scheme", "step", "rows/s", "speed-up", "idle", "messages", "bytes", "memory");
  const auto line = [&](const Candidate& c) {
    const Prediction& p = c.prediction;
    text += fmt::format("{:<44}{:>11}{:>10.0f}{:>9.1f}{:>7.0f}%{:>10}{:>10}{:>11}", name(c), ms(p.step), p.images_per_second, plan.serial.prediction.step / p.step,
                        100 * p.idle_share, p.traffic.messages, bytes_text(static_cast<double>(p.traffic.bytes)), bytes_text(p.memory.total()));
    text += c.refused.empty() ? "\n" : fmt::format("   refused: {}\n", c.refused);
  };
  for (std::size_t i = 0; i < std::min(rows, plan.fitting.size()); ++i) line(plan.fitting[i]);
  for (std::size_t i = 0; i < std::min((rows + 1) / 2, plan.refused.size()); ++i) line(plan.refused[i]);
  return text;
}

}  // namespace tandem
