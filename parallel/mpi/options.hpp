// Command lines of programs that run on many ranks: help is printed once, a mistake is reported once.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "core/error.hpp"
#include "parallel/mpi/communicator.hpp"

namespace tandem {

// False if only help was asked for, which rank 0 has printed then. UsageError for anything that `app` does not understand.
inline bool parse_options(CLI::App& app, int argc, char** argv, const Communicator& world) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    if (world.rank() == 0) fmt::print("{}", app.help());
    return false;
  } catch (const CLI::ParseError& error) {
    throw UsageError(fmt::format("{} (--help tells the options)", error.what()));
  }
  return true;
}

}  // namespace tandem
