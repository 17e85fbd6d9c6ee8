// Pictures of numbers as SVG text: curves and heat maps.
//
// The axes, ticks and legends are gnuplot's (Debian package gnuplot-nox), which runs as a child process: it reads a script
// from us and writes the picture. We choose only what the picture shows, and calm defaults for how. The text that comes back
// can stand inside an HTML page beside others, or alone in a file.
#pragma once

#include <string>
#include <vector>

namespace tandem {

// Points (x[i], y[i]) joined by lines in this order. Where a value is not finite the line is interrupted; a curve without
// any point still has its line in the legend.
struct Curve {
  std::string name{};
  std::vector<double> x{}, y{};
};

// Several curves over common axes. A label names the quantity and, in brackets, its unit: "time [s]". A logarithmic axis
// leaves out what is not positive.
struct Plot {
  std::string title{}, x_label{}, y_label{};
  std::vector<Curve> curves{};
  bool log_x = false, log_y = false;
  bool y_from_zero = false;       // for quantities whose small changes should look small, such as speeds
  int width = 520, height = 320;  // in pixels; pages scale it
};

// A matrix of coloured cells, row-major, first row on top: white is 0, darkest is 1, not finite is left blank. The text that
// stands in a cell is separate from its colour; it may be empty, for one cell or for all (`texts` empty).
struct HeatMap {
  std::string title{}, x_label{}, y_label{};
  std::vector<std::string> rows{}, columns{};  // names
  std::vector<double> shades{};                // rows x columns, 0..1
  std::vector<std::string> texts{};            // rows x columns, or none
};

// The picture: one <svg> element whose ids are unique in this process. All text is shown as it is: gnuplot's markup and
// HTML's have no meaning in it. About 30 ms.
// Errors: gnuplot is not installed (and how to install it), it failed (and what it said), sizes that do not fit.
std::string svg(const Plot& plot);
std::string svg(const HeatMap& map);

}  // namespace tandem
