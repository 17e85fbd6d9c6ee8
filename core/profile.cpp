#include "core/profile.hpp"

namespace tandem {

using Clock = std::chrono::steady_clock;

constinit thread_local Profile* Profile::current_ = nullptr;

Cost& Cost::operator+=(const Cost& other) {
  calls += other.calls;
  time += other.time;
  operations += other.operations;
  bytes += other.bytes;
  return *this;
}

int Profile::operation(std::string_view op, double operations, double bytes) {
  const int at = row(op);
  charge(rows_[static_cast<std::size_t>(at)].forward, 1, operations, bytes);
  return at;
}

void Profile::end_pullback(int at, std::string_view op, bool for_factor, double bytes) {
  if (at < 0 || at >= static_cast<int>(rows_.size())) at = row(op);
  ProfileRow& account = rows_[static_cast<std::size_t>(at)];
  double operations = 0;
  if (for_factor && account.forward.operations > 0) {
    const auto calls = static_cast<double>(account.forward.calls);
    operations = account.forward.operations / calls;
    bytes = account.forward.bytes / calls;
  }
  charge(account.backward, 1, operations, bytes);
}

int Profile::row(std::string_view op) {
  const auto next = static_cast<int>(rows_.size());
  const auto [place, is_new] = row_of_.try_emplace({scope_, std::string(op)}, next);
  if (is_new) rows_.push_back({.scope = scope_, .op = std::string(op), .forward = {}, .backward = {}});
  return place->second;
}

// Reads the clock once, so that one account ends where the next begins.
void Profile::charge(Cost& account, std::int64_t calls, double operations, double bytes) {
  const auto now = Clock::now();
  account += {.calls = calls, .time = now - std::exchange(last_, now), .operations = operations, .bytes = bytes};
}

Profiling::Profiling(Profile* profile) : before_(std::exchange(Profile::current_, profile)), start_(Clock::now()) {
  if (profile) profile->last_ = start_;
}

Profiling::~Profiling() {
  Profile* const profile = std::exchange(Profile::current_, before_);
  if (!profile) return;
  profile->charge_other();
  profile->total_ += profile->last_ - start_;
}

void ProfileScope::enter(std::string_view path) {
  profile_ = Profile::current();
  profile_->charge_other();
  before_ = std::exchange(profile_->scope_, std::string(path));
}

void ProfileScope::leave() {
  profile_->charge_other();
  profile_->scope_ = std::move(before_);
}

}  // namespace tandem
