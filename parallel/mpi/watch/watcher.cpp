#include "parallel/mpi/watch/watcher.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "parallel/mpi/watch/diagnose.hpp"
#include "parallel/mpi/watch/report.hpp"
#include "parallel/mpi/watch/snapshot.hpp"
#include "parallel/mpi/watch/stack.hpp"

namespace tandem::watch {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto look_every = 100ms, patience = 2000ms, think_every = 300ms;
constexpr std::uint64_t least_polls = 100, most_cpu_ns_per_poll = 50'000;

bool alive(pid_t process) { return kill(process, 0) == 0 || errno == EPERM; }

// Stopped, or held by a debugger.
bool is_held(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("State:") && (line.find('T') != std::string::npos || line.find('t', 7) == 7)) return true;
    if (line.starts_with("TracerPid:") && line.find_first_not_of("\t 0", 10) != std::string::npos) return true;
  }
  return false;
}

// All of it, or nothing: one write, so that lines of other ranks do not come between.
void write_all(int file, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = write(file, text.data() + done, text.size() - done);
    if (n <= 0) return;
    done += static_cast<std::size_t>(n);
  }
}

void write_json(const std::string& json) {
  const char* const path = std::getenv("TANDEM_WATCH_JSON");
  if (path == nullptr || *path == 0) return;
  const std::string part = std::string(path) + ".part";
  const int file = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return;
  write_all(file, json);
  close(file);
  std::rename(part.c_str(), path);
}

class Reporter {
 public:
  explicit Reporter(Board& board) : board_(board), seen_(static_cast<std::size_t>(board.ranks)) {}

  void look() {
    const auto now = Clock::now();
    bool somebody_quiet = false;
    for (int r = 0; r < board_.ranks; ++r) somebody_quiet |= look_at(r, now);
    if (!somebody_quiet || now - last_thought_ < think_every) return;
    last_thought_ = now;
    think();
  }

 private:
  struct Seen {
    std::uint64_t epoch = 0, polls = 0, cpu_ns = 0;
    Clock::time_point since = Clock::now();
    State state = State::unborn;
    bool quiet = false;
  };

  bool look_at(int r, Clock::time_point now) {
    const Page& page = *board_.page(r);
    Seen& seen = seen_[static_cast<std::size_t>(r)];
    const std::uint64_t epoch = page.epoch.load(std::memory_order_acquire), polls = page.polls.load(), cpu = page.cpu_ns.load();
    const State state = page.state.load();
    if (epoch != seen.epoch || state != seen.state) seen = {.epoch = epoch, .polls = polls, .cpu_ns = cpu, .since = now, .state = state};
    seen.quiet = false;
    if (now - seen.since < patience) return false;
    if (state == State::blocked) return seen.quiet = true;
    if (state != State::polling) return false;
    seen.quiet = polls - seen.polls >= least_polls && cpu - seen.cpu_ns <= (polls - seen.polls) * most_cpu_ns_per_poll;
    // Judged by the last two seconds: a rank may have computed before it began to ask.
    if (!seen.quiet) seen.polls = polls, seen.cpu_ns = cpu, seen.since = now;
    return seen.quiet;
  }

  // A view of the board in which nobody moved while it was taken; else none.
  std::optional<Snapshot> take_snapshot() {
    Snapshot now;
    for (int r = 0; r < board_.ranks; ++r) {
      const Page& page = *board_.page(r);
      const Seen& seen = seen_[static_cast<std::size_t>(r)];
      RankView rank = view(page);
      if (rank.gone() || alive(page.process)) {
        rank.quiet = seen.quiet && !is_held(page.process);
      } else {
        return std::nullopt;  // a rank that was killed: its guard says so, and mpirun ends the job
      }
      if (seen.quiet && page.epoch.load(std::memory_order_acquire) != seen.epoch) return std::nullopt;
      now.ranks.push_back(std::move(rank));
    }
    return now;
  }

  // Busy ranks may have moved between the copies of two pages, so what one copy shows may be wrong, but not twice.
  void think() {
    const auto first = take_snapshot();
    if (!first || !diagnose(*first)) return;
    std::this_thread::sleep_for(50ms);
    const auto now = take_snapshot();
    if (!now) return;
    const auto diagnosis = diagnose(*now);
    if (!diagnosis) return;
    const auto lines = ask_for_lines(*now);
    for (const int r : diagnosis->stuck)
      if (board_.page(r)->epoch.load() != seen_[static_cast<std::size_t>(r)].epoch) return;
    end_job(*now, *diagnosis, lines);
  }

  std::vector<std::vector<Line>> ask_for_lines(const Snapshot& now) {
    const auto asks = [&](std::size_t r) { return now.ranks[r].quiet; };
    for (std::size_t r = 0; r < now.ranks.size(); ++r)
      if (asks(r)) board_.page(static_cast<int>(r))->asked.fetch_add(1);
    const auto end = Clock::now() + 600ms;
    std::vector<std::vector<Line>> lines(now.ranks.size());
    for (std::size_t r = 0; r < now.ranks.size(); ++r) {
      if (!asks(r)) continue;
      Page& page = *board_.page(static_cast<int>(r));
      if (page.process == getpid()) answer(page);
      while (page.answered.load(std::memory_order_acquire) != page.asked.load() && Clock::now() < end) std::this_thread::sleep_for(5ms);
      if (page.answered.load(std::memory_order_acquire) == page.asked.load()) lines[r] = user_lines(page);
    }
    return lines;
  }

  [[noreturn]] void end_job(const Snapshot& now, const Diagnosis& diagnosis, const std::vector<std::vector<Line>>& lines) {
    write_json(report_json(now, diagnosis, lines));
    if (ftrylockfile(stdout) == 0) {  // what the program has said so far; its thread may hold the lock for ever
      std::fflush(stdout);
      funlockfile(stdout);
    }
    write_all(STDERR_FILENO, report_text(now, diagnosis, lines));
    _exit(exit_code);  // mpirun then ends the other ranks
  }

  Board& board_;
  std::vector<Seen> seen_;
  Clock::time_point last_thought_{};
};

// Takes the reporter's place if it is free, or was left by a process that is gone.
bool is_reporter(Board& board) {
  const pid_t me = getpid();
  pid_t now = board.reporter.load();
  if (now == me) return true;
  return (now == 0 || !alive(now)) && board.reporter.compare_exchange_strong(now, me);
}

}  // namespace

void start_watching(Board& board, int rank) {
  clockid_t clock;
  if (pthread_getcpuclockid(pthread_self(), &clock) != 0) return;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the program's own threads
  std::thread([&board, rank, clock] {
    Page& page = *board.page(rank);
    Reporter reporter(board);
    while (true) {
      std::this_thread::sleep_for(look_every);
      timespec used{};
      clock_gettime(clock, &used);
      page.cpu_ns = static_cast<std::uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(used.tv_nsec);
      answer(page);
      if (is_reporter(board)) reporter.look();
    }
  }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace tandem::watch
