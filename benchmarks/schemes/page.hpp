// A comparison as a page that people look at: bars, timelines, tables.
#pragma once

#include <string>

#include "benchmarks/schemes/comparison.hpp"

namespace tandem {

// Self-contained HTML. `command`: what was typed.
std::string page_of(const Comparison& comparison, const std::string& command);

// Horizontal bars, a group a name, one bar a series; SVG. `unit` goes to the axis.
struct Bars {
  std::string title, unit;
  std::vector<std::string> names, series;
  std::vector<std::vector<double>> values;  // by series, then name; not finite: no bar
};
std::string svg_of(const Bars& bars);

}  // namespace tandem
