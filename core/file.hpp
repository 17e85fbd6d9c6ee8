// Files: whole or not at all.
//
// A program may be killed, the disk may be full, two ranks may write at once. A reader must never see half a file, so it is
// written under another name in the same folder, forced to the disk, and then renamed: POSIX promises that rename() replaces
// the old file in one step.
//
//   .tandem-PID-N.part   write ... write, fsync   ->   rename   ->   report.html
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace tandem {

// A file in the making: append() its bytes front to back, then commit(). Without commit() nothing remains and what stood at
// `path` before stays. A link is followed; a device or pipe (/dev/stdout) has no whole to keep and is written at once.
// Errors name the path and the system's reason: no such folder, permission denied, no space left, is a directory.
class NewFile {
 public:
  explicit NewFile(const std::filesystem::path& path);
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();

  void append(std::string_view bytes);
  void commit();

 private:
  [[noreturn]] void give_up(int error);

  std::filesystem::path path_, part_;  // part_ is empty once there is nothing to remove
  int descriptor_ = -1;
};

// Replaces `path` by `bytes` in one step.
void write_file(const std::filesystem::path& path, std::string_view bytes);

// The bytes of a regular file of at most `max_bytes`. Errors: cannot be opened (and why), not a regular file, too large.
// Memory is taken for the file's real size only, so a small limit guards against a hostile file.
inline constexpr std::size_t default_max_file_bytes = std::size_t{1} << 32;
std::string read_file(const std::filesystem::path& path, std::size_t max_bytes = default_max_file_bytes);

}  // namespace tandem
