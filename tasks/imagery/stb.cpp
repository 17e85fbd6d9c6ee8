// The one place where stb_image (Sean Barrett, public domain) is compiled: only the decoders for JPEG and PNG, which are the
// only ones we expose to strangers' files, and only from memory.
#include "tasks/imagery/stb.hpp"

#include <cstdlib>

namespace tandem {
namespace {

thread_local std::size_t largest_block = 0;

void* take_block(std::size_t bytes) { return bytes <= largest_block ? std::malloc(bytes) : nullptr; }
void* resize_block(void* block, std::size_t bytes) { return bytes <= largest_block ? std::realloc(block, bytes) : nullptr; }

}  // namespace

DecoderMemory::DecoderMemory(std::size_t bytes) { largest_block = bytes; }
DecoderMemory::~DecoderMemory() { largest_block = 0; }

}  // namespace tandem

#define STBI_MALLOC(bytes) tandem::take_block(bytes)
#define STBI_REALLOC(block, bytes) tandem::resize_block(block, bytes)
#define STBI_FREE(block) std::free(block)
#define STBI_NO_STDIO
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>

#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
