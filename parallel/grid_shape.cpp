#include "parallel/grid_shape.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/error.hpp"

namespace tandem {
namespace {

struct Axis {
  std::string_view name;
  int GridShape::*extent;
};
constexpr std::array<Axis, 4> axes{{{"data", &GridShape::data}, {"pipeline", &GridShape::pipeline}, {"tensor", &GridShape::tensor},
                                    {"spatial", &GridShape::spatial}}};

// What is not named is 0.
GridShape parse(std::string_view text, int ranks) {
  GridShape shape{.data = 0, .pipeline = 0, .tensor = 0, .spatial = 0};
  bool more = !text.empty();
  for (std::string_view rest = text; more;) {
    const std::string_view item = rest.substr(0, rest.find(','));
    more = item.size() < rest.size();
    rest.remove_prefix(item.size() + more);
    const std::size_t equals = item.find('=');
    const std::string_view name = item.substr(0, equals), number = equals == item.npos ? "" : item.substr(equals + 1);
    const Axis* axis = nullptr;
    for (const Axis& known : axes)
      if (known.name == name) axis = &known;
    if (!axis) throw UsageError(fmt::format("grid '{}': no axis '{}'; there are data, pipeline, tensor and spatial", text, name));
    int extent = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), extent);
    if (error != std::errc() || end != number.data() + number.size() || extent < 1 || extent > ranks)
      throw UsageError(fmt::format("grid '{}': {} is '{}'; expected a number of ranks from 1 to {}, as in data=2,tensor=2", text, name,
                                   number, ranks));
    if (shape.*axis->extent != 0) throw UsageError(fmt::format("grid '{}': {} is named twice", text, name));
    shape.*axis->extent = extent;
  }
  return shape;
}

GridShape with_ones(GridShape shape) {
  for (const Axis& axis : axes) shape.*axis.extent = std::max(shape.*axis.extent, 1);
  return shape;
}

}  // namespace

const GridShape& require_ranks(const GridShape& shape, int ranks) {
  for (const Axis& axis : axes)
    if (shape.*axis.extent < 1) throw UsageError(fmt::format("grid: {} is {}; expected 1 or more", axis.name, shape.*axis.extent));
  if (shape.size() != ranks)
    throw UsageError(fmt::format("grid {}: {} x {} x {} x {} (data, pipeline, tensor, spatial) are {} ranks, but there are {}; start it "
                                 "with -n {}, or change the grid", to_string(shape), shape.data, shape.pipeline, shape.tensor,
                                 shape.spatial, shape.size(), ranks, shape.size()));
  return shape;
}

GridShape grid_shape(std::string_view text, int ranks) {
  const GridShape named = parse(text, ranks);
  GridShape shape = with_ones(named);
  if (named.data == 0) {
    if (ranks % shape.size() != 0)
      throw UsageError(fmt::format("grid '{}': {} ranks are no multiple of {}; start it with -n {}, or change the grid", text, ranks,
                                   shape.size(), shape.size()));
    shape.data = ranks / static_cast<int>(shape.size());
  }
  return require_ranks(shape, ranks);
}

GridShape grid_shape(std::string_view text) {
  constexpr int most = 1 << 15;  // on an axis, so that the product of four can be counted
  return with_ones(parse(text == "serial" ? "" : text, most));
}

std::string to_string(const GridShape& shape) {
  std::string text;
  for (const Axis& axis : axes)
    if (shape.*axis.extent != 1) text += fmt::format("{}{}={}", text.empty() ? "" : ",", axis.name, shape.*axis.extent);
  return text.empty() ? "serial" : text;
}

}  // namespace tandem
