#include "tasks/report/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace tandem {

bool on_terminal() {
  if (const char* told = std::getenv("TANDEM_TERMINAL")) return std::string_view(told) == "1";
  return isatty(STDOUT_FILENO) != 0;
}

ProgressBar::ProgressBar(std::string label, std::int64_t total, bool shown)
    : label_(std::move(label)), total_(std::max<std::int64_t>(total, 1)), shown_(shown && on_terminal()) {}

ProgressBar::~ProgressBar() {
  if (drawn_ == 0) return;
  fmt::print("\r{:{}}\r", "", drawn_);
  std::fflush(stdout);
}

void ProgressBar::update(std::int64_t done, std::string_view note) {
  const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
  const std::int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(since_start).count();
  if (!shown_ || now < next_draw_) return;
  next_draw_ = now + 100;
  constexpr std::int64_t width = 30;
  const std::int64_t filled = std::clamp<std::int64_t>(done * width / total_, 0, width);
  const std::string line = fmt::format("{}  [{:=>{}}{:{}}] {:3d} %  {}", label_, filled ? ">" : "", filled, "",
                                       width - filled, done * 100 / total_, note);
  fmt::print("\r{:<{}}", line, drawn_);
  std::fflush(stdout);
  drawn_ = std::max(drawn_, line.size());
}

}  // namespace tandem
