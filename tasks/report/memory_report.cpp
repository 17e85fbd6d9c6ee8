#include "tasks/report/memory_report.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tandem {
namespace {

// Rounded blocks can make a part larger than the whole by a little: then nothing is left.
std::size_t rest(std::size_t whole, std::size_t parts) { return whole - std::min(whole, parts); }

}  // namespace

std::string memory_table(const StepMemory& m) {
  std::string text = fmt::format("{:<58}{:>10}\n", "memory of a step", "MB");
  const auto line = [&](std::string_view name, std::size_t bytes, std::string_view note = "") {
    text += fmt::format("{:<58}{:>10.2f}{}\n", name, static_cast<double>(bytes) * 1e-6, note);
  };
  line("  parameters", m.parameters);
  line("  optimiser state", m.optimizer);
  line("  sums of gradients", m.gradients);
  line("  else between steps: data that wait, statistics, rounding",
       rest(m.between_steps, m.parameters + m.optimizer + m.gradients));
  line("  activations, and gradients on their way", rest(m.peak, m.between_steps + m.scratch));
  line("  work areas", m.scratch);
  line("peak, the sum of these", m.peak);
  line("held by the pool", m.held,
       m.huge_pages ? fmt::format("   ({:.0f} MB of the process in huge pages)", static_cast<double>(m.huge_pages) * 1e-6)
                    : "   (no huge pages)");
  return text;
}

}  // namespace tandem
