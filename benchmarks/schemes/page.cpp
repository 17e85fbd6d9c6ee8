#include "benchmarks/schemes/page.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "parallel/pipeline/draw.hpp"
#include "parallel/pipeline/drawing.hpp"
#include "tasks/report/html.hpp"
#include "tasks/report/plot.hpp"

namespace tandem {
namespace {

std::string number(double value) { return std::abs(value) < 100 ? fmt::format("{:.1f}", value) : fmt::format("{:.0f}", value); }

std::vector<double> of_rows(const Comparison& c, const std::function<double(const SchemeRow&)>& value) {
  std::vector<double> values;
  for (const SchemeRow& row : c.rows) values.push_back(value(row));
  return values;
}

std::vector<std::string> names_of(const Comparison& c) {
  std::vector<std::string> names;
  for (const SchemeRow& row : c.rows) names.push_back(row.name);
  return names;
}

constexpr double mega = 1e-6, milli = 1e3;

void add_times(Page& page, const Comparison& c) {
  page.section("Time of a step");
  page.figures({{svg_of(Bars{.title = fmt::format("{}, batch {}: time of a step", c.model, c.batch), .unit = "ms", .names = names_of(c),
                             .series = {"measured (median)", "predicted from layers and links"},
                             .values = {of_rows(c, [](const SchemeRow& r) { return milli * r.step(); }),
                                        of_rows(c, [](const SchemeRow& r) { return milli * r.predicted.step; })}}),
                 "Shorter is faster. The prediction knows the times of single layers and messages, none of a scheme."}});
  Table table{.align = "lrrrrrrrrrrl", .header = {"scheme", "ranks", "M", "step [ms]", "predicted [ms]", "images/s", "speed-up", "of alone", "idle", "messages",
                                                 "MB sent", "weights"}, .rows = {}};
  for (const SchemeRow& row : c.rows) {
    table.rows.push_back({row.name, fmt::to_string(row.ranks), fmt::to_string(row.scheme.micro_batches), number(milli * row.step()),
                          number(milli * row.predicted.step), number(row.images_per_second(c.batch)), fmt::format("{:.2f}", c.serial_seconds() / row.step()),
                          fmt::format("{:.0f} %", 100 * row.alone_share), fmt::format("{:.0f} %", 100 * row.measured.idle_share()), fmt::to_string(row.traffic.messages),
                          number(mega * static_cast<double>(row.traffic.bytes)), row.hash});
  }
  page.table(table);
  page.paragraph("Speed-up: against the serial row. Of alone: images per second, against as many ranks that train each for itself at the same time, which is as fast "
                 "as this machine lets them be. Messages and bytes: what all ranks hand to MPI in a step; memory that ranks share carries none. Weights: hash of all "
                 "parameters and buffers after the first " + fmt::to_string(hash_steps) + " steps; equal hashes mean equal bits.");
}

void add_timelines(Page& page, const Comparison& c) {
  page.section("What each rank does");
  page.paragraph("One step of each scheme: above, as it was measured; below, as it was predicted. F: forward, B: backward, I and W: its halves, RECV: waiting for a "
                 "message; the number is the micro-batch.");
  for (const SchemeRow& row : c.rows) {
    const Drawing drawing{.title = row.name, .unit = "ms", .scale = milli};
    const Timeline& predicted = row.predicted.timeline;  // of one copy of the model
    if (row.measured.ranks.size() == predicted.ranks.size())
      page.figures({{svg_of(row.measured, predicted, drawing), fmt::format("{}: measured, and below it predicted.", row.name)}});
    else
      page.figures({{svg_of(row.measured, drawing), fmt::format("{}: measured.", row.name)},
                    {svg_of(predicted, drawing), fmt::format("{}: predicted, one copy of the model.", row.name)}});
  }
}

void add_memory(Page& page, const Comparison& c) {
  page.section("Memory");
  page.figures({{svg_of(Bars{.title = "Memory of the rank that needs most", .unit = "MB", .names = names_of(c),
                             .series = {"parameters, gradients, moments", "activations, most at a time", "activations, predicted"},
                             .values = {of_rows(c, [](const SchemeRow& r) { return mega * r.memory.parameters; }),
                                        of_rows(c, [](const SchemeRow& r) { return mega * r.memory.activations; }),
                                        of_rows(c, [](const SchemeRow& r) { return mega * r.predicted.memory.activations; })}}),
                 "Counted by the memory pool: what stays between steps, and how much more a step needs."}});
}

void add_learning(Page& page, const Comparison& c) {
  if (c.loss == 0) return;
  page.section("Time to a given loss");
  Table table{.align = "lrr", .header = {"scheme", "steps", "seconds"}, .rows = {}};
  for (const SchemeRow& row : c.rows)
    table.rows.push_back({row.name, row.steps_to_loss ? fmt::to_string(row.steps_to_loss) : "not reached",
                          row.steps_to_loss ? fmt::format("{:.2f}", row.seconds_to_loss) : "–"});
  page.table(table);
  page.paragraph(fmt::format("From the same weights to a mean loss of {} on the batch.", c.loss));
}

void add_scaling(Page& page, const Comparison& c) {
  if (c.scaling.empty()) return;
  page.section("Scaling");
  const auto plot = [&](bool weak) {
    Plot p{.title = weak ? "Weak scaling: the batch grows with the ranks" : "Strong scaling: one batch", .x_label = "ranks", .y_label = "images per second",
           .curves = {}, .y_from_zero = true};
    for (const std::string_view kind : {"data", "pipeline"}) {
      Curve curve{.name = std::string(kind)};
      for (const ScalingPoint& point : c.scaling)
        if (point.weak == weak && point.kind == kind) curve.x.push_back(point.ranks), curve.y.push_back(point.images_per_second);
      p.curves.push_back(std::move(curve));
    }
    return svg(p);
  };
  page.figures({{plot(false), "The same batch and micro-batches on more ranks."}, {plot(true), "As much work for each rank, whatever their number."}});
}

}  // namespace

std::string svg_of(const Bars& bars) {
  constexpr std::array colours{"#0072b2", "#e69f00", "#8c8c8c"};  // Okabe and Ito's, told apart by all
  constexpr double bar = 11, gap = 8, left = 230, width = 900, right = 60, top = 62;
  const std::size_t series = bars.series.size();
  const double group = bar * static_cast<double>(series) + gap, bottom = top + group * static_cast<double>(bars.names.size());
  double longest = 0;
  for (const auto& values : bars.values)
    for (const double v : values)
      if (std::isfinite(v)) longest = std::max(longest, v);
  if (longest <= 0) longest = 1;
  const double scale = (width - left - right) / longest;

  std::string svg = fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {:.0f}\" width=\"{}\" height=\"{:.0f}\" font-family=\"sans-serif\" "
                                "font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<text x=\"12\" y=\"22\" font-size=\"15\" "
                                "font-weight=\"bold\" fill=\"#1a1a1a\">{}</text>\n",
                                width, bottom + 40, width, bottom + 40, escape_html(bars.title));
  double x = 12;
  for (std::size_t s = 0; s < series; ++s) {
    svg += fmt::format("<rect x=\"{:.0f}\" y=\"34\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{:.0f}\" y=\"44\" fill=\"#333333\">{}</text>\n", x, colours[s % 3],
                       x + 17, escape_html(bars.series[s]));
    x += 40 + 7 * static_cast<double>(bars.series[s].size());
  }
  const double step = tick_distance(longest, 8);
  for (double v = 0; v <= longest * 1.0001; v += step)
    svg += fmt::format("<line x1=\"{0:.1f}\" y1=\"{1:.0f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\" stroke=\"#dddddd\"/><text x=\"{0:.1f}\" y=\"{3:.1f}\" text-anchor=\"middle\" "
                       "fill=\"#555555\">{4:g}</text>\n", left + v * scale, top - 4, bottom, bottom + 14, v);
  svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"middle\" fill=\"#333333\">{}</text>\n", left + (width - left - right) / 2, bottom + 32,
                     escape_html(bars.unit));
  for (std::size_t i = 0; i < bars.names.size(); ++i) {
    const double y = top + group * static_cast<double>(i);
    svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\" fill=\"#1a1a1a\">{}</text>\n", left - 8, y + bar * static_cast<double>(series) / 2 + 4,
                       escape_html(bars.names[i]));
    for (std::size_t s = 0; s < series; ++s) {
      const double v = bars.values[s][i];
      if (!std::isfinite(v)) continue;
      const double at = y + bar * static_cast<double>(s);
      svg += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/><text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"10\" "
                         "fill=\"#333333\">{}</text>\n", left, at, std::max(0.5, v * scale), bar - 1, colours[s % 3], left + v * scale + 4, at + bar - 2, number(v));
    }
  }
  return svg + "</svg>\n";
}

