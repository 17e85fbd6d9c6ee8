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

std::string reason(int error) { return std::generic_category().message(error); }

// Owns a file descriptor. close() reports what the destructor would swallow: some file systems find a full disk only then.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  int get() const { return fd_; }
  bool close() {
    const int fd = std::exchange(fd_, -1);
    return fd < 0 || ::close(fd) == 0;
  }

 private:
  int fd_;
};

// A name that no other thread or process of this machine picks; hidden, so that a folder listing ignores it.
std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  static std::atomic<unsigned> counter{0};
  return path.parent_path() / fmt::format(".{}.{}-{}.part", path.filename().string(), ::getpid(), counter++);
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

void write_file(const std::filesystem::path& path, std::string_view bytes) {
  require(path.has_filename(), "write '{}': this names no file", path.string());
  require(!std::filesystem::is_directory(path), "write '{}': this is a directory", path.string());

  const std::filesystem::path part = temporary_beside(path);
  Descriptor file(::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file.get() < 0) fail("write '{}': {}", path.string(), reason(errno));

  const bool ok =
      write_all(file.get(), bytes) && ::fsync(file.get()) == 0 && file.close() && ::rename(part.c_str(), path.c_str()) == 0;
  if (!ok) {
    const int error = errno;
    ::unlink(part.c_str());
    fail("write '{}': {} ({} bytes were to be written)", path.string(), reason(error), bytes.size());
  }
}

std::string read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  // O_NONBLOCK: opening a named pipe must not wait for its writer; it has no effect on regular files.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) fail("read '{}': {}", path.string(), reason(errno));

  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail("read '{}': {}", path.string(), reason(errno));
  require(!S_ISDIR(status.st_mode), "read '{}': this is a directory", path.string());
  require(S_ISREG(status.st_mode), "read '{}': not a regular file", path.string());
  const auto size = static_cast<std::size_t>(status.st_size);
  require(size <= max_bytes, "read '{}': too large, {} bytes where at most {} are allowed", path.string(), size, max_bytes);

  std::string bytes(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count = ::read(file.get(), bytes.data() + done, size - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("read '{}': {}", path.string(), reason(errno));
    if (count == 0) break;  // somebody cut the file after fstat
    done += static_cast<std::size_t>(count);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace tandem
