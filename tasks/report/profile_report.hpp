// What a profile (core/profile.hpp) has to tell: a table for the terminal, a picture for the eye.
#pragma once

#include <string>

#include "core/machine.hpp"
#include "core/profile.hpp"

namespace tandem {

// Per step: milliseconds and share of each operation, forward and backward, and of each layer; arithmetic and memory traffic beside
// what the machine can do. Operations are counted by the definition, so Winograd's convolutions may show more than the peak. The
// bytes are the least that must move: a figure above the bandwidth says that the caches served.
// `steps`: in how many the profile was kept, at least one.
std::string profile_table(const Profile& profile, std::int64_t steps, const Machine& machine);

// The same as boxes in boxes, an SVG file that needs nothing else. From top to bottom: the step, the layers by their path, their
// operations, forward and backward; each box is as wide as its time. Pointing at one tells name, time, share and rates.
//
//   | step                                                     |
//   | 0                     | 1                    |loss|update|
//   | conv2d         |relu  | conv2d               | .. |      |
//   | fwd | backward |f|b   |
std::string profile_picture(const Profile& profile, std::int64_t steps, const std::string& title);

}  // namespace tandem