std::string page_of(const Comparison& c, const std::string& command) {
  Page page(fmt::format("Parallel schemes side by side: {} on {} ranks", c.model, c.ranks));
  if (!c.rows.empty()) {
    const SchemeRow& fastest = *std::ranges::min_element(c.rows, {}, &SchemeRow::step);
    std::set<std::string> hashes;
    int promised = 0;
    for (const SchemeRow& row : c.rows)
      if (row.same_bits && row.scheme.micro_batches == c.defaults.micro_batches) hashes.insert(row.hash), ++promised;
    page.highlights({{"fastest", fastest.name}, {"images per second", number(fastest.images_per_second(c.batch))},
                     {"speed-up over serial", fmt::format("{:.2f}", c.serial_seconds() / fastest.step())},
                     {"schemes with the serial bits", fmt::format("{}{}", promised, hashes.size() > 1 ? ", NOT equal" : promised > 1 ? ", all equal" : "")}});
  }
  page.paragraph(fmt::format("One model, one batch, the same starting weights, trained by each scheme in turn. Batch {} in M = {} micro-batches; {} rank(s) of {} "
                             "thread(s); medians of {} rounds in which the schemes take turns.", c.batch, c.defaults.micro_batches, c.ranks, c.threads, c.rounds));
  add_times(page, c);
  add_timelines(page, c);
  add_memory(page, c);
  add_learning(page, c);
  add_scaling(page, c);
  page.section("How it was made");
  page.facts({{"command", command}, {"cost profile", c.machine}, {"images/s of a rank that trains alone while all do", number(c.images_alone)}});
  return page.str();
}

}  // namespace tandem
