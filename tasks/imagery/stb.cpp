// The one place where stb_image (Sean Barrett, public domain) is compiled: only the decoders for JPEG and PNG, which are the
// only ones we expose to strangers' files, and only from memory.
#include "tasks/imagery/stb.hpp"

#include <algorithm>
#include <cstdlib>

#include "core/error.hpp"

namespace tandem {
namespace {

thread_local DecoderMemory* current = nullptr;

void* take_block(std::size_t bytes) { return current ? current->take(bytes) : nullptr; }
void* resize_block(void* block, std::size_t bytes) { return current ? current->resize(block, bytes) : nullptr; }
void give_block(void* block) {
  if (current) current->give(block);
}

}  // namespace

DecoderMemory::DecoderMemory(std::size_t largest_block) : largest_block_(largest_block) { current = this; }

DecoderMemory::~DecoderMemory() {
  current = nullptr;
  for (void* block : blocks_) std::free(block);
}

void* DecoderMemory::take(std::size_t bytes) { return resize(nullptr, bytes); }

void* DecoderMemory::resize(void* block, std::size_t bytes) {
  if (bytes > largest_block_) return nullptr;
  void* const moved = std::realloc(block, std::max<std::size_t>(bytes, 1));
  if (!moved) return nullptr;
  if (block)
    std::ranges::replace(blocks_, block, moved);
  else
    blocks_.push_back(moved);
  return moved;
}

void DecoderMemory::give(void* block) {
  std::erase(blocks_, block);
  std::free(block);
}

}  // namespace tandem

#define STBI_MALLOC(bytes) tandem::take_block(bytes)
#define STBI_REALLOC(block, bytes) tandem::resize_block(block, bytes)
#define STBI_FREE(block) tandem::give_block(block)
#define STBI_ASSERT(condition) tandem::require(condition, "damaged: impossible values in the compressed data")
#define STBI_NO_STDIO
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>

#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
