// What several tests need.
#pragma once

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "core/random.hpp"
#include "core/tensor.hpp"
#include "core/threads.hpp"

namespace tandem {

// The text of the Error that `action` throws.
std::string error_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// A folder of its own, removed at the end.
struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "tandem-test-XXXXXX").string();
    require(::mkdtemp(name.data()) != nullptr, "cannot make the folder {}", name);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

// Equal shapes, and every bit of every value equal: unlike ==, this tells 0 from -0 and finds NaN equal to itself.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.data(), b.data(), a.values().size_bytes()) == 0;
}

inline Tensor random_tensor(const Shape& shape, std::uint64_t stream = 0) {
  Tensor x(shape);
  Random random(5, stream);
  for (real& v : x.values()) v = static_cast<real>(random.normal());
  return x;
}

// Whole numbers from -4 to 4: their sums and products are exact in any order, so that tests may demand equality.
inline Tensor whole_numbers(const Shape& shape, std::uint64_t stream = 0) {
  Tensor x(shape);
  Random random(6, stream);
  for (real& v : x.values()) v = static_cast<real>(random.below(9)) - 4;
  return x;
}

// Sets the number of threads while it lives.
class Threads {
 public:
  explicit Threads(int count) : before_(thread_count()) { set_thread_count(count); }
  ~Threads() { set_thread_count(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

}  // namespace tandem
