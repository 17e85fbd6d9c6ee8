#include "nn/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "core/file.hpp"

namespace tandem {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian; this machine would swap bytes");

using Json = nlohmann::json;

constexpr std::size_t length_bytes = 8;
constexpr std::size_t header_limit = std::size_t{16}
                                     << 20;  // some hundred thousand tensors; keeps the parser's memory small
constexpr const char* metadata_key = "__metadata__";
constexpr const char* own_dtype = real_is_double ? "F64" : "F32";

// --- reading --------------------------------------------------------------------------------------------------------------

// JSON text -> value, refusing what the parser alone would let pass: names that occur twice and deep nesting.
Json parse_header(std::string_view text) {
  require(text.starts_with('{'), "the header does not begin with '{{'");
  require(text.find('\0') == text.npos, "the header contains a zero byte");  // the parser would take it for the end
  std::vector<std::set<std::string>> names;                                  // of the objects that are open
  const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    constexpr int deepest = 3;  // the header, a tensor's entry, its shape
    require(depth <= deepest, "the header is nested deeper than {} levels", deepest);
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& name = value.get_ref<const std::string&>();
      require(names.back().insert(name).second, "the name '{}' occurs twice", name);
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::exception& error) {
    fail("the header is not JSON: {}", error.what());
  }
}

std::vector<Index> whole_numbers(const Json& entry, const char* key) {
  const auto found = entry.find(key);
  require(found != entry.end() && found->is_array(), "it has no list '{}'", key);
  std::vector<Index> numbers;
  for (const Json& number : *found) {
    require(number.is_number_unsigned() && number.get<std::uint64_t>() < (std::uint64_t{1} << 62), "{} in '{}' is no size",
            number.dump(), key);
    numbers.push_back(number.get<Index>());
  }
  return numbers;
}

// `bytes` holds values of type Stored, perhaps not aligned.
template <class Stored>
void convert(std::string_view bytes, std::span<real> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    Stored value;
    std::memcpy(&value, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    values[i] = static_cast<real>(value);
  }
}

struct Dtype {
  std::string_view name;
  std::size_t bytes;
  void (*convert)(std::string_view, std::span<real>);
};
constexpr Dtype dtypes[] = {{"F64", 8, convert<double>},
                            {"F32", 4, convert<float>},
                            {"F16", 2, convert<Eigen::half>},
                            {"BF16", 2, convert<Eigen::bfloat16>}};

Dtype dtype_of(const Json& entry) {
  const auto found = entry.find("dtype");
  require(found != entry.end() && found->is_string(), "it has no text 'dtype'");
  const auto& name = found->get_ref<const std::string&>();
  const auto dtype = std::ranges::find(dtypes, name, &Dtype::name);
  require(dtype != std::end(dtypes), "it holds {} values; F64, F32, F16 and BF16 can be read", name);
  return *dtype;
}

// One tensor as the header claims it to be, its values at bytes [begin, end) of the data.
struct Entry {
  std::string name;
  Dtype dtype;
  Shape shape;
  std::size_t begin, end;
};

Entry parse_entry(const std::string& name, const Json& json, std::size_t data_bytes) {
  require(json.is_object(), "its entry is no JSON object");
  const Dtype dtype = dtype_of(json);
  const Shape shape{std::span<const Index>(whole_numbers(json, "shape"))};
  const std::vector<Index> offsets = whole_numbers(json, "data_offsets");
  require(offsets.size() == 2, "'data_offsets' holds {} numbers, not 2", offsets.size());
  const auto begin = static_cast<std::size_t>(offsets[0]), end = static_cast<std::size_t>(offsets[1]);
  require(begin <= end && end <= data_bytes, "its bytes are [{},{}), but there are {} bytes of data", begin, end,
          data_bytes);
  const std::size_t needed = static_cast<std::size_t>(shape.size()) * dtype.bytes;
  require(end - begin == needed, "its bytes are [{},{}), but {} values {} need {}", begin, end, dtype.name, shape, needed);
  return {name, dtype, shape, begin, end};
}

