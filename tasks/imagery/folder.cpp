#include "tasks/imagery/folder.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/error.hpp"

namespace tandem {
namespace {

namespace fs = std::filesystem;

// What is in a folder, hidden entries left out, sorted by the bytes of the name. Error: it cannot be read, and why.
std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->path().filename().native().front() != '.') entries.push_back(*at);
  require(!error, "folder '{}': {}", folder.string(), error.message());
  std::ranges::sort(entries, {}, [](const fs::directory_entry& entry) { return entry.path().filename().native(); });
  return entries;
}

std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> folders;
  std::error_code none;
  for (const auto& entry : entries_of(folder))
    if (entry.is_directory(none)) folders.push_back(entry.path());
  return folders;
}

bool has_image_name(const fs::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](char c) { return 'A' <= c && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

// Class names go into JSON, which is UTF-8; better to refuse one now than after hours of training.
bool is_utf8(const std::string& text) {
  try {
    return !nlohmann::json(text).dump().empty();
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}
std::string printable_ascii(std::string text) {
  std::ranges::replace_if(text, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

}  // namespace

ImageFolder list_folder(const fs::path& root, const ListOptions& options) {
  std::error_code error;
  require(fs::exists(root, error) || error, "folder '{}': there is no such folder", root.string());
  require(fs::is_directory(root, error), "folder '{}': {}", root.string(), error ? error.message() : "this is not a folder");

  ImageFolder folder{.root = root, .classes = {}, .files = {}, .bad = {}};
  std::vector<fs::path> class_folders = folders_in(root);
  if (class_folders.size() == 1) {
    if (auto below = folders_in(class_folders.front()); !below.empty()) {
      folder.root = class_folders.front();
      class_folders = std::move(below);
    }
  }
  require(!class_folders.empty(), "folder '{}': no class folders in it; ROOT/CLASS/FILE.jpg is expected", root.string());

  for (const fs::path& class_folder : class_folders) {
    const std::string name = class_folder.filename().string();
    require(is_utf8(name), "folder '{}': the name of a class is not UTF-8: '{}'", folder.root.string(), printable_ascii(name));
    const auto label = static_cast<std::int32_t>(folder.classes.size());
    const std::size_t before = folder.files.size();
    for (const auto& entry : entries_of(class_folder)) {
      const std::string file = name + "/" + entry.path().filename().string();
      std::error_code status;
      if (entry.is_regular_file(status) && has_image_name(entry.path())) {
        const std::uint64_t bytes = entry.file_size(status);
        const auto changed = entry.last_write_time(status).time_since_epoch();
        folder.files.push_back({file, label, bytes, std::chrono::nanoseconds(changed).count()});
      } else {
        const std::string reason =
            fmt::format("image '{}': not an image: {}", entry.path().string(),
                        entry.is_directory(status)      ? "this is a folder"
                        : entry.is_regular_file(status) ? "its name ends in neither .jpg, .jpeg nor .png"
                        : status                        ? status.message()
                                                        : "this is not a regular file");
        require(options.skip_bad, "{}", reason);
        folder.bad.push_back({file, reason});
      }
    }
    require(folder.files.size() > before, "folder '{}': class '{}' has no images", folder.root.string(), name);
    folder.classes.push_back(name);
  }
  require(static_cast<Index>(folder.classes.size()) >= options.least_classes,
          "folder '{}': only {} class ('{}') where at least {} are needed", folder.root.string(), folder.classes.size(),
          folder.classes.front(), options.least_classes);
  return folder;
}

}  // namespace tandem
