#include "parallel/pipeline/schedule.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <tuple>

#include "core/error.hpp"
#include "core/file.hpp"

namespace tandem {
namespace {

constexpr std::array<std::string_view, 11> op_names{"F",      "B",      "I",      "W",           "SEND_F",
                                                     "RECV_F", "SEND_B", "RECV_B", "REDUCE_GRAD", "UPDATE", "EXCHANGE"};
bool once_a_stage(Op op) { return op >= Op::reduce; }  // written without a micro-batch
constexpr int largest_number = 1 << 20;  // of stages and micro-batches: beyond it a file is not a schedule
constexpr std::size_t largest_file = std::size_t{256} << 20;  // bytes; 4096 ranks with 1024 micro-batches have 90 MB

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\"";
  const std::size_t begin = text.find_first_not_of(blank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

// Takes the number at the front of `text`; -1 if there is none.
int take_number(std::string_view& text) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0 || value >= largest_number) return -1;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

// B means I where a W of the same stage and micro-batch follows it.
void rename_halves(std::vector<Action>& program) {
  std::set<std::pair<int, int>> weights;
  for (const Action& a : program)
    if (a.op == Op::W) weights.emplace(a.stage, a.micro);
  for (Action& a : program)
    if (a.op == Op::B && weights.contains({a.stage, a.micro})) a.op = Op::I;
}

}  // namespace

std::string to_string(const Action& action) {
  const std::string_view op = op_names[static_cast<std::size_t>(action.op)];
  return once_a_stage(action.op) ? fmt::format("{}{}", action.stage, op) : fmt::format("{}{}{}", action.stage, op, action.micro);
}

Action parse_action(std::string_view text) {
  std::string_view rest = text;
  const int stage = take_number(rest);
  const std::string_view name = rest.substr(0, rest.find_first_of("0123456789"));
  rest.remove_prefix(name.size());
  const auto op = std::ranges::find(op_names, name);
  const Op known = op == op_names.end() ? Op::F : static_cast<Op>(op - op_names.begin());
  const int micro = once_a_stage(known) && rest.empty() ? 0 : take_number(rest);
  require(stage >= 0 && op != op_names.end() && micro >= 0 && rest.empty(),
          "schedule: '{}' is no action; expected stage, one of F, B, I, W, and micro-batch, as in 2F0", text);
  return {.op = known, .stage = stage, .micro = once_a_stage(known) ? 0 : micro};
}

std::string to_csv(const Schedule& schedule) {
  std::string csv;
  for (const auto& program : schedule.programs) {
    std::string_view comma = "";
    for (const Action& a : program) {
      csv += comma;
      csv += to_string(a);
      comma = ",";
    }
    csv += '\n';
  }
  return csv;
}

Schedule parse_schedule(std::string_view csv) {
  Schedule schedule{.stages = 0, .micros = 0};
  for (int line = 1; !csv.empty(); ++line) {
    const std::string_view row = csv.substr(0, csv.find('\n'));
    csv.remove_prefix(std::min(csv.size(), row.size() + 1));
    if (trimmed(row).starts_with('#') || (trimmed(row).empty() && csv.empty())) continue;
    auto& program = schedule.programs.emplace_back();
    int cell_number = 1;
    for (std::string_view rest = row;; ++cell_number) {
      const std::string_view cell = rest.substr(0, rest.find(','));
      if (!trimmed(cell).empty()) {
        try {
          program.push_back(parse_action(trimmed(cell)));
        } catch (const Error& error) {
          fail("line {}, cell {}: {}", line, cell_number, error.what());
        }
        schedule.stages = std::max(schedule.stages, program.back().stage + 1);
        schedule.micros = std::max(schedule.micros, program.back().micro + 1);
      }
      if (cell.size() == rest.size()) break;
      rest.remove_prefix(cell.size() + 1);
    }
    rename_halves(program);
  }
  require(schedule.stages > 0, "schedule: no action in it; expected a row for each rank, such as 0F0,0F1,0B0,0B1");
  return schedule;
}

Schedule read_schedule(const std::string& path) {
  const std::string csv = read_file(path, largest_file);  // whose errors name it already
  try {
    return parse_schedule(csv);
  } catch (const Error& error) {
    fail("{}: {}", path, error.what());
  }
}

std::vector<int> ranks_of_stages(const Schedule& schedule) {
  std::vector<int> rank_of(static_cast<std::size_t>(schedule.stages), -1);
  for (int rank = schedule.ranks(); rank-- > 0;)
    for (const Action& a : schedule.programs[static_cast<std::size_t>(rank)]) rank_of.at(static_cast<std::size_t>(a.stage)) = rank;
  for (std::size_t stage = 0; stage < rank_of.size(); ++stage) require(rank_of[stage] >= 0, "schedule: no rank runs stage {}", stage);
  return rank_of;
}

std::vector<int> live_micro_batches(const Schedule& schedule) {
  std::vector<int> most;
  for (const auto& program : schedule.programs) {
    int live = 0, peak = 0;
    for (const Action& a : program) {
      if (a.op == Op::F) peak = std::max(peak, ++live);
      if (a.op == Op::B || a.op == Op::W) --live;
    }
    most.push_back(peak);
  }
  return most;
}

std::vector<std::string_view> schedule_names() { return {"naive", "gpipe", "1f1b", "interleaved", "zb-h1"}; }

Schedule schedule_named(std::string_view name, int p, int m, int v) {
  if (name == "naive") return naive(p, m);
  if (name == "gpipe") return gpipe(p, m);
  if (name == "1f1b") return one_f_one_b(p, m);
  if (name == "interleaved") return interleaved(p, m, v);
  if (name == "zb-h1") return zero_bubble(p, m);
  throw UsageError(fmt::format("there is no schedule '{}'; there are {}", name, fmt::join(schedule_names(), ", ")));
}

std::vector<int> ScheduleChoice::ranks_of_stages(int p) const { return tandem::ranks_of_stages(of(p, given ? given->micros : 1)); }

ScheduleChoice schedule_choice(const std::string& name_or_file, int chunks) {
  ScheduleChoice choice{.name = name_or_file, .chunks = chunks};
  if (name_or_file.ends_with(".csv")) {
    choice.given = read_schedule(name_or_file);
  } else {
    schedule_named(name_or_file, 1, 1, chunks);  // throws what is wrong
  }
  return choice;
}

Schedule ScheduleChoice::of(int p, int m) const {
  if (!given) return schedule_named(name, p, m, chunks);
  if (given->ranks() != p) throw UsageError(fmt::format("the schedule is for {} ranks, the pipeline axis has {}", given->ranks(), p));
  if (given->micros != m) throw UsageError(fmt::format("the schedule is for {} micro-batches, this pipeline runs {}", given->micros, m));
  for (int rank = 0; rank < p; ++rank)
    if (given->programs[static_cast<std::size_t>(rank)].empty()) throw UsageError(fmt::format("the schedule gives rank {} nothing to do", rank));
  return *given;
}

}  // namespace tandem
