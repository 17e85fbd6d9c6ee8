// main() of a program that needs no MPI: the manners of mpi::run for a single process.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <new>

#include "core/error.hpp"
#include "core/file.hpp"

namespace tandem {

// Parses the command line into what `app` is bound to, then runs `work`. Exit status: 2 for a wrong command line, 1 for any other error,
// whose words go to stderr.
template <class Work>
int run_program(CLI::App& app, int argc, char** argv, Work&& work) {
  try {
    app.parse(argc, argv);
    work();
    return 0;
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return 0;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "error: {} (--help tells the options)\n", error.what());
    return 2;
  } catch (const UsageError& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 2;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: not enough memory\n");
    return 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}

// Whether the file can be written is found out before anything is computed. Error if not. An empty path is none.
inline void probe_file(const std::string& path) {
  if (!path.empty()) const NewFile probe(path);  // gone again at once
}

}  // namespace tandem
