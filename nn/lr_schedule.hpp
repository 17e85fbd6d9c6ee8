// Learning-rate schedules: how long a step the optimiser takes, as a function of the step's number.
//
//   rate |      peak
//        |      /\.                     one_cycle: a line up, half a cosine down
//        |    /    `.
//        |  /         `-.
//        |/peak/div       `--.....      peak/final_div
//        +-------------------------- step
//         0                   steps-1
//
// A RateSchedule is a pure function, so a resumed run needs only its step, and every rank finds the same rate by itself. Steps
// are global optimiser steps, counted from 0; past the last one the rate stays where it ended.
#pragma once

#include <cstdint>
#include <functional>

namespace tandem {

using RateSchedule = std::function<double(std::int64_t step)>;

// The same rate for ever. Error unless the rate is positive and finite; so for every rate below.
RateSchedule constant(double rate);

// rate factor^floor(step / every): falls by `factor` each `every` steps. Errors: every < 1, factor outside (0, 1].
struct StepDecay {
  double rate;
  std::int64_t every;
  double factor = 0.1;
};
RateSchedule step_decay(const StepDecay& decay);

// to + (from - to) (1 + cos(pi step/(steps-1))) / 2: half a cosine wave, flat at both ends. `to` may be 0.
// Errors: to > from, steps < 1. Source: Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, without restarts.
struct Cosine {
  double from;
  double to = 0;
  std::int64_t steps;
};
RateSchedule cosine(const Cosine& wave);

// One long hump: a straight line from peak/div (step 0) up to the peak (step floor(warm_up (steps-1))), then half a cosine
// down to peak/final_div (step steps-1). High rates in the middle work as regularisation; the long tail settles.
// Errors: div or final_div below 1, warm_up outside [0, 1), steps < 1.
// Source: Smith and Topin, "Super-Convergence", arXiv:1708.07120, section 3; their descent is a line.
struct OneCycle {
  double peak;
  std::int64_t steps;
  double warm_up = 0.3;  // the share of the steps that rise
  double div = 25;
  double final_div = 1e4;
};
RateSchedule one_cycle(const OneCycle& cycle);

// then(step) min(1, (step+1)/steps): starts any schedule gently; that keeps its own clock and so its end. Error: steps < 1.
// Source: Goyal et al., "Accurate, Large Minibatch SGD", arXiv:1706.02677, section 2.2.
RateSchedule warm_up(std::int64_t steps, RateSchedule then);

}  // namespace tandem
