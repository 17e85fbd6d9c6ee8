// gnuplot as a function from a script to a picture, and how to write text into a script.
#pragma once

#include <string>
#include <string_view>

namespace tandem {

// The <svg> element that `script` draws, on a canvas of width x height pixels; `label` is its name for those who hear the
// page instead of seeing it. The script must not set the terminal or the output. About 30 ms.
// Errors: gnuplot is not installed, gnuplot failed and what it said.
std::string gnuplot_svg(std::string_view script, int width, int height, std::string_view label);

// `text` as a gnuplot string in single quotes, in which nothing has a meaning but the quote itself. (In double quotes a
// backslash is an escape and `backquotes` run a command.) Control characters become spaces: a line break ends a command.
std::string gnuplot_quote(std::string_view text);

}  // namespace tandem
