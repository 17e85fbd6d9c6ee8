// The safetensors format: our bytes against its description and its reference implementation, and against hostile files.
#include "nn/safetensors.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "core/file.hpp"
#include "core/random.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

namespace fs = std::filesystem;

// A file with this header and this many bytes of data, built as the format is described.
std::string file_of(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data_bytes, '\0');
}

std::string error_of_bytes(const std::string& bytes) {
  return error_of([&] { parse_safetensors(bytes, "f"); });
}
std::string error_of_header(const std::string& header, std::size_t data_bytes = 8) {
  return error_of_bytes(file_of(header, data_bytes));
}
bool begins(const std::string& text, std::string_view with) { return text.starts_with(with); }

TensorArchive example() {
  const real huge = std::numeric_limits<real>::max(), tiny = std::numeric_limits<real>::denorm_min();
  return {.tensors = {{"net.0.weight", Tensor({2, 3}, {1, -2, real(0.1), huge, tiny, -0.0f})},
                      {"scalar", Tensor({}, {7})},
                      {"none", Tensor({0, 3})},
                      {"\u00fcml\u00e4ut \"quoted\"\n", Tensor({1, 1, 1, 1, 1, 2}, {3, 4})}},
          .metadata = {{"step", "200"}, {"empty", ""}, {"\u03b1", "\u03b2 \\ \""}}};
}

bool same(const TensorArchive& a, const TensorArchive& b) {
  return a.metadata == b.metadata && std::ranges::equal(a.tensors, b.tensors, [](const auto& x, const auto& y) {
           return x.first == y.first && x.second.shape() == y.second.shape() &&
                  std::memcmp(x.second.data(), y.second.data(), x.second.values().size_bytes()) == 0;
         });
}

TEST_CASE("safetensors: what was written is read back, every bit, name and shape") {
  const Folder folder;
  const TensorArchive archive = example();
  write_safetensors(folder.path / "a", archive);
  CHECK(same(read_safetensors(folder.path / "a"), archive));

  TensorArchive changed = example();
  changed.tensors.at("net.0.weight")[5] = 0;  // +0 where -0 was
  CHECK_FALSE(same(read_safetensors(folder.path / "a"), changed));

  write_safetensors(folder.path / "b", example());
  CHECK(read_file(folder.path / "a") == read_file(folder.path / "b"));

  write_safetensors(folder.path / "none", {});
  CHECK(same(read_safetensors(folder.path / "none"), {}));
}

TEST_CASE("safetensors: the bytes are those of the format: length, JSON, padding to 8, values in little-endian order") {
  const Folder folder;
  write_safetensors(folder.path / "f", {.tensors = {{"b", Tensor({2}, {1, -2})}, {"a", Tensor({1, 1}, {real(0.5)})}},
                                        .metadata = {{"k", "v"}}});
  const std::string bytes = read_file(folder.path / "f");
  const std::string header = real_is_double
                                 ? R"({"__metadata__":{"k":"v"},"a":{"data_offsets":[0,8],"dtype":"F64","shape":[1,1]},)"
                                   R"("b":{"data_offsets":[8,24],"dtype":"F64","shape":[2]}})"
                                 : R"({"__metadata__":{"k":"v"},"a":{"data_offsets":[0,4],"dtype":"F32","shape":[1,1]},)"
                                   R"("b":{"data_offsets":[4,12],"dtype":"F32","shape":[2]}})";
  const std::size_t padded = (header.size() + 7) / 8 * 8;
  REQUIRE(bytes.size() == 8 + padded + 3 * sizeof(real));
  CHECK(static_cast<unsigned char>(bytes[0]) == padded);
  CHECK(bytes.substr(1, 7) == std::string(7, '\0'));
  CHECK(bytes.substr(8, header.size()) == header);
  CHECK(bytes.substr(8 + header.size(), padded - header.size()) == std::string(padded - header.size(), ' '));
  const std::string values = real_is_double ? std::string("\0\0\0\0\0\0\xe0\x3f\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\xc0", 24)
                                            : std::string("\0\0\0\x3f\0\0\x80\x3f\0\0\0\xc0", 12);
  CHECK(bytes.substr(8 + padded) == values);
}

