// What image.cpp needs to know of stb.cpp.
#pragma once

#include <cstddef>
#include <vector>

namespace tandem {

// The memory that stb_image gets on this thread while the object lives; without one it gets none.
//
// No single block may be larger than `largest_block`: a file of a few kilobytes that unpacks to gigabytes then ends as "out of
// memory" in the decoder instead of in the machine. And all blocks are given back at the end, also when the decoder was left
// by an exception: it asserts things that damaged files violate, and our assertion throws.
class DecoderMemory {
 public:
  explicit DecoderMemory(std::size_t largest_block);
  DecoderMemory(const DecoderMemory&) = delete;
  DecoderMemory& operator=(const DecoderMemory&) = delete;
  ~DecoderMemory();

  void* take(std::size_t bytes);
  void* resize(void* block, std::size_t bytes);
  void give(void* block);

 private:
  std::size_t largest_block_;
  std::vector<void*> blocks_;  // about ten at a time
};

}  // namespace tandem
