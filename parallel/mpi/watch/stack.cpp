#include "parallel/mpi/watch/stack.hpp"

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <link.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <thread>

namespace tandem::watch {

namespace {

using namespace std::chrono_literals;

constexpr int most_addresses = 64;
void* addresses[most_addresses];
std::atomic<int> found{-1};  // how many of them; -1: the thread has not answered yet

void note_stack(int) {
  const int error = errno;
  found.store(backtrace(addresses, most_addresses), std::memory_order_release);
  errno = error;
}

bool starts_with(std::string_view whole, std::string_view part) { return whole.substr(0, part.size()) == part; }

// MPI, the C library, this library: nobody's own code.
bool is_system(std::string_view module) {
  const std::string_view file = module.substr(module.rfind('/') + 1);
  for (const std::string_view prefix : {"libmpi", "libopen-", "libc.so", "libc-", "libpthread", "ld-linux", "libtandem_watch",
                                        "libtandem_strict", "libstdc++", "libgcc_s", "linux-vdso", "mca_", "libevent", "libasan",
                                        "libtsan", "libpmix"})
    if (starts_with(file, prefix)) return true;
  return module.empty();
}

bool is_ours(std::string_view file) { return starts_with(file, TANDEM_SOURCE "/parallel/") || starts_with(file, "/usr/"); }

// What `addr2line -i -f -C -a` says about some places in one file: for each an address, then pairs of lines, the innermost inlined
// function first.
std::string addr2line(const std::string& module, const std::vector<std::uint64_t>& offsets) {
  std::vector<std::string> words{"addr2line", "-e", module, "-i", "-f", "-C", "-a"};
  for (const std::uint64_t offset : offsets) words.push_back(fmt::format("{:#x}", offset));
  std::vector<char*> arguments, environment;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  for (char** variable = environ; *variable != nullptr; ++variable)
    if (!starts_with(*variable, "LD_PRELOAD=")) environment.push_back(*variable);
  environment.push_back(nullptr);

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return "";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const bool begun = posix_spawnp(&child, "addr2line", &actions, nullptr, arguments.data(), environment.data()) == 0;
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string answer;
  char piece[4096];
  for (ssize_t n; begun && (n = read(ends[0], piece, sizeof piece)) > 0;) answer.append(piece, static_cast<std::size_t>(n));
  close(ends[0]);
  if (begun) waitpid(child, nullptr, 0);
  return answer;
}

// Relative to the folder in which the job was started, or to Tandem's, where it lies below one of them.
std::string short_path(const std::string& file) {
  std::error_code error;
  for (const std::filesystem::path& root : {std::filesystem::current_path(error), std::filesystem::path(TANDEM_SOURCE)})
    if (const std::string folder = root.string() + "/"; starts_with(file, folder)) return file.substr(folder.size());
  return file;
}

std::vector<Line> lines_of(const std::string& module, const std::vector<std::uint64_t>& offsets, std::vector<std::size_t>& counts) {
  std::vector<Line> lines;
  const std::string answer = addr2line(module, offsets);
  std::size_t at = 0;
  const auto next = [&] {
    const std::size_t end = std::min(answer.find('\n', at), answer.size());
    std::string line = answer.substr(at, end - at);
    at = end + 1;
    return line;
  };
  while (at < answer.size()) {
    std::string function = next();
    if (starts_with(function, "0x")) {
      counts.push_back(0);
      continue;
    }
    const std::string place = next();
    const std::size_t colon = place.rfind(':');
    Line line{.function = function == "??" ? "" : function};
    if (!starts_with(place, "??") && colon != std::string::npos) {
      line.number = std::atoi(place.c_str() + colon + 1);
      if (line.number > 0) line.file = std::filesystem::path(place.substr(0, colon)).lexically_normal().string();
    }
    lines.push_back(line);
    if (!counts.empty()) ++counts.back();
  }
  return lines;
}

}  // namespace

void handle_stack_signal() {
  void* one[1];
  backtrace(one, 1);  // loads what it needs, so that it allocates nothing in the handler
  struct sigaction action {};
  action.sa_handler = note_stack;
  action.sa_flags = SA_RESTART;
  sigaction(SIGURG, &action, nullptr);
}

Place place_of(std::uintptr_t return_address) {
  Place place;
  Dl_info info{};
  link_map* module = nullptr;
  auto* const before = reinterpret_cast<void*>(return_address - 1);  // in the call, not after it
  if (dladdr1(before, &info, reinterpret_cast<void**>(&module), RTLD_DL_LINKMAP) == 0 || module == nullptr) return place;
  place.offset = reinterpret_cast<std::uintptr_t>(before) - module->l_addr;
  if (module->l_name != nullptr && *module->l_name != 0)
    std::string_view(module->l_name).copy(place.module.data(), place.module.size() - 1);
  else if (readlink("/proc/self/exe", place.module.data(), place.module.size() - 1) < 0)
    return place;
  if (info.dli_sname != nullptr) std::string_view(info.dli_sname).copy(place.function.data(), place.function.size() - 1);
  return place;
}

void answer(Page& page) {
  const std::uint32_t question = page.asked.load(std::memory_order_acquire);
  if (question == page.answered.load()) return;
  found = -1;
  int count = -1;
  if (syscall(SYS_tgkill, getpid(), page.thread.load(), SIGURG) == 0)
    for (int i = 0; i < 300 && (count = found.load(std::memory_order_acquire)) < 0; ++i) std::this_thread::sleep_for(1ms);
  page.frames = 0;
  for (int i = 0; i < count && page.frames < most_frames; ++i) {
    const Place place = place_of(reinterpret_cast<std::uintptr_t>(addresses[i]));
    if (!is_system(place.module.data())) page.stack[page.frames++] = place;
  }
  page.answered.store(question, std::memory_order_release);
}

std::vector<Line> user_lines(const Place* begin, const Place* end) {
  std::vector<Line> user;
  for (const Place* place = begin; place != end;) {
    const Place* const same = place;
    std::vector<std::uint64_t> offsets;
    for (; place != end && std::strcmp(place->module.data(), same->module.data()) == 0; ++place) offsets.push_back(place->offset);
    std::vector<std::size_t> counts;
    const std::vector<Line> lines = lines_of(same->module.data(), offsets, counts);
    if (lines.empty())  // no addr2line here: the loader's names will do
      for (const Place* p = same; p != place; ++p) user.push_back({.function = p->function.data()});
    for (const Line& line : lines)
      if (!is_ours(line.file) && !(line.file.empty() && line.function.empty())) user.push_back(line);
  }
  // Where a line is known, frames without one are of no interest: the start of a program, or a library.
  if (std::ranges::any_of(user, [](const Line& line) { return !line.file.empty(); }))
    std::erase_if(user, [](const Line& line) { return line.file.empty(); });
  for (Line& line : user) line.file = short_path(line.file);
  if (user.empty() && begin != end)
    user.push_back({.function = fmt::format("{}+{:#x}", begin->module.data(), begin->offset)});
  return user;
}

std::vector<Line> user_lines(const Page& page) { return user_lines(page.stack.data(), page.stack.data() + page.frames); }

std::string text(const std::vector<Line>& lines) {
  std::string words;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, lines.size()); ++i) {
    const Line& line = lines[i];
    if (i > 0) words += ", called from ";
    if (line.file.empty()) words += line.function;
    else words += fmt::format("{}:{}", line.file, line.number);
    if (!line.file.empty() && !line.function.empty() && i == 0) words += fmt::format(" in {}", line.function.substr(0, line.function.find('(')));
    if (line.function == "main") break;
  }
  return words;
}

}  // namespace tandem::watch
