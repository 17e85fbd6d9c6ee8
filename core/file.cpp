#include "core/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/error.hpp"

namespace tandem {
namespace {

namespace fs = std::filesystem;

std::string reason(int error) { return std::generic_category().message(error); }

// The file a chain of links ends at, also where that file does not exist yet.
fs::path follow_links(fs::path path) {
  std::error_code none;
  for (int links = 0; links < 40 && fs::is_symlink(path, none); ++links)
    path = path.parent_path() / fs::read_symlink(path, none);  // an absolute target replaces the folder
  return path;
}

}  // namespace

NewFile::NewFile(const fs::path& path) : path_(follow_links(path)) {
  std::error_code none;
  require(path_.has_filename(), "write '{}': this names no file", path_.string());
  require(!fs::is_directory(path_, none), "write '{}': this is a directory", path_.string());
  if (fs::exists(path_, none) && !fs::is_regular_file(path_, none)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) give_up(errno);
    return;
  }

  // Process number and counter are unique on one machine; on a shared disk O_EXCL finds the clash, and the next number is tried.
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0; descriptor_ < 0 && attempt < 100; ++attempt) {
    part_ = path_.parent_path() / fmt::format(".tandem-{}-{}.part", ::getpid(), counter++);
    descriptor_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno != EEXIST) break;
  }
  if (descriptor_ < 0) {
    const int error = errno;
    part_.clear();
    give_up(error);
  }
}

NewFile::~NewFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!part_.empty()) ::unlink(part_.c_str());
}

void NewFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) give_up(errno);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void NewFile::commit() {
  const bool regular = !part_.empty();
  if (regular && ::fsync(descriptor_) != 0) give_up(errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) give_up(errno);  // some file systems find a full disk only now
  if (regular && ::rename(part_.c_str(), path_.c_str()) != 0) give_up(errno);
  part_.clear();
}

void NewFile::give_up(int error) { fail("write '{}': {}", path_.string(), reason(error)); }

void write_file(const fs::path& path, std::string_view bytes) {
  NewFile file(path);
  file.append(bytes);
  file.commit();
}

std::string read_file(const fs::path& path, std::size_t max_bytes) {
  // O_NONBLOCK: opening a named pipe must not wait for its writer; it has no effect on regular files.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail("read '{}': {}", path.string(), reason(errno));
  const struct Closer {
    int descriptor;
    ~Closer() { ::close(descriptor); }
  } closer{descriptor};

  struct stat status {};
  if (::fstat(descriptor, &status) != 0) fail("read '{}': {}", path.string(), reason(errno));
  require(!S_ISDIR(status.st_mode), "read '{}': this is a directory", path.string());
  require(S_ISREG(status.st_mode), "read '{}': not a regular file", path.string());
  const auto size = static_cast<std::size_t>(status.st_size);
  require(size <= max_bytes, "read '{}': too large, {} bytes where at most {} are allowed", path.string(), size, max_bytes);

  std::string bytes(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count = ::read(descriptor, bytes.data() + done, size - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("read '{}': {}", path.string(), reason(errno));
    if (count == 0) break;  // somebody cut the file meanwhile
    done += static_cast<std::size_t>(count);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace tandem