TEST_CASE(
    "safetensors: a file of the reference implementation (safetensors 0.8.0 for Python) is read, whatever its precision") {
  const char bytes[] =
      "\x00\x01\x00\x00\x00\x00\x00\x00"
      R"({"__metadata__":{"step":"7"},"d":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
      R"("none":{"dtype":"F32","shape":[0,3],"data_offsets":[8,8]},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]},)"
      R"("h":{"dtype":"F16","shape":[3],"data_offsets":[16,22]}}      )"
      "\x9a\x99\x99\x99\x99\x99\xb9\x3f\x00\x00\xc0\x3f\x00\x00\x00\xc0\x00\x38\xff\x7b\x00\xbc";
  const TensorArchive archive = parse_safetensors({bytes, sizeof(bytes) - 1}, "reference");
  CHECK(same(archive, {.tensors = {{"d", Tensor({}, {real(0.1)})},
                                   {"none", Tensor({0, 3})},
                                   {"w", Tensor({2, 1}, {real(1.5), -2})},
                                   {"h", Tensor({3}, {real(0.5), 65504, -1})}},
                       .metadata = {{"step", "7"}}}));
}

TEST_CASE("safetensors: BF16, the upper half of F32, is read") {
  std::string bytes = file_of(R"({"x":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}})", 0);
  bytes += std::string("\x80\x3f\x20\xc0\x00\x00", 6);
  const TensorArchive archive = parse_safetensors(bytes, "f");
  CHECK(std::ranges::equal(archive.tensors.at("x").values(), std::vector<real>{1, -2.5, 0}));
}

TEST_CASE("safetensors: other kinds of numbers are refused by name, and fields that we do not know are left alone") {
  for (const std::string dtype : {"I64", "U8", "BOOL", "F8_E4M3", "f32", ""})
    CHECK(error_of_header(R"({"x":{"dtype":")" + dtype + R"(","shape":[1],"data_offsets":[0,8]}})") ==
          "read 'f': tensor 'x': it holds " + dtype + " values; F64, F32, F16 and BF16 can be read");
  CHECK(error_of_header(R"({"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8],"unit":"m"}})") == "no error");
}

TEST_CASE("safetensors: a file that is cut anywhere is refused") {
  const Folder folder;
  write_safetensors(folder.path / "f", example());
  const std::string bytes = read_file(folder.path / "f");
  CHECK(error_of_bytes(bytes) == "no error");
  for (std::size_t size = 0; size < bytes.size(); ++size) CHECK(begins(error_of_bytes(bytes.substr(0, size)), "read 'f': "));
  CHECK(begins(error_of_bytes(bytes + '\0'), "read 'f': the tensors end at byte "));
  CHECK(error_of_bytes("") == "read 'f': it has only 0 bytes");

  fs::resize_file(folder.path / "f", bytes.size() - 1);
  CHECK(begins(error_of([&] { read_safetensors(folder.path / "f"); }),
               "read '" + (folder.path / "f").string() + "': tensor '\u00fcml\u00e4ut"));
}

TEST_CASE("safetensors: header lengths beyond the file and beyond reason are refused") {
  std::string bytes = file_of("{}", 0);
  CHECK(error_of_bytes(bytes) == "no error");
  bytes[0] = 3;
  CHECK(error_of_bytes(bytes) == "read 'f': the header should have 3 bytes, but 2 follow");
  std::fill_n(bytes.begin(), 8, '\xff');
  CHECK(error_of_bytes(bytes) == "read 'f': the header should have 18446744073709551615 bytes, but 2 follow");
  CHECK(error_of_header(std::string("{}").append(std::size_t{1} << 24, ' ')) ==
        "read 'f': a header of 16777218 bytes; at most 16777216 are read");
}

TEST_CASE("safetensors: headers that are not what the format says are refused") {
  CHECK(error_of_header("", 0) == "read 'f': the header does not begin with '{'");
  CHECK(error_of_header("[]", 0) == "read 'f': the header does not begin with '{'");
  CHECK(error_of_header(" {}", 0) == "read 'f': the header does not begin with '{'");
  CHECK(begins(error_of_header("{", 0), "read 'f': the header is not JSON: "));
  CHECK(begins(error_of_header("{}{}", 0), "read 'f': the header is not JSON: "));
  CHECK(begins(error_of_header("{\"\xff\":{}}", 0), "read 'f': the header is not JSON: "));
  CHECK(begins(error_of_header(R"({"x":1e999})", 0), "read 'f': the header is not JSON: "));
  CHECK(error_of_header(std::string("{}\0", 3), 0) == "read 'f': the header contains a zero byte");
  CHECK(error_of_header(R"({"x":)" + std::string(100000, '[')) == "read 'f': the header is nested deeper than 3 levels");
  CHECK(error_of_header(R"({"__metadata__":[]})", 0) == "read 'f': the metadata are no JSON object");
  CHECK(error_of_header(R"({"__metadata__":{"step":7}})", 0) == "read 'f': the metadata 'step' are no text");
}

