// A part of a TileSet as a Dataset: bytes become normalised, augmented network input when they are asked for.
#pragma once

#include "nn/augment.hpp"
#include "nn/data.hpp"
#include "tasks/imagery/split.hpp"

namespace tandem {

class TileDataset : public Dataset {
 public:
  // Tiles `which` of `tiles` (copied: pixels are shared). `statistics` are those of the training part, also for the others.
  TileDataset(TileSet tiles, std::vector<Index> which, const ChannelStatistics& statistics,
              TileAugmentation augmentation = TileAugmentation::none(), std::uint64_t seed = 0);

  std::int64_t size() const override { return static_cast<std::int64_t>(which_.size()); }
  Shape sample_shape() const override { return {tiles_.height, tiles_.width, tiles_.channels}; }
  int classes() const override { return static_cast<int>(tiles_.classes.size()); }
  void load(std::span<const std::int64_t> samples, std::int64_t step, Tensor& x, std::span<std::int32_t> labels) const override;

  const TileSet& tiles() const { return tiles_; }
  Index tile_number(std::int64_t sample) const { return which_[static_cast<std::size_t>(sample)]; }

 private:
  TileSet tiles_;
  std::vector<Index> which_;
  TileNormaliser normaliser_;
  TileAugmentation augmentation_;
  std::uint64_t seed_;
};

}  // namespace tandem
