// Errors that say what was wrong, with the values that were wrong.
//
//   require(x.dim(1) == W.dim(1), "linear: x is {} but W is {}; expected x [.,{}]", x.shape(), W.shape(), W.dim(1));
//
// A failed requirement throws Error. Nothing here prints: the program's main (or mpi::run, which adds the rank) does that once.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stdexcept>
#include <string>

namespace tandem {

// A run that cannot go on: bad data, wrong shapes, a full disk. Programs exit with status 1.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A program that was called wrongly: an unknown option, an impossible combination. Programs exit with status 2.
struct UsageError : Error {
  using Error::Error;
};

[[noreturn]] void fail_with(fmt::string_view message, fmt::format_args values);

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> message, Args&&... values) {
  fail_with(message, fmt::make_format_args(values...));
}

// The message is formatted only when the condition fails, so a check costs one branch.
template <class... Args>
void require(bool condition, fmt::format_string<Args...> message, Args&&... values) {
  if (!condition) [[unlikely]]
    fail_with(message, fmt::make_format_args(values...));
}

}  // namespace tandem
