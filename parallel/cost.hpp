// What communication costs: three numbers for the machine, the times they are fitted to, and what a collective hands to MPI.
//
// A message of n bytes takes alpha + n beta; adding n bytes to what is there takes n gamma. This "Hockney" model is crude: a long
// message is sent in another way than a short one, and an addition is faster while it fits a cache. It ranks algorithms on paper.
// To choose on a real machine we keep the measured times themselves, and draw a straight line from each length to the next.
//
//     time |                          . '           measured at some lengths,
//          |                    . - '               straight in between;
//          |        . - - - - '                     alpha + n beta is the one line that fits best
//          +------------------------------ n
//
// Source: Hockney, "The communication challenge for MPP", Parallel Computing 20(3), 1994.
#pragma once

#include <cstddef>
#include <vector>

namespace tandem {

using Seconds = double;

// alpha: a message's latency [s]; beta: time per byte sent [s/B]; gamma: time per byte added [s/B].
struct Link {
  double alpha = 0, beta = 0, gamma = 0;
};

class LinkProfile {
 public:
  struct Point {
    std::size_t bytes;
    Seconds message, addition;
  };
  explicit LinkProfile(std::vector<Point> points);  // ascending lengths, at least two; else Error
  LinkProfile(Link link);                           // the model itself

  // Between two measured lengths: on the line through both. Beyond the last: on through the last two. Never negative.
  Seconds message(std::size_t bytes) const { return at(bytes, &Point::message); }
  Seconds addition(std::size_t bytes) const { return at(bytes, &Point::addition); }

  // The alpha, beta and gamma with the least squares of *relative* errors, so that a short message counts as much as a long one.
  Link fit() const;

  const std::vector<Point>& points() const { return points_; }

 private:
  Seconds at(std::size_t bytes, Seconds Point::*what) const;
  std::vector<Point> points_;
};

// What all ranks together hand to MPI.
struct Traffic {
  std::size_t messages = 0, bytes = 0;
  bool operator==(const Traffic&) const = default;
};

}  // namespace tandem
