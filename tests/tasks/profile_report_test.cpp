// Tables and pictures of profiles and of memory: they say what the books say.
#include "tasks/report/profile_report.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "core/ops.hpp"
#include "tasks/report/memory_report.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// Two steps of y = x W^T in a layer of this name.
Profile profile_of(std::string_view layer) {
  Profile profile;
  for (int step = 0; step < 2; ++step) {
    const Profiling on(&profile);
    const Variable x(random_tensor({64, 64}, 1), true), W(random_tensor({64, 64}, 2), true);
    const ProfileScope scope(layer);
    backward(sum(matmul_nt(x, W)));
  }
  return profile;
}

// The numbers that stand behind `before`, in order.
std::vector<double> numbers(const std::string& text, const std::string& before) {
  std::vector<double> found;
  for (std::size_t at = text.find(before); at != std::string::npos; at = text.find(before, at + 1))
    found.push_back(std::stod(text.substr(at + before.size())));
  return found;
}

TEST_CASE("profile table: calls and shares are per step, and rates stand beside the peaks") {
  const std::string text = profile_table(profile_of("body.first"), 2, {.flops = 100e9, .bandwidth = 20e9});
  CHECK(contains(text, "peaks: 100.0 GFLOP/s, 20.0 GB/s"));
  const std::size_t product = text.find("matmul_nt       forward");
  REQUIRE(product != std::string::npos);
  CHECK(std::stod(text.substr(product + 25)) == 1);  // one call a step
  CHECK(contains(text, "matmul_nt       backward        2"));
  CHECK(contains(text, "body.first"));
  CHECK(contains(text, "100.0 %"));
  CHECK(error_of([&] { profile_table(Profile(), 0, {1, 1}); }) == "profile: of no steps");
}

TEST_CASE("profile picture: the boxes under a box are together as wide as it") {
  const std::string text = profile_picture(profile_of("net"), 2, "a title");
  CHECK(contains(text, ">a title</text>"));
  for (const char* const box : {"<title>step: ", "<title>net: ", "<title>net / matmul_nt: ", "<title>net / matmul_nt / forward: "})
    CHECK(contains(text, box));
  CHECK_FALSE(contains(text, "<title>net / sum / other"));  // negative control: there is no such box
  const auto milliseconds = [&](const std::string& name) { return numbers(text, "<title>" + name + ": ").at(0); };
  const double parts = milliseconds("net / matmul_nt / forward") + milliseconds("net / matmul_nt / backward");
  CHECK(std::abs(parts - milliseconds("net / matmul_nt")) < 0.0016);  // each is printed to a thousandth
}

TEST_CASE("profile picture: no name of a layer becomes markup") {
  const std::string text = profile_picture(profile_of("<script>&"), 2, "\"</svg>");
  CHECK_FALSE(contains(text, "<script>"));
  CHECK(contains(text, "&lt;script&gt;&amp;"));
  CHECK(text.find("</svg>") == text.size() - 7);  // at the end alone
}

TEST_CASE("profile: an empty one has a table and a picture, too") {
  CHECK(contains(profile_table(Profile(), 1, {1, 1}), "a step"));
  CHECK(contains(profile_picture(Profile(), 1, ""), "</svg>"));
}

TEST_CASE("memory table: the parts add up to the peak") {
  const std::string text = memory_table({.parameters = 1'000'000, .optimizer = 2'000'000, .gradients = 1'000'000,
                                         .between_steps = 5'000'000, .peak = 20'000'000, .scratch = 3'000'000, .held = 30'000'000});
  std::vector<double> parts;
  for (const std::string name : {"  parameters", "  optimiser state", "  sums of gradients", "rounding", "on their way", "  work areas"})
    parts.push_back(numbers(text, name).at(0));
  CHECK(parts == std::vector<double>{1, 2, 1, 1, 12, 3});
  CHECK(numbers(text, "peak, the sum of these") == std::vector<double>{20});
  CHECK(contains(text, "(no huge pages)"));
}

}  // namespace
}  // namespace tandem
