// From the name that a user gives to labelled tiles, cut into training, validation and test parts.
#pragma once

#include "parallel/mpi/communicator.hpp"
#include "tasks/imagery/split.hpp"
#include "tasks/imagery/tiles.hpp"

namespace tandem {

struct LabelledData {
  std::string name;  // for titles: "eurosat", "fashion-mnist", "synthetic landscapes"
  TileSet tiles;
  Split split;
};

struct DataRequest {
  std::string path;            // an image folder, a folder with MNIST's IDX files, or empty: the embedded generator
  std::int64_t synthetic = 6000;  // how many tiles to generate
  std::uint64_t seed = 1;      // of the split (MNIST's test part is as given)
  bool skip_bad = false;
  bool cache = true;
};

// Rank 0 reads first and fills the cache; then the others find it there. Errors are the same on every rank.
LabelledData read_labelled_data(const DataRequest& request, const Communicator& world);

// An image folder for scoring alone: one class suffices, nothing is split.
TileSet read_scoring_folder(const DataRequest& request, const Communicator& world);

}  // namespace tandem
