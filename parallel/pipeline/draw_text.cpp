#include <fmt/format.h>

#include <functional>

#include "core/error.hpp"
#include "parallel/pipeline/draw.hpp"
#include "parallel/pipeline/drawing.hpp"

namespace tandem {
namespace {

// Letter, and what fills the rest of a box.
struct Mark {
  char letter, line;
  bool number;
};

Mark mark_of(Op op) {
  switch (op) {
    case Op::F: return {'F', '-', true};
    case Op::B: return {'B', '=', true};
    case Op::I: return {'I', '=', true};
    case Op::W: return {'W', '-', true};
    case Op::reduce: return {'R', 'r', false};
    case Op::update: return {'U', '-', false};
    case Op::exchange: return {'x', 'x', false};
    default: return {'<', '<', false};  // messages
  }
}

// The shortest of computing, for equal boxes of equal actions.
double shortest(const Timeline& timeline) {
  double least = timeline.makespan();
  for (const auto& spans : timeline.ranks)
    for (const Span& span : spans)
      if (computes(span.what.op) && span.seconds() > 0) least = std::min(least, span.seconds());
  return least;
}

// A column shows what goes on in its middle; a span inside another hides it.
std::string row_of(const std::vector<Span>& spans, int columns, double column, const std::function<bool(Op)>& wanted) {
  std::string row(static_cast<std::size_t>(columns), '.');
  const std::map<int, int> places = places_of_stages(spans);
  for (const Span& span : spans) {
    if (!wanted(span.what.op)) continue;
    const auto at = [&](double time) { return std::clamp(static_cast<int>(std::ceil(time / column - 0.5 - 1e-9)), 0, columns); };
    const int begin = at(span.begin), end = at(span.end);
    if (begin >= end) continue;
    const Mark mark = mark_of(span.what.op);
    std::string box(1, mark.letter);
    if (places.at(span.what.stage) % 2 == 1 && mark.number) box[0] = static_cast<char>(box[0] - 'A' + 'a');
    const std::string number = fmt::to_string(span.what.micro);
    if (mark.number && std::ssize(number) + 1 <= end - begin) box += number;
    box.resize(static_cast<std::size_t>(end - begin), mark.line);
    row.replace(static_cast<std::size_t>(begin), box.size(), box);
  }
  return row;
}

std::string ruler(int columns, double column, double scale) {
  const double step = tick_distance(columns * column * scale, columns / 6.0);
  std::string line;
  for (int i = 0;; ++i) {
    const auto at = static_cast<std::size_t>(std::lround(i * step / scale / column));
    const std::string text = fmt::format("{:.6g}", i * step);
    if (at + text.size() > static_cast<std::size_t>(columns)) return line;
    if (!line.empty() && at <= line.size()) continue;  // no room for it
    line.resize(at, ' ');
    line += text;
  }
}

}  // namespace

std::string text_of(const Timeline& timeline, int width, const Drawing& drawing) {
  const double makespan = timeline.makespan();
  const std::size_t label = fmt::format("rank {}", std::max<std::size_t>(timeline.ranks.size(), 1) - 1).size();
  const int most = width - static_cast<int>(label) - 2;
  require(most >= 10, "drawing: a width of {} columns; expected {} or more", width, label + 12);
  std::string text = drawing.title.empty() ? "" : drawing.title + "\n";
  if (makespan > 0) {
    const double per_box = std::floor(most * shortest(timeline) / makespan);
    const double column = per_box >= 2 ? shortest(timeline) / per_box : makespan / most;
    const int columns = std::min(most, static_cast<int>(std::ceil(makespan / column - 1e-9)));
    text += fmt::format("{:{}}{}\n", "", label + 2, ruler(columns, column, drawing.scale));
    for (std::size_t rank = 0; rank < timeline.ranks.size(); ++rank) {
      const auto& spans = timeline.ranks[rank];
      text += fmt::format("{:<{}} |{}\n", fmt::format("rank {}", rank), label, row_of(spans, columns, column, [](Op op) { return op != Op::reduce; }));
      const std::string sums = row_of(spans, columns, column, [](Op op) { return op == Op::reduce; });
      if (sums.find('R') != std::string::npos) text += fmt::format("{:{}} |{}\n", "", label, sums);
    }
  }
  return text + fmt::format("makespan {:.6g}{}{}, idle {:.1f} %\n", makespan * drawing.scale, drawing.unit.empty() ? "" : " ", drawing.unit,
                            100 * timeline.idle_share());
}

}  // namespace tandem
