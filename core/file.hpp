// Files: whole or not at all.
//
// A program may be killed, the disk may be full, two ranks may write at once. A reader must never see half a file, so it is
// written under another name in the same folder, forced to the disk, and then renamed: POSIX promises that rename() replaces
// the old file in one step.
//
//   .report.html.PID-N.part   write, fsync   ->   rename   ->   report.html
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace tandem {

// Replaces `path` by `bytes`; on any failure `path` is as it was before and nothing else is left behind.
// Errors name the path and the system's reason: no such folder, permission denied, no space left, is a directory.
void write_file(const std::filesystem::path& path, std::string_view bytes);

// The bytes of a regular file of at most `max_bytes`. Errors: cannot be opened (and why), not a regular file, too large.
// Memory is taken for the file's real size only, so a small limit guards against a hostile file.
inline constexpr std::size_t default_max_file_bytes = std::size_t{1} << 32;
std::string read_file(const std::filesystem::path& path, std::size_t max_bytes = default_max_file_bytes);

}  // namespace tandem
