// safetensors: named tensors in a file that other tools read (Python: safetensors.numpy.load_file).
//
//   bytes 0..7    n, the length of the header, little-endian
//   n bytes       the header, JSON, padded with spaces so that the data begin on a multiple of 8:
//                 {"__metadata__": {"step": "200"}, "0.weight": {"dtype": "F32", "shape": [64,3], "data_offsets": [0,768]}}
//   the rest      the values, row-major, little-endian; data_offsets count from here, without gaps or overlaps
//
// Source: https://github.com/huggingface/safetensors, section "Format".
//
// A file is a claim made by a stranger: nothing in the header is believed before it is checked against the file's real size,
// and no memory is taken for what the file does not hold. Whole numbers are refused; counters go into the metadata, as text.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "core/tensor.hpp"

namespace tandem {

struct TensorArchive {
  std::map<std::string, Tensor> tensors = {};
  std::map<std::string, std::string> metadata = {};
};

// Writes the tensors in name order as F32 (F64 if `real` is double); whole or not at all. Equal archives give equal bytes.
// Errors: an undefined tensor, the name "__metadata__", text that is not UTF-8, the file system's.
void write_safetensors(const std::filesystem::path& path, const TensorArchive& archive);

// Reads F64, F32, F16 and BF16 as `real`. Errors name the file, the tensor and what is wrong with it.
TensorArchive read_safetensors(const std::filesystem::path& path);

// The same of bytes in memory; `source` is the name that errors give them.
TensorArchive parse_safetensors(std::string_view bytes, const std::string& source);

}  // namespace tandem
