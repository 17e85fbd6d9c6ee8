#include "parallel/grid.hpp"

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

GridShape place_of(int rank, const GridShape& shape) {
  GridShape place;
  place.tensor = rank % shape.tensor, rank /= shape.tensor;
  place.spatial = rank % shape.spatial, rank /= shape.spatial;
  place.data = rank % shape.data, place.pipeline = rank / shape.data;
  return place;
}

// The ranks that share all coordinates but those of `free`.
Communicator along(const Communicator& world, const GridShape& shape, const GridShape& place, std::initializer_list<int GridShape::*> free) {
  GridShape fixed = place;
  for (const auto axis : free) fixed.*axis = 0;
  const int colour = ((fixed.pipeline * shape.data + fixed.data) * shape.spatial + fixed.spatial) * shape.tensor + fixed.tensor;
  return world.split(colour, world.rank());
}

const GridShape& checked(const GridShape& shape, int ranks) {
  for (const Axis& axis : axes)
    if (shape.*axis.extent < 1) throw UsageError(fmt::format("grid: {} is {}; expected 1 or more", axis.name, shape.*axis.extent));
  if (shape.size() != ranks)
    throw UsageError(fmt::format("grid {}: {} x {} x {} x {} (data, pipeline, tensor, spatial) are {} ranks, but there are {}; start it "
                                 "with -n {}, or change the grid", to_string(shape), shape.data, shape.pipeline, shape.tensor,
                                 shape.spatial, shape.size(), ranks, shape.size()));
  return shape;
}

}  // namespace

GridShape grid_shape(std::string_view text, int ranks) {
  GridShape shape{.data = 0, .pipeline = 0, .tensor = 0, .spatial = 0};  // 0: not named
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
  const bool data_is_free = shape.data == 0;
  for (const Axis& axis : axes) shape.*axis.extent = std::max(shape.*axis.extent, 1);
  if (data_is_free) {
    if (ranks % shape.size() != 0)
      throw UsageError(fmt::format("grid '{}': {} ranks are no multiple of {}; start it with -n {}, or change the grid", text, ranks,
                                   shape.size(), shape.size()));
    shape.data = ranks / static_cast<int>(shape.size());
  }
  return checked(shape, ranks);
}

std::string to_string(const GridShape& shape) {
  std::string text;
  for (const Axis& axis : axes)
    if (shape.*axis.extent != 1) text += fmt::format("{}{}={}", text.empty() ? "" : ",", axis.name, shape.*axis.extent);
  return text.empty() ? "serial" : text;
}

ProcessGrid::ProcessGrid(const Communicator& world, GridShape shape)
    : world_(world),
      shape_(checked(shape, world.size())),
      place_(place_of(world.rank(), shape)),
      data_(along(world, shape, place_, {&GridShape::data})),
      pipeline_(along(world, shape, place_, {&GridShape::pipeline})),
      tensor_(along(world, shape, place_, {&GridShape::tensor})),
      spatial_(along(world, shape, place_, {&GridShape::spatial})),
      replicas_(along(world, shape, place_, {&GridShape::data, &GridShape::spatial})),
      model_(along(world, shape, place_, {&GridShape::pipeline, &GridShape::tensor})) {}

}  // namespace tandem
