#include "tasks/report/profile_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.hpp"
#include "tasks/report/html.hpp"

namespace tandem {
namespace {

double rate(double amount, const Cost& cost) { return cost.time.count() > 0 ? amount / cost.seconds() * 1e-9 : 0; }
double gflops(const Cost& cost) { return rate(cost.operations, cost); }
double gigabytes(const Cost& cost) { return rate(cost.bytes, cost); }

double share(const Cost& cost, const Profile& profile) {
  return profile.total().count() > 0 ? static_cast<double>(cost.time.count()) / static_cast<double>(profile.total().count())
                                     : 0;
}
double milliseconds(const Cost& cost, std::int64_t steps) { return cost.seconds() * 1e3 / static_cast<double>(steps); }

// A figure, or nothing where there is nothing to measure.
std::string figure(double value, std::string_view unit = "") {
  return value > 0 ? fmt::format("{:.1f}{}", value, unit) : "";
}

struct Line {
  std::string name, pass;
  Cost cost;
};

// All scopes of an operation together; the largest first.
std::vector<Line> by_operation(const Profile& profile) {
  std::vector<Line> lines;
  const auto add = [&](const std::string& op, std::string_view pass, const Cost& cost) {
    if (cost.time.count() == 0) return;
    const auto same = [&](const Line& line) { return line.name == op && line.pass == pass; };
    auto line = std::ranges::find_if(lines, same);
    if (line == lines.end()) line = lines.insert(line, {op, std::string(pass), {}});
    line->cost += cost;
  };
  for (const ProfileRow& row : profile.rows()) {
    add(row.op, row.op == "other" ? "" : "forward", row.forward);
    add(row.op, "backward", row.backward);
  }
  std::ranges::stable_sort(lines, std::ranges::greater{}, [](const Line& line) { return line.cost.time; });
  return lines;
}

// A rectangle of the picture. Its time is that of its children, or its own if it has none.
struct Box {
  std::string name, path, colour;
  Cost cost;
  std::vector<Box> children;

  Box& child(const std::string& child_name) {
    for (Box& box : children)
      if (box.name == child_name) return box;
    return children.emplace_back(Box{child_name, path.empty() ? child_name : path + " / " + child_name, "#eeeeee", {}, {}});
  }
};

void put(Box& parent, const std::string& name, const char* colour, const Cost& cost) {
  if (cost.time.count() == 0) return;
  Box& box = parent.child(name);
  box.colour = colour;
  box.cost += cost;
}

Box boxes(const Profile& profile) {
  Box root{"step", "", "#dddddd", {}, {}};
  for (const ProfileRow& row : profile.rows()) {
    Box* box = &root;
    Cost whole = row.forward;
    whole += row.backward;
    box->cost += whole;
    const auto descend = [&](const std::string& name) {
      box = &box->child(name);
      box->cost += whole;
    };
    for (std::size_t begin = 0; begin < row.scope.size();) {
      const std::size_t end = std::min(row.scope.find('.', begin), row.scope.size());
      descend(row.scope.substr(begin, end - begin));
      begin = end + 1;
    }
    if (row.op == "other") {
      put(*box, "other", "#bbbbbb", row.forward);
    } else {
      descend(row.op);
      put(*box, "forward", "#56b4e9", row.forward);
      put(*box, "backward", "#e69f00", row.backward);
    }
  }
  return root;
}

constexpr double left = 20, top = 64, width = 1160, row_height = 24, letter = 6.6;  // pixels; a letter of 11 px sans-serif

class Flame {
 public:
  Flame(const Profile& profile, std::int64_t steps) : profile_(profile), steps_(steps) {
    scale_ = width / std::max(1e-9, milliseconds(Cost{.time = profile.total()}, steps));
  }

  std::string draw(const std::string& title) {
    const Box root = boxes(profile_);
    draw(root, left, 0);
    const double axis = top + (deepest_ + 1) * row_height + 8;
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1:.0f}\" font-family=\"sans-serif\" "
        "font-size=\"11\">\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        "<text x=\"{2}\" y=\"24\" font-size=\"15\">{3}</text>\n"
        "<text x=\"{2}\" y=\"46\" fill=\"#555\">layers, their operations, <tspan fill=\"#0072b2\">forward (blue)</tspan> "
        "and <tspan fill=\"#a06000\">backward (orange)</tspan>; grey: other. Widths are times; point at a box for its "
        "figures.</text>\n"
        "{4}{5}</svg>\n",
        width + 2 * left, axis + 44, left, escape_html(title), body_, ticks(axis));
  }

 private:
  void draw(const Box& box, double x, int depth) {
    const double wide = milliseconds(box.cost, steps_) * scale_;
    if (wide < 0.2) return;  // finer than any screen shows
    deepest_ = std::max(deepest_, depth);
    const double y = top + depth * row_height;
    const auto letters = static_cast<std::size_t>(std::max(0.0, (wide - 6) / letter));
    std::string label = box.name.size() <= letters ? box.name : letters >= 3 ? box.name.substr(0, letters - 1) + "." : "";
    body_ += fmt::format(
        "<g><title>{}</title><rect x=\"{:.2f}\" y=\"{}\" width=\"{:.2f}\" height=\"{}\" fill=\"{}\" stroke=\"white\"/>",
        escape_html(tip(box)), x, y, wide, row_height - 1, box.colour);
    if (!label.empty()) body_ += fmt::format("<text x=\"{:.2f}\" y=\"{}\">{}</text>", x + 3, y + 16, escape_html(label));
    body_ += "</g>\n";
    for (const Box& child : box.children) {
      draw(child, x, depth + 1);
      x += milliseconds(child.cost, steps_) * scale_;
    }
  }

