#include "parallel/mpi/watch/watcher.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "parallel/mpi/watch/diagnosis.hpp"
#include "parallel/mpi/watch/report.hpp"
#include "parallel/mpi/watch/snapshot.hpp"
#include "parallel/mpi/watch/stack.hpp"

namespace tandem::watch {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto look_every = 100ms, patience = 2000ms, answer_within = 600ms;
constexpr std::uint64_t least_polls = 100;
constexpr auto most_per_poll = 50us, starved = 1000us;  // who gets so little of a core between two looks may have had no turn to ask

// The state of the thread that calls MPI, as in `ps`: R runs or would like to, S sleeps, T and t are stopped.
char thread_state(const Page& page) {
  std::ifstream file(fmt::format("/proc/{}/task/{}/stat", page.process.load(), page.thread.load()));
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const std::size_t name_end = text.rfind(") ");  // the name may hold anything
  return name_end == std::string::npos ? '?' : text[name_end + 2];
}

std::chrono::nanoseconds processor_time(const Page& page) {
  clockid_t clock;
  timespec used{};
  if (clock_getcpuclockid(page.process, &clock) == 0) clock_gettime(clock, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

// What was seen of one rank, and since when it has been the same.
class Seen {
 public:
  void look(const Page& page) {
    const State state = page.state;
    const std::uint64_t epoch = page.epoch.load(std::memory_order_acquire), polls = page.polls;
    const std::chrono::nanoseconds used = processor_time(page);
    const bool works = used - used_ > (polls - polls_) * most_per_poll + starved;  // between two questions
    const char now = thread_state(page);
    if (epoch != epoch_ || state != state_ || now == 'T' || now == 't' || (state == State::polling && (now == 'S' || works)))
      since_ = Clock::now(), first_poll_ = polls;
    epoch_ = epoch, state_ = state, polls_ = polls, used_ = used;
    quiet_ = (state == State::blocked || (state == State::polling && polls - first_poll_ >= least_polls)) &&
             Clock::now() - since_ >= patience;
  }
  bool quiet() const { return quiet_; }
  bool is_still(const Page& page) const { return page.epoch.load(std::memory_order_acquire) == epoch_; }

 private:
  std::uint64_t epoch_ = 0, polls_ = 0, first_poll_ = 0;
  State state_ = State::outside;
  std::chrono::nanoseconds used_{0};
  Clock::time_point since_ = Clock::now();
  bool quiet_ = false;
};

class Watcher {
 public:
  explicit Watcher(std::span<Page> board) : board_(board), seen_(board.size()) {}

  void look() {
    for (std::size_t r = 0; r < board_.size(); ++r) seen_[r].look(board_[r]);
    // Busy ranks may move between the copies of two pages, so what one snapshot shows may be wrong, but not twice.
    if (!find_knot()) return;
    std::this_thread::sleep_for(look_every / 2);
    if (const auto knot = find_knot()) end_job(knot->first, knot->second);
  }

 private:
  std::optional<std::pair<Snapshot, Diagnosis>> find_knot() const {
    if (std::ranges::none_of(seen_, &Seen::quiet)) return std::nullopt;
    Snapshot now;
    for (std::size_t r = 0; r < board_.size(); ++r) {
      now.ranks.push_back(view(board_[r]));
      now.ranks.back().quiet = seen_[r].quiet();
      if (seen_[r].quiet() && !seen_[r].is_still(board_[r])) return std::nullopt;
    }
    const auto diagnosis = diagnose(now);
    if (!diagnosis) return std::nullopt;
    return std::pair{std::move(now), *diagnosis};
  }

  void end_job(const Snapshot& now, const Diagnosis& diagnosis) {
    const std::vector<std::vector<Line>> lines = ask_for_lines();
    for (const int r : diagnosis.stuck)
      if (const auto i = static_cast<std::size_t>(r); !seen_[i].is_still(board_[i])) return;
    write_json(report_json(now, diagnosis, lines));
    if (ftrylockfile(stdout) == 0) {  // what the program has said so far; its thread may hold the lock for ever
      std::fflush(stdout);
      funlockfile(stdout);
    }
    const std::string text = report_text(now, diagnosis, lines);  // in one piece, so that lines of other ranks do not come between
    if (write(STDERR_FILENO, text.data(), text.size()) < 0) {}    // nobody is left to tell
    _exit(exit_code);  // mpirun then ends the other ranks
  }

  std::vector<std::vector<Line>> ask_for_lines() {
    for (std::size_t r = 0; r < board_.size(); ++r)
      if (seen_[r].quiet()) ask_for_stack(board_[r]);
    const auto end = Clock::now() + answer_within;
    std::vector<std::vector<Line>> lines(board_.size());
    for (std::size_t r = 0; r < board_.size(); ++r) {
      if (!seen_[r].quiet()) continue;
      while (!board_[r].answered && Clock::now() < end) std::this_thread::sleep_for(1ms);
      if (board_[r].answered) lines[r] = user_lines(board_[r]);
    }
    return lines;
  }

  // To the file that TANDEM_WATCH_JSON names. It appears by rename, so nobody reads half of it.
  static void write_json(const std::string& json) {
    const char* const path = std::getenv("TANDEM_WATCH_JSON");
    if (path == nullptr || *path == 0) return;
    const std::string part = std::string(path) + ".part";
    std::ofstream(part) << json;
    std::rename(part.c_str(), path);
  }

  std::span<Page> board_;
  std::vector<Seen> seen_;
};

}  // namespace

void start_watching(std::span<Page> board) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the program's own threads
  std::thread([watcher = Watcher(board)]() mutable {
    while (true) {
      std::this_thread::sleep_for(look_every);
      watcher.look();
    }
  }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace tandem::watch
