#include "parallel/data/exchange.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace tandem {
namespace {

std::vector<std::size_t> counts(const BucketLayout& layout) {
  std::vector<std::size_t> counts;
  for (const auto& slots : layout.slots) counts.push_back(slots.size());
  return counts;
}

std::size_t in_lines(Index values) {
  constexpr std::size_t line = memory_alignment / sizeof(real);
  return (count_of(values) + line - 1) / line * line;
}

}  // namespace

std::vector<Shape> slot_shapes(const std::vector<Parameter>& parameters, Index totals) {
  std::vector<Shape> shapes;
  for (const Parameter& p : parameters) shapes.push_back(p.variable.shape());
  shapes.push_back({totals});
  return shapes;
}

BucketLayout::BucketLayout(const std::vector<Shape>& shapes, Buckets buckets)
    : places(shapes.size()), slots(std::move(buckets)), sizes(slots.size(), 0) {
  for (std::size_t b = 0; b < slots.size(); ++b)
    for (const std::size_t i : slots[b]) {
      places[i] = {.bucket = b, .begin = sizes[b], .shape = shapes[i]};
      sizes[b] += in_lines(shapes[i].size());
    }
}

Buckets buckets_by_size(const std::vector<Shape>& slots, std::size_t bytes) {
  Buckets buckets;
  std::size_t filled = 0;
  for (std::size_t i = slots.size(); i-- > 0;) {
    if (buckets.empty() || filled >= bytes) buckets.emplace_back(), filled = 0;
    buckets.back().push_back(i);
    filled += in_lines(slots[i].size()) * sizeof(real);
  }
  return buckets;
}

GradientExchange::GradientExchange(std::vector<Parameter> parameters, BucketLayout layout)
    : parameters_(std::move(parameters)), layout_(std::move(layout)), missing_(counts(layout_)), sums_(layout_.slots.size()) {}

void GradientExchange::own(Parameter parameter, Tensor gradient) {
  owned_.push_back(std::move(parameter));
  owned_gradients_.push_back(std::move(gradient));
}

void GradientExchange::give(std::size_t i, Tensor sum) {
  if (!keep(i, sum)) {
    Tensor place = slot(i);
    sum.defined() ? place.copy_from(sum) : place.fill(real(-0.0));
  }
  --missing_[layout_.places[i].bucket];
  for (; started_ < missing_.size() && missing_[started_] == 0; ++started_) {
    sums_[started_] = start(started_);
    if (!sums_[started_]) summed(started_);
  }
}

void GradientExchange::progress() {
  for (std::size_t b = 0; b < started_; ++b)
    if (sums_[b] && sums_[b]->progress()) {
      sums_[b].reset();
      summed(b);
    }
}

std::size_t GradientExchange::under_way() const {
  return static_cast<std::size_t>(std::ranges::count_if(sums_, [](const auto& sum) { return sum != nullptr; }));
}

// Whatever this rank waits for, others may wait for a bucket that it has started: so that moves on, too, and no two ranks wait for each
// other's other operation.
void GradientExchange::wait(const std::function<bool()>& done) {
  const auto begin = std::chrono::steady_clock::now();
  wait_until([&] {
    progress();
    return done();
  });
  waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void GradientExchange::finish() {
  require(started_ == missing_.size(), "gradients: bucket {} still misses {} of them", started_, started_ < missing_.size() ? missing_[started_] : 0);
  wait([this] { return under_way() == 0; });
  started_ = 0;
  missing_ = counts(layout_);
  for (std::size_t i = 0; i < owned_.size(); ++i) owned_[i].variable.set_gradient(owned_gradients_[i]);
}

void GradientExchange::publish() {
  for (Parameter& p : owned_) p.variable.set_gradient({});
  send_values();
}

}  // namespace tandem
