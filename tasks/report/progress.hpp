// A progress bar for long work, on a terminal only:   training  [=========>          ]  46 %  loss 0.512
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tandem {

// Whether a person is looking: TANDEM_TERMINAL=1 or 0 says so (the launcher sets it, since mpirun hides the terminal from its
// ranks); without it, whether standard output is a terminal.
bool on_terminal();

class ProgressBar {
 public:
  // Shows nothing where nobody looks, or where `shown` is false (all ranks but 0).
  ProgressBar(std::string label, std::int64_t total, bool shown);
  ~ProgressBar();  // wipes the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(std::int64_t done, std::string_view note = {});  // redraws at most ten times a second

 private:
  std::string label_;
  std::int64_t total_;
  bool shown_;
  std::int64_t next_draw_ = 0;  // milliseconds of the steady clock
  std::size_t drawn_ = 0;       // characters on the line now
};

}  // namespace tandem
