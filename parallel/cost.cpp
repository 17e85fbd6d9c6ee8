#include "parallel/cost.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace tandem {

LinkProfile::LinkProfile(std::vector<Point> points) : points_(std::move(points)) {
  require(points_.size() >= 2 && std::ranges::adjacent_find(points_, std::ranges::greater_equal{}, &Point::bytes) == points_.end(),
          "link profile: {} lengths; expected two or more, ascending", points_.size());
}

LinkProfile::LinkProfile(Link link) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1} << 30}) {
    const auto n = static_cast<double>(bytes);
    points_.push_back({.bytes = bytes, .message = link.alpha + n * link.beta, .addition = n * link.gamma});
  }
}

Seconds LinkProfile::at(std::size_t bytes, Seconds Point::*what) const {
  auto right = std::ranges::upper_bound(points_, bytes, {}, &Point::bytes);
  if (right == points_.begin()) return (*right).*what;  // shorter than the shortest: it is all latency
  if (right == points_.end()) --right;
  const Point &b = *right, &a = *std::prev(right);
  const double x = (static_cast<double>(bytes) - static_cast<double>(a.bytes)) / static_cast<double>(b.bytes - a.bytes);
  return std::max(0.0, a.*what + x * (b.*what - a.*what));
}

// Minimises  sum over points of ((alpha + n beta - t) / t)^2 : two linear equations. gamma: the same with one unknown.
Link LinkProfile::fit() const {
  double s1 = 0, sn = 0, snn = 0, st = 0, snt = 0, gn = 0, gnn = 0;
  for (const Point& p : points_) {
    const double n = static_cast<double>(p.bytes), w = 1 / std::max(p.message * p.message, 1e-24);
    s1 += w, sn += w * n, snn += w * n * n, st += w * p.message, snt += w * n * p.message;
    if (p.addition > 0) gn += n / p.addition, gnn += n / p.addition * n / p.addition;
  }
  const double determinant = s1 * snn - sn * sn;
  Link link{.gamma = gnn > 0 ? gn / gnn : 0};
  if (determinant > 0) link.beta = std::max(0.0, (s1 * snt - sn * st) / determinant);
  link.alpha = std::max(0.0, (st - link.beta * sn) / s1);
  return link;
}

}  // namespace tandem
