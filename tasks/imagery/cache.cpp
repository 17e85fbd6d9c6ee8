#include "tasks/imagery/cache.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <tuple>

#include "core/file.hpp"
#include "core/random.hpp"
#include "core/threads.hpp"
#include "tasks/imagery/pack.hpp"

namespace tandem {
namespace {

namespace fs = std::filesystem;

constexpr Index block_files = 256;  // decoded at once: enough for all threads, little memory

// Names, sizes and times of all files and which of them were left out by their names.
std::uint64_t key_of(const ImageFolder& folder) {
  std::uint64_t key = hash(folder.root.native());
  for (const auto& [name, label, bytes, changed] : folder.files)
    key = mix(hash(name, key), static_cast<std::uint64_t>(label), bytes, static_cast<std::uint64_t>(changed));
  for (const BadFile& bad : folder.bad) key = mix(key, hash(bad.name));
  return key;
}

// The size that most of the images have.
std::tuple<Index, Index> usual_size(const std::vector<Image>& images) {
  std::map<std::tuple<Index, Index>, int> votes;
  for (const Image& image : images)
    if (!image.pixels.empty()) ++votes[{image.height, image.width}];
  if (votes.empty()) return {0, 0};
  return std::ranges::max_element(votes, {}, [](const auto& vote) { return vote.second; })->first;
}

// Decodes all files of a folder in the order of the listing and hands the pixels of the good ones to append().
// Returns all of the set but the pixels.
TileSet decode_folder(const ImageFolder& folder, const ReadOptions& options,
                      const std::function<void(std::span<const std::uint8_t>)>& append) {
  TileSet tiles;
  tiles.channels = 3;
  tiles.classes = folder.classes;
  tiles.bad = folder.bad;
  const auto total = static_cast<Index>(folder.files.size());
  for (Index begin = 0; begin < total; begin += block_files) {
    const Index count = std::min(block_files, total - begin);
    std::vector<Image> images(static_cast<std::size_t>(count));
    std::vector<std::string> reasons(images.size());
    // An exception must not leave an OpenMP loop: it is kept as text. Dynamic: files differ in size.
#pragma omp parallel for schedule(dynamic)
    for (Index i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      try {
        images[at] = read_image(folder.root / folder.files[static_cast<std::size_t>(begin + i)].name);
      } catch (const std::exception& error) {
        reasons[at] = error.what();
      }
    }

    if (tiles.height == 0) std::tie(tiles.height, tiles.width) = usual_size(images);
    for (std::size_t i = 0; i < images.size(); ++i) {
      const FolderFile& file = folder.files[static_cast<std::size_t>(begin) + i];
      const auto& [h, w, c, pixels] = images[i];
      if (reasons[i].empty() && (h != tiles.height || w != tiles.width))
        reasons[i] = fmt::format("image '{}': {}x{} pixels, but the other images of the folder have {}x{}",
                                 (folder.root / file.name).string(), w, h, tiles.width, tiles.height);
      if (reasons[i].empty()) {
        append(pixels);
        tiles.names.push_back(file.name);
        tiles.labels.push_back(file.label);
      } else {
        require(options.skip_bad, "{}", reasons[i]);
        tiles.bad.push_back({file.name, reasons[i]});
      }
    }
    if (options.progress) options.progress(begin + count, total);
  }

  for (std::size_t label = 0; label < tiles.classes.size(); ++label)
    require(std::ranges::count(tiles.labels, static_cast<std::int32_t>(label)) > 0,
            "folder '{}': class '{}' has no image that can be used; {}", folder.root.string(), tiles.classes[label],
            tiles.bad.empty() ? "" : tiles.bad.back().reason);
  return tiles;
}

TileSet decode_to_memory(const ImageFolder& folder, const ReadOptions& options) {
  std::vector<std::uint8_t> pixels;
  TileSet tiles = decode_folder(
      folder, options, [&](std::span<const std::uint8_t> tile) { pixels.insert(pixels.end(), tile.begin(), tile.end()); });
  tiles.own(std::move(pixels));
  return tiles;
}

// A failure of the cache file, as opposed to one of the images: it costs time, not the run.
struct CacheFailure : Error {
  using Error::Error;
};

template <class Step>
void attempt(const Step& step) {
  try {
    step();
  } catch (const std::exception& error) {
    throw CacheFailure(error.what());
  }
}

void decode_to_file(const ImageFolder& folder, const ReadOptions& options, const fs::path& path) {
  std::optional<NewFile> file;
  attempt([&] {
    fs::create_directories(path.parent_path());
    file.emplace(path);
  });
  const TileSet tiles = decode_folder(folder, options, [&](std::span<const std::uint8_t> tile) {
    attempt([&] { file->append({reinterpret_cast<const char*>(tile.data()), tile.size()}); });
  });
  attempt([&] {
    file->append(packed_ending(tiles, key_of(folder)));
    file->commit();
  });
}

// The bytes of a file, mapped: the system reads a page when it is first touched and shares it among processes.
// The file may be replaced by rename meanwhile; the mapping keeps the old one alive.
std::shared_ptr<const std::string_view> map_file(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return nullptr;
  struct stat status {};
  void* start = MAP_FAILED;
  std::size_t size = 0;
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    size = static_cast<std::size_t>(status.st_size);
    start = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
  }
  ::close(descriptor);
  if (start == MAP_FAILED) return nullptr;
  return {new std::string_view(static_cast<const char*>(start), size), [](const std::string_view* bytes) {
            ::munmap(const_cast<char*>(bytes->data()), bytes->size());
            delete bytes;
          }};
}

// The packed copy, if there is a whole one of just these files.
std::optional<TileSet> open_cache(const fs::path& path, std::uint64_t key) {
  const auto bytes = map_file(path);
  if (!bytes) return std::nullopt;
  try {
    TileSet tiles = unpack(*bytes, key);
    tiles.storage = bytes;
    return tiles;
  } catch (const Error&) {
    return std::nullopt;  // another version or a damaged file: it will be replaced
  }
}

}  // namespace

fs::path cache_directory() {
  const auto variable = [](const char* name) {
    const char* const value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  if (const fs::path own = variable("TANDEM_CACHE"); !own.empty()) return own;
  if (const fs::path user = variable("XDG_CACHE_HOME"); user.is_absolute()) return user / "tandem";
  if (const fs::path home = variable("HOME"); home.is_absolute()) return home / ".cache" / "tandem";
  return fmt::format("/tmp/tandem-{}", ::getuid());
}

fs::path cache_path(const fs::path& root) {
  const fs::path folder = fs::weakly_canonical(root);
  return cache_directory() / fmt::format("{:016x}.tiles", hash(folder.native()));
}

TileSet read_folder(const fs::path& root, const ReadOptions& options) {
  const ImageFolder folder = list_folder(root, {.skip_bad = options.skip_bad, .least_classes = options.least_classes});
  if (!options.cache) return decode_to_memory(folder, options);

  const fs::path path = cache_path(folder.root);
  const std::uint64_t key = key_of(folder);
  auto tiles = open_cache(path, key);
  if (!tiles) {
    try {
      decode_to_file(folder, options, path);
      tiles = open_cache(path, key);
      require(tiles.has_value(), "cache '{}': cannot be read back", path.string());
    } catch (const CacheFailure& failure) {
      tiles = decode_to_memory(folder, options);
      tiles->note = fmt::format("no packed copy is kept, images are decoded in each run: {}", failure.what());
    }
  }
  require(options.skip_bad || tiles->bad.empty(), "{}", tiles->bad.empty() ? "" : tiles->bad.front().reason);
  return *std::move(tiles);
}

}  // namespace tandem
