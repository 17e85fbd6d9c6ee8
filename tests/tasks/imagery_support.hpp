// What the imagery tests share: a folder that goes away, and the messages of errors.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/error.hpp"

namespace tandem::test {

namespace fs = std::filesystem;

class TemporaryFolder {
 public:
  TemporaryFolder() {
    static std::atomic<int> count{0};
    path_ = fs::temp_directory_path() / fmt::format("tandem-test-{}-{}", ::getpid(), count++);
    fs::create_directories(path_);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }
  operator fs::path() const { return path_; }

 private:
  fs::path path_;
};

inline fs::path operator/(const TemporaryFolder& folder, const std::string& name) { return folder.path() / name; }

// The packed caches of these tests go where they harm nobody.
class PrivateCache {
 public:
  PrivateCache() { ::setenv("TANDEM_CACHE", folder_.path().c_str(), 1); }
  ~PrivateCache() { ::unsetenv("TANDEM_CACHE"); }
  const fs::path& path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
};

// What a call complains of; empty if it does not.
template <class Call>
std::string complaint(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace tandem::test
