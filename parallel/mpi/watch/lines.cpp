#include "parallel/mpi/watch/lines.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

namespace tandem::watch {

namespace {

namespace fs = std::filesystem;

std::string output_of(const std::string& command) {
  std::string output;
  FILE* const pipe = popen(command.c_str(), "re");
  if (pipe == nullptr) return output;
  char piece[4096];
  for (std::size_t n; (n = fread(piece, 1, sizeof piece, pipe)) > 0;) output.append(piece, n);
  pclose(pipe);
  return output;
}

void replace_all(std::string& text, std::string_view old, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(old, at)) != std::string::npos; at += by.size()) text.replace(at, old.size(), by);
}

// "(anonymous namespace)::exchange(int, int)" -> "exchange"
std::string short_function(std::string name) {
  replace_all(name, "(anonymous namespace)::", "");
  return name == "??" ? "" : name.substr(0, name.find('('));
}

bool is_of_system(std::string_view module) {
  return module.starts_with("/lib/") || module.starts_with("/lib64/") || module.starts_with("/usr/lib");
}

// Lines of places in one file. A place inside an inlined function has several: also where that was called.
std::vector<Line> lines_of(std::span<const Place> places) {
  std::string module = places.front().module.data();
  if (is_of_system(module)) return {};
  replace_all(module, "'", "'\\''");
  std::string command = fmt::format("env -u LD_PRELOAD addr2line -ifCe '{}'", module);
  for (const Place& place : places) command += fmt::format(" {:#x}", place.offset);
  const std::string answer = output_of(command + " 2>/dev/null");

  std::vector<Line> lines;  // the answer has two for each: function, then file:number
  for (std::size_t at = 0; at < answer.size();) {
    const auto next = [&] {
      const std::size_t end = std::min(answer.find('\n', at), answer.size());
      return answer.substr(std::exchange(at, end + 1), end - at);
    };
    Line line{.function = short_function(next())};
    const std::string place = next();
    const std::size_t colon = place.rfind(':');
    if (colon != std::string::npos) line.number = std::atoi(place.c_str() + colon + 1);
    if (line.number > 0) line.file = fs::path(place.substr(0, colon)).lexically_normal().string();
    lines.push_back(line);
  }
  if (lines.empty())  // no addr2line here: the loader's names will do
    for (const Place& place : places) lines.push_back({.function = place.function.data()});
  return lines;
}

// Of the standard library, or of Tandem's parallel/, whatever its folder was called when it was compiled.
bool is_of_libraries(const std::string& file) {
  if (file.starts_with("/usr/")) return true;
  const std::size_t at = file.rfind("/parallel/");
  std::error_code error;
  return at != std::string::npos && fs::exists(TANDEM_SOURCE + file.substr(at), error);
}

// Relative to the folder in which the job was started, where it lies below that.
std::string short_path(const std::string& file) {
  std::error_code error;
  const std::string folder = fs::current_path(error).string() + "/";
  return file.starts_with(folder) ? file.substr(folder.size()) : file;
}

// Drops the lines for which `unwanted` holds, unless that are all.
void drop(std::vector<Line>& lines, bool (*unwanted)(const Line&)) {
  if (!std::ranges::all_of(lines, unwanted)) std::erase_if(lines, unwanted);
}

}  // namespace

std::vector<Line> user_lines(const Page& page) {
  std::vector<Line> all;
  for (std::uint32_t i = 0, end = 0; i < page.frames; i = end) {
    const auto same_module = [&](std::uint32_t k) { return page.stack[k].module == page.stack[i].module; };
    for (end = i; end < page.frames && same_module(end);) ++end;
    std::ranges::move(lines_of(std::span(page.stack).subspan(i, end - i)), std::back_inserter(all));
  }
  std::erase_if(all, [](const Line& line) { return line.file.empty() && line.function.empty(); });
  if (const auto start = std::ranges::find(all, "main", &Line::function); start != all.end()) all.erase(start + 1, all.end());
  drop(all, [](const Line& line) { return line.file.empty(); });
  drop(all, [](const Line& line) { return is_of_libraries(line.file); });
  for (Line& line : all) line.file = short_path(line.file);
  return all;
}

}  // namespace tandem::watch