// Without gaps and overlaps, all tensors together are no larger than the file.
void require_cover(std::vector<Entry>& entries, std::size_t data_bytes) {
  std::ranges::sort(entries, {}, [](const Entry& e) { return std::pair{e.begin, e.end}; });
  std::size_t end = 0;
  for (const Entry& entry : entries) {
    require(entry.begin == end, "tensor '{}' begins at byte {} of the data, but the one before it ends at {}", entry.name,
            entry.begin, end);
    end = entry.end;
  }
  require(end == data_bytes, "the tensors end at byte {}, but there are {} bytes of data", end, data_bytes);
}

std::map<std::string, std::string> parse_metadata(const Json& json) {
  require(json.is_object(), "the metadata are no JSON object");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : json.items()) {
    require(text.is_string(), "the metadata '{}' are no text", key);
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

TensorArchive parse(std::string_view bytes) {
  require(bytes.size() >= length_bytes, "it has only {} bytes", bytes.size());
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), length_bytes);
  bytes.remove_prefix(length_bytes);
  require(header_bytes <= bytes.size(), "the header should have {} bytes, but {} follow", header_bytes, bytes.size());
  require(header_bytes <= header_limit, "a header of {} bytes; at most {} are read", header_bytes, header_limit);
  const Json header = parse_header(bytes.substr(0, header_bytes));
  const std::string_view data = bytes.substr(header_bytes);

  TensorArchive archive;
  std::vector<Entry> entries;
  for (const auto& [name, json] : header.items()) {
    if (name == metadata_key) {
      archive.metadata = parse_metadata(json);
      continue;
    }
    try {
      entries.push_back(parse_entry(name, json, data.size()));
    } catch (const Error& error) {
      fail("tensor '{}': {}", name, error.what());
    }
  }
  require_cover(entries, data.size());

  // Only now, with every claim checked, is memory taken.
  for (const Entry& entry : entries) {
    Tensor tensor(entry.shape);
    entry.dtype.convert(data.substr(entry.begin, entry.end - entry.begin), tensor.values());
    archive.tensors.emplace(entry.name, tensor);
  }
  return archive;
}

// --- writing --------------------------------------------------------------------------------------------------------------

std::string header_of(const TensorArchive& archive) {
  Json header = Json::object();
  if (!archive.metadata.empty()) header[metadata_key] = archive.metadata;
  std::size_t end = 0;
  for (const auto& [name, tensor] : archive.tensors) {
    require(name != metadata_key, "a tensor cannot be named '{}'", name);
    require(tensor.defined(), "tensor '{}' has no values", name);
    const std::size_t begin = end;
    end += tensor.values().size_bytes();
    const std::vector<Index> shape(tensor.shape().begin(), tensor.shape().end());
    header[name] = {{"dtype", own_dtype}, {"shape", shape}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  require(text.size() <= header_limit, "a header of {} bytes; at most {} can be read again", text.size(), header_limit);
  return text;
}

template <class T>
std::string_view bytes_of(std::span<const T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, const TensorArchive& archive) {
  std::string header;
  try {
    header = header_of(archive);
  } catch (const Error& error) {
    fail("write '{}': {}", path.string(), error.what());
  } catch (const Json::exception&) {  // the one thing that can stop dump()
    fail("write '{}': a name or a piece of metadata is not UTF-8 text", path.string());
  }
  const std::uint64_t header_bytes = header.size();

  NewFile file(path);
  file.append(bytes_of(std::span(&header_bytes, 1)));
  file.append(header);
  for (const auto& [name, tensor] : archive.tensors) file.append(bytes_of(tensor.values()));
  file.commit();
}

TensorArchive parse_safetensors(std::string_view bytes, const std::string& source) {
  try {
    return parse(bytes);
  } catch (const Error& error) {
    fail("read '{}': {}", source, error.what());
  }
}

TensorArchive read_safetensors(const std::filesystem::path& path) {
  return parse_safetensors(read_file(path), path.string());
}

}  // namespace tandem
