#include "parallel/spatial/axis_split.hpp"

#include <algorithm>

namespace tandem {

AxisSplit::AxisSplit(std::string_view axis, Index length, int parts, Index multiple) : axis_(axis) {
  require(length >= 1 && parts >= 1 && multiple >= 1, "split: {} {} in {} parts, cut at multiples of {}; all must be at least 1", length,
          axis, parts, multiple);
  const Index units = length / multiple;
  require(units >= parts, "split: {} {} hold {} whole units of {}, too few for {} ranks; use at most {} ranks along them, or larger images",
          length, axis, units, multiple, parts, units);
  for (int i = 0; i < parts; ++i) cuts_.push_back(multiple * tandem::part(units, i, parts).begin);
  cuts_.push_back(length);
}

bool AxisSplit::cuts_are_multiples_of(Index n) const {
  return std::all_of(cuts_.begin(), cuts_.end() - 1, [n](Index cut) { return cut % n == 0; });
}

AxisSplit AxisSplit::after(Window1d w) const {
  require(w.size >= 1 && w.stride >= 1 && w.pad >= 0 && length() + 2 * w.pad >= w.size,
          "split: a window of {} {} with stride {} and padding {} on an image of {}", w.size, axis_, w.stride, w.pad, length());
  const Index result = (length() + 2 * w.pad - w.size) / w.stride + 1;
  const Index middle_of_first = (w.size - 1) / 2 - w.pad;
  std::vector<Index> cuts{0};
  for (int i = 1; i < parts(); ++i) {
    const Index beyond = cuts_[count_of(i)] - middle_of_first;  // the first line i with i stride >= beyond
    cuts.push_back(std::min(beyond <= 0 ? 0 : divide_up(beyond, w.stride), result));
  }
  cuts.push_back(result);
  for (int i = 0; i < parts(); ++i)
    require(cuts[count_of(i)] < cuts[count_of(i + 1)],
            "split: {} {}, cut at {}, become {} under a window of {} with stride {} and padding {}, and rank {} of {} along them would "
            "have none; use fewer ranks along them, or larger images",
            length(), axis_, str(), result, w.size, w.stride, w.pad, i, parts());
  return {axis_, std::move(cuts)};
}

AxisSplit AxisSplit::upsampled(Index factor) const {
  std::vector<Index> cuts = cuts_;
  for (Index& cut : cuts) cut *= factor;
  return {axis_, std::move(cuts)};
}

Margin AxisSplit::margin(int i, Window1d w) const {
  const Range mine = part(i), result = after(w).part(i);
  const Margin margin{.before = mine.begin - (result.begin * w.stride - w.pad),
                      .after = (result.end - 1) * w.stride - w.pad + w.size - mine.end};
  const auto check = [&](Index wanted, int neighbour) {
    if (neighbour < 0 || neighbour == parts()) return;  // beyond the image: padding, of any width
    require(wanted <= part(neighbour).size(),
            "split: a window of {} {} with stride {} and padding {} looks {} {} into the part of rank {}, which has only {} ({}); use fewer "
            "ranks along them, or larger images",
            w.size, axis_, w.stride, w.pad, wanted, axis_, neighbour, part(neighbour).size(), str());
  };
  check(margin.before, i - 1);
  check(margin.after, i + 1);
  require(margin.before > -mine.size() && margin.after > -mine.size() && margin.before + mine.size() + margin.after > 0,
          "split: a window of {} {} with stride {} and padding {} looks at none of rank {}'s own {}; the padding is too wide for a split",
          w.size, axis_, w.stride, w.pad, i, str());
  return margin;
}

std::string AxisSplit::str() const { return fmt::format("{}", fmt::join(cuts_, "|")); }

}  // namespace tandem
