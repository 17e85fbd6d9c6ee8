#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "core/error.hpp"
#include "core/file.hpp"

using namespace tandem;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / fmt::format("tandem-file-test-{}", ::getpid());
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  auto entries() const { return std::distance(fs::directory_iterator(path), fs::directory_iterator{}); }
};

}  // namespace

TEST_CASE("what is written is read back, byte for byte, and replaces what was there") {
  const Folder folder;
  const fs::path file = folder.path / "a";
  for (const std::string& bytes : {std::string("first"), std::string(1 << 20, '\0'), std::string()}) {
    write_file(file, bytes);
    CHECK(read_file(file) == bytes);
  }
  CHECK(folder.entries() == 1);
}

TEST_CASE("a file that is not finished leaves no trace and the old one as it was") {
  const Folder folder;
  const fs::path file = folder.path / "a";
  write_file(file, "old");
  {
    NewFile part(file);
    part.append("half of the new");
    CHECK(folder.entries() == 2);
  }
  CHECK(read_file(file) == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("a write that the system refuses half way leaves no trace and the old file as it was") {
  const Folder folder;
  const fs::path file = folder.path / "a";
  write_file(file, "old");
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{.rlim_cur = 1 << 16, .rlim_max = before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);  // the limit then shows as an error of write(), as a full disk does
  setrlimit(RLIMIT_FSIZE, &small);
  CHECK_THROWS_AS(write_file(file, std::string(1 << 20, 'x')), Error);
  setrlimit(RLIMIT_FSIZE, &before);
  CHECK(read_file(file) == "old");
  CHECK(folder.entries() == 1);
  write_file(file, std::string(1 << 20, 'x'));
  CHECK(read_file(file).size() == 1 << 20);
}

TEST_CASE("errors of files name the path and the reason") {
  const Folder folder;
  CHECK_THROWS_WITH_AS(read_file(folder.path / "none"), doctest::Contains("none': No such file"), Error);
  CHECK_THROWS_WITH_AS(read_file(folder.path), doctest::Contains("directory"), Error);
  CHECK_THROWS_WITH_AS(write_file(folder.path, "x"), doctest::Contains("directory"), Error);
  CHECK_THROWS_WITH_AS(write_file(folder.path / "none" / "a", "x"), doctest::Contains("none/a': No such file"), Error);
  CHECK_THROWS_WITH_AS(write_file("/dev/full", "x"), doctest::Contains("No space left"), Error);
  write_file(folder.path / "a", "123456");
  CHECK(read_file(folder.path / "a", 6) == "123456");
  CHECK_THROWS_WITH_AS(read_file(folder.path / "a", 5), doctest::Contains("too large"), Error);
}

TEST_CASE("a link is followed, a device is written to and stays one") {
  const Folder folder;
  write_file(folder.path / "target", "old");
  fs::create_symlink("target", folder.path / "link");
  write_file(folder.path / "link", "new");
  CHECK(fs::is_symlink(folder.path / "link"));
  CHECK(read_file(folder.path / "target") == "new");
  write_file("/dev/null", "gone");
  CHECK(fs::is_character_file("/dev/null"));
}
