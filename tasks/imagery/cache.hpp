// Reading an image folder fast: decode once into one packed file, afterwards map that file into memory.
//
//   pixels of tile 0 | tile 1 | ... | index: class names, file names, labels, bad files | trailer: sizes, key, checksum
//
// Decoding the 24,300 JPEG files of EuroSAT takes seconds; mapping takes milliseconds, and all ranks of a machine share the
// same memory. What is known last is written last (as in Parquet), so the file is written front to back in one pass, and the
// pixels begin on a page. The key is a hash over the names, sizes and times of all files: a folder that changed in any way is
// decoded anew, and so is a cache file that is damaged, cut or of another version.
#pragma once

#include <filesystem>
#include <functional>

#include "tasks/imagery/folder.hpp"

namespace tandem {

struct ReadOptions {
  bool skip_bad = false;    // go on without files that cannot be used; TileSet::bad names them
  Index least_classes = 2;  // see ListOptions
  bool cache = true;        // false: decode into memory, touch no cache
  std::function<void(Index done, Index total)> progress = {};  // called now and then while decoding, by the calling thread
};

// All images of a folder, with labels. They must have one size: that of most of the first 256 images.
// Several processes may call this at once (each decodes, the last rename wins); let one rank go first to save the work.
// Errors: those of list_folder and read_image, and an image of another size (naming it and both sizes).
TileSet read_folder(const std::filesystem::path& root, const ReadOptions& options = {});

// $TANDEM_CACHE, else $XDG_CACHE_HOME/tandem, else ~/.cache/tandem, else /tmp/tandem-UID.
std::filesystem::path cache_directory();

// Where read_folder keeps the packed copy of `root`.
std::filesystem::path cache_path(const std::filesystem::path& root);

}  // namespace tandem
