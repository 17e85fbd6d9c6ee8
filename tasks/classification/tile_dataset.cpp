#include "tasks/classification/tile_dataset.hpp"

namespace tandem {
namespace {

std::vector<real> to_real(const std::vector<double>& values) { return {values.begin(), values.end()}; }

}  // namespace

TileDataset::TileDataset(TileSet tiles, std::vector<Index> which, const ChannelStatistics& statistics, TileAugmentation augmentation,
                         std::uint64_t seed)
    : tiles_(std::move(tiles)),
      which_(std::move(which)),
      normaliser_({tiles_.height, tiles_.width, tiles_.channels}, to_real(statistics.mean), to_real(statistics.deviation)),
      augmentation_(augmentation),
      seed_(seed) {
  // Quarter turns would change the shape of a tile that is not square.
  if (tiles_.height != tiles_.width) augmentation_.quarter_turns = false;
}

void TileDataset::load(std::span<const std::int64_t> samples, std::int64_t step, Tensor& x, std::span<std::int32_t> labels) const {
  const auto values = static_cast<std::size_t>(tiles_.tile_bytes());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const Index tile = tile_number(samples[i]);
    labels[i] = tiles_.labels[static_cast<std::size_t>(tile)];
    normaliser_.augmented(tiles_.tile(tile), augmentation_, augmentation_random(seed_, samples[i], step),
                          x.values().subspan(i * values, values));
  }
}

}  // namespace tandem
