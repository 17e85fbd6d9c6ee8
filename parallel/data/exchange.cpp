#include "parallel/data/exchange.hpp"

#include <algorithm>
#include <chrono>

namespace tandem {
namespace {

std::vector<std::size_t> counts(const BucketLayout& layout) {
  std::vector<std::size_t> counts;
  for (const auto& slots : layout.slots) counts.push_back(slots.size());
  return counts;
}

}  // namespace

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
