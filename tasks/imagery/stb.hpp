// What image.cpp needs to know of stb.cpp.
#pragma once

#include <cstddef>

namespace tandem {

// While it lives, stb_image on this thread gets no single block of more than `bytes`: a file of a few kilobytes that unpacks
// to gigabytes ends as "out of memory" in the decoder instead of in the machine. Without one, stb_image gets nothing.
class DecoderMemory {
 public:
  explicit DecoderMemory(std::size_t bytes);
  DecoderMemory(const DecoderMemory&) = delete;
  DecoderMemory& operator=(const DecoderMemory&) = delete;
  ~DecoderMemory();
};

}  // namespace tandem