TEST_CASE("safetensors: names that occur twice are refused, in the header, in the metadata and in an entry") {
  const std::string entry = R"({"dtype":"F64","shape":[1],"data_offsets":[0,8]})";
  CHECK(error_of_header(R"({"x":)" + entry + R"(,"x":)" + entry + "}") == "read 'f': the name 'x' occurs twice");
  CHECK(error_of_header(R"({"__metadata__":{"k":"1","k":"2"}})", 0) == "read 'f': the name 'k' occurs twice");
  CHECK(error_of_header(R"({"x":{"dtype":"F64","shape":[1],"shape":[1],"data_offsets":[0,8]}})") ==
        "read 'f': the name 'shape' occurs twice");
}

TEST_CASE("safetensors: entries that do not fit the data are refused, naming the tensor") {
  const auto error = [](const std::string& shape, const std::string& offsets) {
    return error_of_header(R"({"x":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}");
  };
  const std::string x = "read 'f': tensor 'x': ";
  CHECK(error("[2]", "[0,8]") == "no error");
  CHECK(error("[3]", "[0,8]") == x + "its bytes are [0,8), but F32 values [3] need 12");
  CHECK(error("[]", "[0,8]") == x + "its bytes are [0,8), but F32 values [] need 4");
  CHECK(error("[3]", "[0,12]") == x + "its bytes are [0,12), but there are 8 bytes of data");
  CHECK(error("[2]", "[8,0]") == x + "its bytes are [8,0), but there are 8 bytes of data");
  CHECK(error("[2]", "[0]") == x + "'data_offsets' holds 1 numbers, not 2");
  CHECK(error("[2]", "[0,8.0]") == x + "8.0 in 'data_offsets' is no size");
  CHECK(error("[-2]", "[0,8]") == x + "-2 in 'shape' is no size");
  CHECK(error("[9223372036854775808]", "[0,8]") == x + "9223372036854775808 in 'shape' is no size");
  CHECK(error("[\"2\"]", "[0,8]") == x + "\"2\" in 'shape' is no size");
  CHECK(error("2", "[0,8]") == x + "it has no list 'shape'");
  CHECK(begins(error("[4294967296,4294967296]", "[0,8]"), x + "shape "));
  CHECK(begins(error("[4611686018427387903,4]", "[0,8]"), x + "shape "));  // 4 bytes each: 2^64 - 4, less than 8 modulo 2^64
  CHECK(begins(error("[1,1,1,1,1,1,2]", "[0,8]"), x + "shape: 7 axes"));
  CHECK(error_of_header(R"({"x":{"shape":[2],"data_offsets":[0,8]}})") == x + "it has no text 'dtype'");
  CHECK(error_of_header(R"({"x":[]})") == x + "its entry is no JSON object");
}

TEST_CASE("safetensors: the tensors must cover the data without gaps or overlaps") {
  const auto entry = [](const char* name, const char* shape, const char* offsets) {
    return fmt::format(R"("{}":{{"dtype":"F32","shape":{},"data_offsets":{}}})", name, shape, offsets);
  };
  const auto error = [&](const std::string& a, const std::string& b) {
    return error_of_header("{" + a + "," + b + "}", 12);
  };
  const std::string second = entry("b", "[2]", "[4,12]");
  CHECK(error(second, entry("a", "[1]", "[0,4]")) == "no error");
  CHECK(error(second, entry("a", "[0]", "[4,4]")) ==
        "read 'f': tensor 'a' begins at byte 4 of the data, but the one before it ends at 0");
  CHECK(error(second, entry("a", "[2]", "[0,8]")) ==
        "read 'f': tensor 'b' begins at byte 4 of the data, but the one before it ends at 8");
  CHECK(error(entry("a", "[1]", "[0,4]"), entry("b", "[1]", "[4,8]")) ==
        "read 'f': the tensors end at byte 8, but there are 12 bytes of data");
}

TEST_CASE("safetensors: many tensors that all claim the whole file take no memory") {
  std::string header = "{";
  for (int i = 0; i < 1000; ++i)
    header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[250000],"data_offsets":[0,1000000]}})", i ? "," : "", i);
  reset_memory_peak();
  const std::size_t before = memory_use().peak;
  CHECK(begins(error_of_header(header + "}", 1000000), "read 'f': tensor "));
  CHECK(memory_use().peak == before);
}

