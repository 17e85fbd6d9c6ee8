// Where the time of a training step goes, operation by operation.
//
// A profile keeps books over one thread's time. Whenever something ends (an operation, a pullback, a scope), the time since the
// last entry is charged to it; what passes between a scope's begin and end without an operation is charged to its "other":
//
//             scope "0"          scope "1"                     backward()
//   time   |  [conv2d other]     [relu other]   other   ...   pull relu   pull conv2d   other |
//             ------------------------------------------------------------------------------->
//
// So no moment is counted twice and none is lost: the accounts add up to the whole, to the nanosecond.
//
// When off, as it is by default, it costs one test of a pointer for each operation, pullback and scope (record() and pull() in
// autograd.cpp), which is less than a nanosecond. When on, an entry costs about 0.1 us.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tandem {

struct Cost {
  std::int64_t calls = 0;
  std::chrono::nanoseconds time{0};
  double operations = 0;  // multiplications and additions by the definition, as record() was told
  double bytes = 0;       // what must at least be read and written: inputs and output, once each

  double seconds() const { return std::chrono::duration<double>(time).count(); }
  Cost& operator+=(const Cost& other);
};

// The account of one operation within one scope. Of `backward`, calls are pullbacks: one for each input that needs a gradient.
struct ProfileRow {
  std::string scope, op;
  Cost forward, backward;
};

class Profile {
 public:
  const std::vector<ProfileRow>& rows() const { return rows_; }  // in order of first appearance
  std::chrono::nanoseconds total() const { return total_; }

  // The profile that this thread keeps now, or null. Below: what autograd tells it.
  static Profile* current() { return current_; }

  // An operation has ended; gives the row that its node remembers.
  int operation(std::string_view op, double operations, double bytes);
  // A pullback of the node recorded in `row` (-1: not recorded here) begins, ends. That of a product for one of its factors
  // multiplies with the other: it takes as many operations and moves as many bytes as the product did.
  void begin_pullback() { charge_other(); }
  void end_pullback(int row, std::string_view op, bool for_factor, double bytes);

 private:
  friend class Profiling;
  friend class ProfileScope;
  int row(std::string_view op);
  void charge(Cost& account, std::int64_t calls, double operations, double bytes);
  void charge_other() { charge(rows_[static_cast<std::size_t>(row("other"))].forward, 0, 0, 0); }

  std::vector<ProfileRow> rows_;
  std::map<std::pair<std::string, std::string>, int, std::less<>> row_of_;
  std::string scope_;
  std::chrono::steady_clock::time_point last_;
  std::chrono::nanoseconds total_{0};
  static constinit thread_local Profile* current_;
};

// While one lives, this thread keeps `profile`; null: none. Several in a row add to the same books. A graph must be walked under
// the profile under which it was recorded, or under none.
class Profiling {
 public:
  explicit Profiling(Profile* profile);
  ~Profiling();
  Profiling(const Profiling&) = delete;
  Profiling& operator=(const Profiling&) = delete;

 private:
  Profile* before_;
  std::chrono::steady_clock::time_point start_;
};

// While one lives, operations are charged to `path`, such as "3.body.0": a module's place in its model.
class ProfileScope {
 public:
  explicit ProfileScope(std::string_view path) {
    if (Profile::current()) enter(path);
  }
  ~ProfileScope() {
    if (profile_) leave();
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  void enter(std::string_view path);
  void leave();

  Profile* profile_ = nullptr;
  std::string before_;
};

}  // namespace tandem
