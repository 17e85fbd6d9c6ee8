// An image folder: ROOT/CLASS/FILE.jpg, where the name of the sub-folder is the label.
//
// The listing is the same on every machine: classes and files are sorted by their bytes, since the order in which a file
// system names its entries is anybody's guess.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tasks/imagery/tiles.hpp"

namespace tandem {

struct FolderFile {
  std::string name;  // relative to the root: "Forest/Forest_17.jpg"
  std::int32_t label = 0;
  std::uint64_t bytes = 0;   // size and time of the last change tell whether a cached copy is still good
  std::int64_t changed = 0;  // nanoseconds of the file system's clock
};

struct ImageFolder {
  std::filesystem::path root;
  std::vector<std::string> classes;
  std::vector<FolderFile> files;
  std::vector<BadFile> bad;
};

struct ListOptions {
  bool skip_bad = false;    // collect files that are no images in `bad` instead of failing at the first
  Index least_classes = 2;  // one class teaches nothing, but it can be scored
};

// Lists .jpg, .jpeg and .png files (any case) one level below the class folders; hidden entries are ignored. If `root` holds
// nothing but one folder that itself holds class folders (as an unpacked EuroSAT/2750 does), that one is taken as the root.
// Errors: no such folder, no class folders, too few classes, a class without images, a file that is no image.
ImageFolder list_folder(const std::filesystem::path& root, const ListOptions& options = {});

}  // namespace tandem