TEST_CASE("safetensors: damaged files give an error or an archive no larger than the file, never anything else") {
  const Folder folder;
  write_safetensors(folder.path / "f", example());
  const std::string whole = read_file(folder.path / "f");
  const std::string salt = R"({}[]",:0123456789-e\ )" + std::string("\0\x7f\x80\xff", 4);
  int refused = 0;
  constexpr int trials = 3000;
  for (std::uint64_t trial = 0; trial < trials; ++trial) {
    Random random(11, trial);
    std::string bytes = whole;
    const auto position = [&] { return std::size_t{random.below(static_cast<std::uint32_t>(bytes.size()))}; };
    for (std::uint32_t damage = 0; damage <= random.below(3); ++damage) {
      const std::size_t at = position();
      switch (random.below(5)) {
        case 0:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
          break;
        case 1:
          bytes[at] = salt[random.below(static_cast<std::uint32_t>(salt.size()))];
          break;
        case 2:
          bytes.erase(at, 1 + random.below(9));
          break;
        case 3:
          bytes.insert(at, bytes.substr(position(), 1 + random.below(60)));
          break;
        case 4:
          bytes.resize(at + 1);
          break;
      }
    }
    try {
      std::size_t size = 0;
      for (const auto& [name, tensor] : parse_safetensors(bytes, "f").tensors) size += tensor.values().size_bytes();
      REQUIRE(size <= 4 * bytes.size());  // F16 read as double takes four times its place
    } catch (const Error& error) {
      REQUIRE(begins(error.what(), "read 'f': "));
      ++refused;
    }
  }
  CHECK(refused > trials / 2);
  CHECK(refused < trials);  // damage to the values alone passes, as it must
}

TEST_CASE("safetensors: what cannot be written is refused, and leaves the file that was there") {
  const Folder folder;
  const fs::path path = folder.path / "f";
  write_safetensors(path, example());
  const std::string before = read_file(path), write = "write '" + path.string() + "': ";
  const auto error = [&](const TensorArchive& archive) { return error_of([&] { write_safetensors(path, archive); }); };
  CHECK(error({.tensors = {{"x", Tensor()}}}) == write + "tensor 'x' has no values");
  CHECK(error({.tensors = {{"__metadata__", Tensor({1}, {1})}}}) == write + "a tensor cannot be named '__metadata__'");
  CHECK(error({.tensors = {{"\xff", Tensor({1}, {1})}}}) == write + "a name or a piece of metadata is not UTF-8 text");
  CHECK(error({.metadata = {{"k", "\xc3"}}}) == write + "a name or a piece of metadata is not UTF-8 text");
  CHECK(read_file(path) == before);
  CHECK(begins(error_of([&] { write_safetensors(folder.path / "no" / "f", example()); }), "write '"));
}

TEST_CASE("safetensors: Python's reader opens our files, and we open Python's") {
  if (std::system("python3 -c 'import numpy, safetensors.numpy' 2>/dev/null") != 0) {
    MESSAGE("skipped: python3 has no safetensors and numpy");
    return;
  }
  const Folder folder;
  write_safetensors(folder.path / "ours", example());
  std::ofstream(folder.path / "check.py") << R"(
import numpy, sys
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
ours, theirs = sys.argv[1:]
tensors = load_file(ours)
assert sorted(tensors) == sorted(["net.0.weight", "scalar", "none", "\u00fcml\u00e4ut \"quoted\"\n"]), tensors.keys()
w = tensors["net.0.weight"]
assert w.shape == (2, 3) and list(w[0]) == [1, -2, w.dtype.type(0.1)] and w[1, 0] == numpy.finfo(w.dtype).max
assert tensors["scalar"] == 7 and tensors["none"].shape == (0, 3)
metadata = safe_open(ours, "numpy").metadata()
assert metadata == {"step": "200", "empty": "", "\u03b1": "\u03b2 \\ \""}, metadata
save_file(tensors, theirs, metadata)
)";
  const std::string command = fmt::format("python3 '{}' '{}' '{}'", (folder.path / "check.py").string(),
                                          (folder.path / "ours").string(), (folder.path / "theirs").string());
  REQUIRE(std::system(command.c_str()) == 0);
  CHECK(same(read_safetensors(folder.path / "theirs"), example()));

  write_safetensors(folder.path / "ours", {.tensors = {{"other", Tensor({1}, {1})}}});
  CHECK(std::system((command + " 2>/dev/null").c_str()) != 0);
}

}  // namespace
}  // namespace tandem
