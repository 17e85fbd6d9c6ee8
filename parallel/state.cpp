#include "parallel/state.hpp"

#include <nlohmann/json.hpp>

#include "core/ops.hpp"
#include "parallel/collectives/collectives.hpp"

namespace tandem {
namespace {

// Writes `part` where it belongs in a whole.
void put(const Buffer& part, Tensor& whole) {
  // A slice: entries of the axis are runs of `inner` values, repeated for all that is before the axis. No slice: a single run.
  const Shape& shape = part.stretch ? part.stretch->of : part.values.shape();
  const int axis = part.slice ? part.slice->axis : -1;
  Index outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= shape[i];
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  const Index run = part.slice ? shape[axis] * inner : shape.size();
  // A stretch: of all runs one after the other, values [begin, end).
  const Index begin = part.stretch ? part.stretch->begin : 0, end = begin + part.values.size();
  for (Index i = 0; i < outer; ++i) {
    const Index from = std::max(begin, i * run), to = std::min(end, (i + 1) * run);
    const Index place = part.slice ? (i * part.slice->whole + part.slice->begin) * inner : 0;
    if (from < to) std::copy_n(part.values.data() + from - begin, to - from, whole.data() + place + from - i * run);
  }
}

}  // namespace

void gather_state(const std::vector<Buffer>& parts, const std::vector<Buffer>& whole, const Communicator& world) {
  // Everybody must know what comes next: names and shapes.
  nlohmann::json list = nlohmann::json::array();
  for (const Buffer& b : whole) list.push_back({b.name, std::vector<Index>(b.values.shape().begin(), b.values.shape().end())});
  list = nlohmann::json::parse(broadcast_text(list.dump(), 0, world));

  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto name = list[i][0].get<std::string>();
    const Shape shape(std::span<const Index>(list[i][1].get<std::vector<Index>>()));
    const auto part = std::ranges::find(parts, name, &Buffer::name);
    const bool have = part != parts.end();
    const bool fits = !have || whole_shape(*part) == shape;
    std::int64_t counts[2] = {have ? part->values.size() : 0, fits ? 0 : 1};
    sum_over_ranks(counts, world);
    require(counts[0] == shape.size() && counts[1] == 0,
            "gather: '{}' is {}, {} values, but the ranks answer for {}, and {} of them for parts of another shape", name, shape, shape.size(),
            counts[0], counts[1]);

    Tensor sum = Tensor::full(shape, real(-0.0));
    if (have) put(*part, sum);
    reduce(sum.values(), 0, world);
    if (world.rank() == 0) Tensor(whole[i].values).copy_from(sum);
  }
}

std::vector<Buffer> owned_parts(std::vector<Buffer> state, const ProcessGrid& grid) {
  if (grid.replicas().rank() != 0) std::erase_if(state, [](const Buffer& b) { return !b.stretch; });
  if (grid.tensor().rank() != 0) std::erase_if(state, [](const Buffer& b) { return !b.slice; });
  return state;
}

}  // namespace tandem
