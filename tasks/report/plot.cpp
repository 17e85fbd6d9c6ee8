#include "tasks/report/plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "core/error.hpp"
#include "tasks/report/gnuplot.hpp"

namespace tandem {
namespace {

// Seven colours that people with any kind of colour blindness tell apart. The yellow of the original eight is left out,
// since it fades on white. Source: Okabe and Ito, "Color Universal Design", 2008.
constexpr std::array curve_colors = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"};

// gnuplot's filled point shapes, so that curves differ also in black and white: circle, square, up, down, diamond.
constexpr std::array point_types = {7, 5, 9, 11, 13};

constexpr std::string_view text_style = "set tics textcolor '#333333'\nset title font ',14' textcolor '#111111'\n";

// The letters of UTF-8 text: all bytes but those that continue one (10xxxxxx).
std::size_t letters(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

std::size_t longest(const std::vector<std::string>& texts) {
  std::size_t most = 0;
  for (const std::string& text : texts) most = std::max(most, letters(text));
  return most;
}

// The width of a letter of the 12-pixel font, roughly: only the reader's browser knows better.
constexpr int letter_width = 7;

// ---------------------------------------------------------------------------------------------------------------- curves

// A curve's points without what cannot be drawn; NaN stands where the line is interrupted. Near the largest double (1.8e308)
// the ends of an axis, which gnuplot rounds up, would overflow.
Curve drawable(const Plot& plot, Curve curve) {
  require(curve.x.size() == curve.y.size(), "curve '{}': {} x but {} y", curve.name, curve.x.size(), curve.y.size());
  const auto good = [](double v, bool log) { return std::abs(v) < 1e300 && (!log || v > 0); };  // false for NaN
  for (std::size_t i = 0; i < curve.x.size(); ++i)
    if (!good(curve.x[i], plot.log_x) || !good(curve.y[i], plot.log_y)) curve.x[i] = curve.y[i] = std::nan("");
  return curve;
}

// The finite values of one axis over all curves.
std::vector<double> values(const std::vector<Curve>& curves, std::vector<double> Curve::*axis) {
  std::vector<double> all;
  for (const Curve& curve : curves)
    std::ranges::copy_if(curve.*axis, std::back_inserter(all), [](double v) { return std::isfinite(v); });
  return all;
}

// gnuplot finds good ticks, but needs help with the ends of an axis where there is no value, or only one.
std::string axis(char name, const std::vector<double>& values, bool log) {
  std::string script = log ? fmt::format("set logscale {}\n", name) : "";
  if (values.empty()) return script + fmt::format("set {}range [1:10]\n", name);
  const auto [low, high] = std::ranges::minmax(values);
  if (low == high) {
    const double room = low == 0 ? 1 : std::abs(low) / 2;
    return script + fmt::format("set {}range [{}:{}]\n", name, low - room, low + room);
  }
  // Along x the curves fill the picture but for a margin; along y the axis goes on to the next tick.
  const double margin = 0.03 * (high - low);
  if (name == 'x' && !log) script += fmt::format("set xrange [{}:{}]\n", low - margin, high + margin);
  return script;
}

// Epochs and ranks are counted: between 1 and 3 there is no tick at 1.5.
bool few_whole_numbers(const std::vector<double>& values) {
  return !values.empty() && std::ranges::max(values) - std::ranges::min(values) <= 12 &&
         std::ranges::all_of(values, [](double v) { return v == std::floor(v); });
}

std::string data_block(std::size_t index, const Curve& curve) {
  std::string block = fmt::format("$curve{} << END\n", index);
  for (std::size_t i = 0; i < curve.x.size(); ++i)
    block += std::isnan(curve.x[i]) ? "NaN NaN\n" : fmt::format("{} {}\n", curve.x[i], curve.y[i]);
  return block + "END\n";
}

// How one curve looks. One without points is a mere entry of the legend, since gnuplot would drop it.
std::string plot_element(std::size_t index, const Curve& curve) {
  const bool empty = std::ranges::all_of(curve.x, [](double v) { return std::isnan(v); });
  return fmt::format("{} with linespoints linewidth 2 linecolor '{}' pointtype {} pointsize 0.5 title {}",
                     empty ? "keyentry" : fmt::format("$curve{} using 1:2", index),
                     curve_colors[index % curve_colors.size()], point_types[index % point_types.size()],
                     gnuplot_quote(curve.name));
}

// ------------------------------------------------------------------------------------------------------------- heat maps

// A name that would take half of the picture is cut.
std::string shortened(const std::string& name) {
  constexpr std::size_t most = 28;
  if (letters(name) <= most) return name;
  std::size_t end = 0;
  while (letters(std::string_view(name).substr(0, end + 1)) <= most) ++end;
  return name.substr(0, end) + "…";
}

// The names of the rows or columns. Here alone gnuplot takes a text for a number format, in which %% stands for %.
std::string name_tics(char axis, const std::vector<std::string>& names) {
  std::string list;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::string name = names[i];
    for (std::size_t at = 0; (at = name.find('%', at)) != std::string::npos; at += 2) name.insert(at, 1, '%');
    list += fmt::format("{}{} {}", i ? ", " : "", gnuplot_quote(name), i);
  }
  return fmt::format("set {}tics scale 0 ({})\n", axis, list);
}

}  // namespace

std::string svg(const Plot& plot) {
  std::vector<Curve> curves;
  std::vector<std::string> names;
  for (const Curve& curve : plot.curves) {
    curves.push_back(drawable(plot, curve));
    names.push_back(curve.name);
  }

  // The legend stands below in as many columns as fit; each further row of it makes the picture higher, not the axes lower.
  const auto n = static_cast<int>(curves.size());
  const int entry_width = letter_width * static_cast<int>(longest(names)) + 60;
  const int columns = std::clamp(plot.width / entry_width, 1, std::max(n, 1));
  const int legend_rows = (n + columns - 1) / columns;

  std::string script(text_style);
  script += fmt::format("set title {}\nset xlabel {} textcolor '#333333' offset 0,0.3\nset ylabel {} textcolor '#333333'\n",
                        gnuplot_quote(plot.title), gnuplot_quote(plot.x_label), gnuplot_quote(plot.y_label));
  script += fmt::format(
      "set border 3 linecolor '#999999'\n"
      "set tics nomirror scale 0.5\n"
      "set grid linetype 1 linecolor '#e5e5e5' linewidth 1\n"
      "set key outside bottom center horizontal maxcols {} Left reverse samplen 1.5 textcolor '#333333'\n",
      columns);
  const std::vector<double> x = values(curves, &Curve::x), y = values(curves, &Curve::y);
  script += axis('x', x, plot.log_x) + axis('y', y, plot.log_y);
  if (few_whole_numbers(x) && !plot.log_x) script += "set xtics 1\n";
  if (plot.y_from_zero && !plot.log_y) script += "set yrange [0:]\n";
  if (x.empty()) script += "set label 'no data' at graph 0.5,0.5 center textcolor '#777777'\n";

  std::string elements;
  for (std::size_t i = 0; i < curves.size(); ++i) {
    script += data_block(i, curves[i]);
    elements += plot_element(i, curves[i]) + ", ";
  }
  // The last element draws nothing: it lets a plot of no curves have its axes.
  script += "plot " + elements + "NaN notitle\n";
  return gnuplot_svg(script, plot.width, plot.height + 18 * std::max(legend_rows - 1, 0), plot.title);
}

std::string svg(const HeatMap& map) {
  const std::size_t rows = map.rows.size(), columns = map.columns.size(), cells = rows * columns;
  require(cells > 0 && map.shades.size() == cells && (map.texts.empty() || map.texts.size() == cells),
          "heat map '{}': {} x {} cells, but {} shades and {} texts", map.title, rows, columns, map.shades.size(),
          map.texts.size());
  std::vector<std::string> row_names, column_names;
  std::ranges::transform(map.rows, std::back_inserter(row_names), shortened);
  std::ranges::transform(map.columns, std::back_inserter(column_names), shortened);

  // Square cells, smaller where there are many; margins as the names need them, which stand slanted below the columns.
  const int cell = std::clamp(640 / static_cast<int>(std::max(rows, columns)), 18, 46);
  const int left = letter_width * static_cast<int>(longest(row_names)) + 45, right = 15, top = map.title.empty() ? 10 : 40;
  const int bottom = letter_width * static_cast<int>(longest(column_names)) * 7 / 10 + 60;  // 7/10 is the sine of 45 degrees
  const int width = left + cell * static_cast<int>(columns) + right, height = top + cell * static_cast<int>(rows) + bottom;

  // The labels of the axes are placed by hand: gnuplot drops one that by its own estimate has no room.
  std::string script(text_style);
  script += fmt::format(
      "set title {}\n"
      "set label {} at graph 0.5, screen {} center textcolor '#333333'\n"
      "set label {} at screen {}, graph 0.5 center rotate by 90 textcolor '#333333'\n",
      gnuplot_quote(map.title), gnuplot_quote(map.x_label), 15.0 / height, gnuplot_quote(map.y_label), 15.0 / width);
  script += name_tics('x', column_names) + "set xtics rotate by 45 right\n" + name_tics('y', row_names);
  script += fmt::format(
      "unset border\nunset key\nunset colorbox\n"
      "set palette defined (0 '#ffffff', 1 '#08519c')\nset cbrange [0:1]\n"
      "set lmargin at screen {}\nset rmargin at screen {}\nset bmargin at screen {}\nset tmargin at screen {}\n"
      "set xrange [-0.5:{}.5]\nset yrange [{}.5:-0.5]\n"
      "set object rectangle from graph 0,0 to graph 1,1 back fillcolor rgb '#dddddd' fillstyle solid noborder\n"
      "set style fill solid 1 noborder\n",
      double(left) / width, 1 - double(right) / width, double(bottom) / height, 1 - double(top) / height, columns - 1,
      rows - 1);

  // The grey rectangle behind shows between the cells, which are a little smaller than their place.
  script += "$cells << END\n";
  for (std::size_t i = 0; i < cells; ++i)
    script += fmt::format("{} {} {}\n", i % columns, i / columns,
                          std::isfinite(map.shades[i]) ? std::clamp(map.shades[i], 0.0, 1.0) : 0.0);
  script += "END\n";
  for (std::size_t i = 0; i < map.texts.size(); ++i)
    if (!map.texts[i].empty())
      script += fmt::format("set label {} at {},{} center front font ',{}' textcolor '{}'\n", gnuplot_quote(map.texts[i]),
                            i % columns, i / columns, std::min(12, cell / 3), map.shades[i] > 0.5 ? "#ffffff" : "#333333");
  script += "plot $cells using 1:2:(0.485):(0.485):3 with boxxyerror fillcolor palette\n";
  return gnuplot_svg(script, width, height, map.title);
}

}  // namespace tandem