  std::string tip(const Box& box) const {
    std::string text = fmt::format("{}: {:.3f} ms a step, {:.1f} %", box.path.empty() ? box.name : box.path,
                                   milliseconds(box.cost, steps_), 100 * share(box.cost, profile_));
    if (box.cost.operations > 0) text += fmt::format(", {:.1f} GFLOP/s", gflops(box.cost));
    if (box.cost.bytes > 0) text += fmt::format(", {:.1f} GB/s", gigabytes(box.cost));
    return text;
  }

  // Some five to ten ticks at 1, 2 or 5 times a power of ten.
  std::string ticks(double y) const {
    const double span = width / scale_;
    double step = std::pow(10.0, std::floor(std::log10(span / 5)));
    if (span / step > 25)
      step *= 5;
    else if (span / step > 10)
      step *= 2;
    std::string text =
        fmt::format("<line x1=\"{0}\" x2=\"{1}\" y1=\"{2}\" y2=\"{2}\" stroke=\"black\"/>\n", left, left + width, y);
    for (int i = 0; i * step <= span; ++i)
      text += fmt::format(
          "<line x1=\"{0:.2f}\" x2=\"{0:.2f}\" y1=\"{1}\" y2=\"{2}\" stroke=\"black\"/>"
          "<text x=\"{0:.2f}\" y=\"{3}\" text-anchor=\"middle\">{4:g}</text>\n",
          left + i * step * scale_, y, y + 5, y + 17, i * step);
    return text + fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">time of a step [ms]</text>\n",
                              left + width / 2, y + 34);
  }

  const Profile& profile_;
  std::int64_t steps_;
  double scale_;  // pixels a millisecond
  int deepest_ = 0;
  std::string body_;
};

}  // namespace

std::string profile_table(const Profile& profile, std::int64_t steps, const Machine& machine) {
  require(steps >= 1, "profile: of no steps");
  const double peak = machine.flops * 1e-9, bandwidth = machine.bandwidth * 1e-9;
  std::string text = fmt::format("{:<16}{:<9}{:>8}{:>10}{:>8}{:>9}{:>9}{:>8}{:>9}\n", "operation", "pass", "calls", "ms",
                                 "share", "GFLOP/s", "of peak", "GB/s", "of peak");
  const auto percent = [](double part) { return figure(100 * part, " %"); };
  for (const auto& [name, pass, cost] : by_operation(profile))
    text += fmt::format("{:<16}{:<9}{:>8}{:>10.3f}{:>8}{:>9}{:>9}{:>8}{:>9}\n", name, pass,
                        cost.calls ? fmt::format("{:g}", static_cast<double>(cost.calls) / static_cast<double>(steps)) : "",
                        milliseconds(cost, steps), fmt::format("{:.1f} %", 100 * share(cost, profile)), figure(gflops(cost)),
                        percent(gflops(cost) / peak), figure(gigabytes(cost)), percent(gigabytes(cost) / bandwidth));
  text += fmt::format("{:<33}{:>10.3f}{:>8}   peaks: {:.1f} GFLOP/s, {:.1f} GB/s\n\n", "a step",
                      milliseconds(Cost{.time = profile.total()}, steps), "100.0 %", peak, bandwidth);

  // Most layers have some microseconds of their own: one line for all that is less than a thousandth of the step.
  std::size_t widest = 5;
  for (const ProfileRow& row : profile.rows()) widest = std::max(widest, row.scope.size());
  const auto line = [&](const std::string& scope, const std::string& op, const Cost& forward, const Cost& backward) {
    Cost both = forward;
    both += backward;
    text += fmt::format("{:<{}}  {:<16}{:>13.3f}{:>9}{:>15}{:>9}{:>9}\n", scope, widest, op, milliseconds(forward, steps),
                        figure(gflops(forward)), backward.calls ? fmt::format("{:.3f}", milliseconds(backward, steps)) : "",
                        figure(gflops(backward)), fmt::format("{:.1f} %", 100 * share(both, profile)));
  };
  text += fmt::format("{:<{}}  {:<16}{:>13}{:>9}{:>15}{:>9}{:>9}\n", "layer", widest, "operation", "forward [ms]", "GFLOP/s",
                      "backward [ms]", "GFLOP/s", "share");
  Cost small_forward, small_backward;
  for (const auto& [scope, op, forward, backward] : profile.rows()) {
    if (share(forward, profile) + share(backward, profile) >= 0.001) {
      line(scope, op, forward, backward);
    } else {
      small_forward += forward;
      small_backward += backward;
    }
  }
  line("", "less than 0.1 %", small_forward, small_backward);
  return text;
}

std::string profile_picture(const Profile& profile, std::int64_t steps, const std::string& title) {
  require(steps >= 1, "profile: of no steps");
  return Flame(profile, steps).draw(title);
}

}  // namespace tandem
