#include "parallel/scheme.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "core/error.hpp"

namespace tandem {
namespace {

// The text between separators, without blanks around it.
std::vector<std::string_view> cut(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  while (true) {
    const std::size_t end = std::min(text.find(separator), text.size());
    std::string_view piece = text.substr(0, end);
    while (piece.starts_with(' ')) piece.remove_prefix(1);
    while (piece.ends_with(' ')) piece.remove_suffix(1);
    if (!piece.empty()) pieces.push_back(piece);
    if (end == text.size()) return pieces;
    text.remove_prefix(end + 1);
  }
}

struct Number {
  std::string_view word;
  int Scheme::*value;
  int least, most;
};
constexpr int most_micro_batches = 1 << 20;
constexpr Number numbers[]{{"v", &Scheme::chunks, 1, 1024}, {"shard", &Scheme::shard, 0, 3}, {"m", &Scheme::micro_batches, 1, most_micro_batches}};

int number_in(std::string_view text, const Number& number, std::string_view scheme) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < number.least || value > number.most)
    throw UsageError(fmt::format("scheme '{}': {} is '{}'; expected a number from {} to {}", scheme, number.word, text, number.least, number.most));
  return value;
}

bool is_schedule(std::string_view word) {
  const std::vector<std::string_view> names = schedule_names();
  return std::ranges::find(names, word) != names.end();
}

[[noreturn]] void unknown(std::string_view word, std::string_view scheme) {
  throw UsageError(fmt::format("scheme '{}': what is '{}'? There are serial, a grid such as data=2,pipeline=2, a schedule ({}), v=N, shard=0 to 3, m=N and "
                               "recompute", scheme, word, fmt::join(schedule_names(), ", ")));
}

}  // namespace

Scheme parse_scheme(std::string_view text, const Scheme& defaults) {
  Scheme scheme = defaults;
  std::set<std::string_view> said;
  const auto once = [&](std::string_view what) {
    if (!said.insert(what).second) throw UsageError(fmt::format("scheme '{}': {} is said twice", text, what));
  };
  for (const std::string_view word : cut(text, ' ')) {
    const std::size_t equals = std::min(word.find('='), word.size());
    const std::string_view name = word.substr(0, equals), value = word.substr(std::min(equals + 1, word.size()));
    const auto number = std::ranges::find(numbers, name, &Number::word);
    if (number != std::end(numbers)) {
      once(name);
      scheme.*number->value = number_in(value, *number, text);
    } else if (word == "recompute" || word == "recompute=0") {
      once("recompute");
      scheme.recompute = word == "recompute";
    } else if (is_schedule(word)) {
      once("the schedule");
      scheme.schedule = word;
    } else if (word == "serial" || equals < word.size()) {
      once("the grid");
      scheme.grid = grid_shape(word);
    } else {
      unknown(word, text);
    }
  }
  if (scheme.schedule != "interleaved" && !said.contains("v")) scheme.chunks = 1;
  if (scheme.schedule == "interleaved" && !said.contains("v") && scheme.chunks == 1) scheme.chunks = 2;
  check(scheme);
  return scheme;
}

std::vector<Scheme> parse_schemes(std::string_view text, const Scheme& defaults) {
  std::vector<Scheme> schemes;
  for (const std::string_view one : cut(text, ';')) schemes.push_back(parse_scheme(one, defaults));
  if (schemes.empty()) throw UsageError("no scheme is named; expected some, separated by ';', as in \"serial; data=2; pipeline=2 1f1b\"");
  return schemes;
}

std::string to_string(const Scheme& scheme, const Scheme& defaults) {
  std::string text = to_string(scheme.grid);
  if (scheme.grid.pipeline > 1 || scheme.schedule != defaults.schedule) text += " " + scheme.schedule;
  if (scheme.schedule == "interleaved") text += fmt::format(" v={}", scheme.chunks);
  if (scheme.shard != defaults.shard) text += fmt::format(" shard={}", scheme.shard);
  if (scheme.micro_batches != defaults.micro_batches) text += fmt::format(" m={}", scheme.micro_batches);
  if (scheme.recompute != defaults.recompute) text += scheme.recompute ? " recompute" : " recompute=0";
  return text;
}

void check(const Scheme& scheme) {
  const auto refuse = [&](bool wrong, std::string_view why) {
    if (wrong) throw UsageError(fmt::format("scheme '{}': {}", to_string(scheme), why));
  };
  require_ranks(scheme.grid, static_cast<int>(scheme.grid.size()));
  refuse(scheme.grid.data > scheme.micro_batches,
         fmt::format("{} replicas for {} micro-batches: each needs at least one; m={} would do", scheme.grid.data, scheme.micro_batches, scheme.grid.data));
  refuse(scheme.chunks > 1 && scheme.schedule != "interleaved", fmt::format("only the schedule interleaved has several chunks a rank (v={})", scheme.chunks));
  refuse(scheme.shard == 3 && scheme.grid.pipeline > 1 && scheme.schedule != "naive",
         "stage 3 brings a layer's parameters together pass by pass, and this schedule has several micro-batches under way. The naive schedule goes "
         "with it, and stages 1 and 2 with all");
  refuse(scheme.shard == 3 && scheme.recompute, "stage 3 counts the passes of each layer, and recomputation has one more. Stages 1 and 2 go with it");
}

}  // namespace tandem
