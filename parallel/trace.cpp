#include "parallel/trace.hpp"

#include <chrono>
#include <utility>

#include "core/error.hpp"
#include "core/memory.hpp"

namespace tandem {

constinit thread_local Trace* Trace::current_ = nullptr;

double Trace::now() const { return shift_ + std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void Trace::clear() {
  require(open_.empty(), "trace: cleared while {} spans are open", open_.size());
  spans_.clear();
  memory_.clear();
}

std::size_t Trace::begin(const Action& what) {
  const std::size_t place = spans_.size();
  open_.push_back(place);
  const double time = now();
  spans_.push_back({what, time, time});
  return place;
}

void Trace::end(std::size_t place) {
  Span& span = spans_[place];
  span.end = now();
  open_.pop_back();
  if (computes(span.what.op)) memory_.push_back({span.end, memory_use().live});
}

Tracing::Tracing(Trace* trace) : before_(std::exchange(Trace::current_, trace)) {}
Tracing::~Tracing() { Trace::current_ = before_; }

}  // namespace tandem
