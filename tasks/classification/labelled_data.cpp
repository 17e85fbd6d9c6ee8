#include "tasks/classification/labelled_data.hpp"

#include <numeric>
#include <optional>

#include "parallel/collectives/collectives.hpp"
#include "tasks/imagery/cache.hpp"
#include "tasks/imagery/idx.hpp"
#include "tasks/imagery/synthetic.hpp"
#include "tasks/report/progress.hpp"

namespace tandem {
namespace {

TileSet read_tiles(const DataRequest& request, Index least_classes, const Communicator& world) {
  TileSet tiles;
  const auto read = [&] {
    std::optional<ProgressBar> shown;
    tiles = read_folder(request.path, {.skip_bad = request.skip_bad, .least_classes = least_classes, .cache = request.cache,
                                       .progress = [&](Index done, Index total) {
                                         if (!shown) shown.emplace("reading images", total, world.rank() == 0);
                                         shown->update(done);
                                       }});
  };
  on_rank_0(world, read);
  if (world.rank() != 0) read();
  return tiles;
}

std::string folder_name(const std::filesystem::path& path) {
  const auto folder = path.lexically_normal();
  return (folder.has_filename() ? folder : folder.parent_path()).filename().string();
}

// The training part of MNIST is split again for validation; its test part stays what everybody reports on.
LabelledData read_mnist(const DataRequest& request) {
  TrainTest mnist = read_fashion_mnist(request.path);
  require(mnist.test.height == mnist.train.height && mnist.test.width == mnist.train.width,
          "{}: test images are {}x{}, training images {}x{}", request.path, mnist.test.height, mnist.test.width, mnist.train.height,
          mnist.train.width);
  LabelledData data{.name = folder_name(request.path), .tiles = mnist.train, .split = {}};
  data.split = stratified_split(data.tiles.labels, data.tiles.classes, request.seed, {.train = 0.9, .validation = 0.1, .test = 0});
  data.split.test.resize(static_cast<std::size_t>(mnist.test.size()));
  std::iota(data.split.test.begin(), data.split.test.end(), data.tiles.size());

  std::vector<std::uint8_t> pixels(mnist.train.pixels.begin(), mnist.train.pixels.end());
  pixels.insert(pixels.end(), mnist.test.pixels.begin(), mnist.test.pixels.end());
  data.tiles.own(std::move(pixels));
  data.tiles.labels.insert(data.tiles.labels.end(), mnist.test.labels.begin(), mnist.test.labels.end());
  data.tiles.names.insert(data.tiles.names.end(), mnist.test.names.begin(), mnist.test.names.end());
  return data;
}

bool holds_mnist(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / "train-images-idx3-ubyte") || std::filesystem::exists(folder / "train-images-idx3-ubyte.gz");
}

}  // namespace

LabelledData read_labelled_data(const DataRequest& request, const Communicator& world) {
  LabelledData data;
  if (request.path.empty()) {
    data = {.name = "synthetic landscapes", .tiles = synthetic_tiles(request.synthetic, request.seed), .split = {}};
  } else if (holds_mnist(request.path)) {
    return read_mnist(request);
  } else {
    data = {.name = folder_name(request.path), .tiles = read_tiles(request, 2, world), .split = {}};
  }
  data.split = stratified_split(data.tiles.labels, data.tiles.classes, request.seed);
  return data;
}

TileSet read_scoring_folder(const DataRequest& request, const Communicator& world) { return read_tiles(request, 1, world); }

}  // namespace tandem
