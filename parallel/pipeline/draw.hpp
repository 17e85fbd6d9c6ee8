// A timeline as a picture: for a terminal, for a page, for a trace viewer. Predicted and measured times are drawn alike.
//
//     rank 0 |F0F1F2F3......B0==F4B1==F5    letter and micro-batch; dots where the rank is idle
//     rank 1 |..F0F1F2F3..B0==F4B1==F5B2
//
// Source of the picture: the pipeline diagrams of Huang et al., "GPipe", 2019, figure 2, with a box for each action and time to the right.
#pragma once

#include <string>

#include "parallel/pipeline/timeline.hpp"

namespace tandem {

struct Drawing {
  std::string title = {};
  std::string unit = {};   // behind times, such as "ms"
  double scale = 1;        // times are multiplied by it before they are written: 1000 for a timeline in seconds and the unit "ms"
};

// For a terminal, at most `width` columns; a row a rank, below a ruler, and makespan and idle share in the last line. An action is its letter and,
// where they fit, its micro-batch and a line up to its end: F--, B==, I==, W--, RECV <<<, UPDATE U, waiting inside an action xxx, idle ... .
// The second, fourth, ... stage of a rank has small letters. Sums over replicas have a row of their own, Rrrr, where there are any.
// Equal actions get equally many columns if the shortest has room for two; else what is shorter than a column may not be seen.
std::string text_of(const Timeline& timeline, int width = 100, const Drawing& drawing = {});

// The same as SVG (SVG 1.1, without scripts or outer files): one box a span with its words as a tooltip, a time axis, legend, makespan and idle
// share. The stages of one rank differ in shade. Sums over replicas run in a thin lane below their rank.
std::string svg_of(const Timeline& timeline, const Drawing& drawing = {});
// Each rank's measured row with the predicted one below it, on one time axis. Error if they have not equally many ranks.
std::string svg_of(const Timeline& measured, const Timeline& predicted, const Drawing& drawing = {});

// In the Trace Event Format ("traceEvents", complete events), which ui.perfetto.dev and chrome://tracing open: a process a rank, with a thread for
// what it does, one for sums over replicas, and live memory if it was sampled. `microseconds`: length of the timeline's unit.
std::string chrome_trace(const Timeline& timeline, double microseconds = 1e6);

}  // namespace tandem
