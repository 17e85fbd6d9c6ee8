// IDX: the file format of MNIST and its successors, plain or gzip-compressed.
//
//   0 0 | type: 8 = unsigned byte | d: number of axes | d extents, 32 bits each, big-endian | values, row-major
//
// Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "core/shape.hpp"
#include "tasks/imagery/tiles.hpp"

namespace tandem {

struct IdxArray {
  Shape shape;
  std::vector<std::uint8_t> values;
};

inline constexpr std::size_t max_idx_bytes = std::size_t{1} << 30;

// The array in the bytes of an IDX file of unsigned bytes. The extents are believed only if exactly as many values follow,
// and at most max_idx_bytes. Memory stays within that of the values. Errors: not IDX, other types, truncated, damaged, too much.
IdxArray decode_idx(std::string_view bytes);

// The same from FILE or, where that is absent, FILE.gz.
IdxArray read_idx(const std::filesystem::path& path);

// Images [n,h,w] and labels [n] as a set of tiles [n,h,w,1]; tile i is named PREFIX/i.
// Errors: counts that differ, a label beyond the classes, other numbers of axes.
TileSet idx_tiles(IdxArray images, const IdxArray& labels, std::vector<std::string> classes, std::string_view prefix);

struct TrainTest {
  TileSet train, test;
};

// Fashion-MNIST: 60,000 and 10,000 grey images of 28x28 pixels, ten kinds of clothes, from the folder that holds
// train-images-idx3-ubyte[.gz] and its three siblings.
// Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking", arXiv:1708.07747.
TrainTest read_fashion_mnist(const std::filesystem::path& directory);

}  // namespace tandem
