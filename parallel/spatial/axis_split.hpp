// One axis of an image, cut into contiguous parts; and what sliding windows do to the cuts.
//
//   10 rows, 3 parts              0 1 2 | 3 4 5 | 6 7 8 9         cuts 0 3 6 10: part(10, i, 3)
//   the same, multiples of 4      0 1 2 3 | 4 5 6 7 8 9           cuts 0 4 10 on 2 parts; 3 parts are refused, for there are 2 units
//
// A window of k lines, stride s and padding p computes line i of the result from lines i s - p ... i s - p + k - 1. The result's line i
// belongs to the part that has the line in the middle of that window,
//
//   m(i) = i s - p + (k - 1) / 2        so part r of the result begins at the first i with m(i) >= cuts[r],
//
// and what its windows look at beyond its own lines are its margins:
//
//   k = 3, s = 1, p = 1:     lines     0 1 2 | 3 4 5 | 6 7 8 9      3 4 5 -> 3 4 5: looks at 2 3 4 5 6; margin 1 before, 1 after
//   k = 2, s = 2, p = 0:     lines     0 1 2 | 3 4 5 | 6 7 8 9      result 0 1 | 2 | 3 4; result line 1 looks at 2 3
//
// In the last example part 0 has a margin of 1 after, and part 1 one of -1 before: a line that its own windows do not look at. Where cuts
// are multiples of all strides together, pooling needs no margin at all. Any cut works, but a layer that joins two images (a sum, a
// concatenation) wants equal cuts, and upsampling gives back the cuts that pooling had only if these were multiples of its stride.
#pragma once

#include <vector>

#include "core/ops.hpp"
#include "nn/data.hpp"

namespace tandem {

// A window along one axis.
struct Window1d {
  Index size = 1, stride = 1, pad = 0;
};

// Lines beyond a part's own on each side. Negative: own lines that are not looked at.
struct Margin {
  Index before = 0, after = 0;
  bool operator==(const Margin&) const = default;
};

class AxisSplit {
 public:
  // Part i is [cuts[i], cuts[i+1]) with cuts[i] = multiple * part(length / multiple, i, parts).begin; what length / multiple leaves over
  // goes to the last part. Error if there are fewer units of `multiple` lines than parts. `axis` is how errors call the lines.
  AxisSplit(std::string_view axis, Index length, int parts, Index multiple = 1);

  int parts() const { return static_cast<int>(cuts_.size()) - 1; }
  Index length() const { return cuts_.back(); }
  Range part(int i) const { return {cuts_[count_of(i)], cuts_[count_of(i + 1)]}; }
  bool cuts_are_multiples_of(Index n) const;  // the inner ones: the axis may end anywhere

  AxisSplit after(Window1d window) const;  // of the result. Error if the result has no line, or a part of it has none
  AxisSplit upsampled(Index factor) const;

  // What part i looks at beyond its own. Error if that is more than its neighbour has: a line travels one hop only.
  Margin margin(int i, Window1d window) const;

  bool operator==(const AxisSplit& other) const { return cuts_ == other.cuts_; }
  std::string str() const;  // "0|3|6|10"

 private:
  AxisSplit(std::string_view axis, std::vector<Index> cuts) : axis_(axis), cuts_(std::move(cuts)) {}

  std::string_view axis_;  // "rows" or "columns"
  std::vector<Index> cuts_;
};

}  // namespace tandem
