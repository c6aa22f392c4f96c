#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <string_view>

#include "base/bytes.hpp"
#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/hex_digits.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "interchange/safetensors.hpp"
#include "interchange/safetensors_format.hpp"
#include "interchange/tensor_output.hpp"
#include "interchange/write_checked.hpp"
#include "tensor/meta.hpp"

namespace rushlight::interchange {
namespace {

constexpr std::size_t kAlignment = 8;  // of the data

const SafetensorsDType* find_row(DType dtype) noexcept {
  const auto* row = std::find_if(std::begin(kSafetensorsDTypes), std::end(kSafetensorsDTypes),
                                 [dtype](const SafetensorsDType& known) { return known.dtype == dtype; });
  return row == std::end(kSafetensorsDTypes) ? nullptr : row;
}

// rushlight:: stands before quoted(), since <filesystem> brings std::quoted along, which look-up would prefer.

// A JSON string as serde_json writes it: what must be escaped is, in its shortest form, and nothing else.
void append_string(std::string& json, std::string_view text) {
  json += '"';
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    const std::size_t at = std::string_view("\"\\\b\f\n\r\t").find(c);
    if (at != std::string_view::npos) {
      json += '\\';
      json += "\"\\bfnrt"[at];
    } else if (code < 0x20) {
      json.append("\\u00").append(1, kHexDigits[code >> 4]).append(1, kHexDigits[code & 0xF]);
    } else {
      json += c;
    }
  }
  json += '"';
}

struct Planned {
  const NamedTensor* tensor;
  const SafetensorsDType* row;
};

Error cannot_hold(const NamedTensor& tensor, const char* code, std::string message, std::string hint = {}) {
  return of_tensor(
      Error::of({.category = Category::unsup, .code = code, .message = std::move(message), .hint = std::move(hint)}),
      tensor.name);
}

Result<Planned> plan(const NamedTensor& named, NameSet& names) {
  if (!is_valid_utf8(named.name)) {
    return cannot_hold(named, "SAFETENSORS-NAME", "its name is no UTF-8, and the format has no other names");
  }
  if (named.name == kSafetensorsMetadataKey) {
    return cannot_hold(named, "SAFETENSORS-NAME", "its name is that of the format's own metadata");
  }
  if (!names.insert(named.name)) {
    return of_tensor(
        Error::of(
            {.category = Category::argument, .code = "SAFETENSORS-DUPLICATE", .message = "its name stands twice"}),
        named.name);
  }
  const DType dtype = named.tensor.dtype();
  const SafetensorsDType* row = find_row(dtype);
  if (row == nullptr) {
    const bool has_values = info(dtype).kind == DTypeKind::quantized;
    return cannot_hold(named, "SAFETENSORS-DTYPE", "safetensors has no dtype for " + std::string(to_string(dtype)),
                       has_values ? "write the values that its codes stand for: dequantize it first"
                                  : "convert the tensor first, to float32 for example");
  }
  if (row->bits < 8 && named.tensor.dim() == 0) {
    return cannot_hold(named, "SAFETENSORS-SHAPE",
                       "it has no dimension, and the format counts the two values of its byte in one");
  }
  if (is_meta(named.tensor)) {
    return cannot_hold(named, "TENSOR-META", "on the meta device it has a shape and no data");
  }
  return Planned{&named, row};
}

std::string header_of(std::span<const Planned> tensors, const SafetensorsOptions& options) {
  std::string json = "{";
  if (!options.metadata.empty()) {
    append_string(json, kSafetensorsMetadataKey);
    json += ":{";
    for (const auto& [key, text] : options.metadata) {
      append_string(json, key);
      json += ':';
      append_string(json, text);
      json += ',';
    }
    json.back() = '}';
    json += ',';
  }
  std::uint64_t begin = 0;
  for (const auto& [named, row] : tensors) {
    append_string(json, named->name);
    json.append(":{\"dtype\":\"").append(row->name).append("\",\"shape\":[");
    const std::span<const std::int64_t> shape = named->tensor.shape();
    for (std::size_t dim = 0; dim < shape.size(); ++dim) {
      if (dim > 0) json += ',';
      // Shapes there count values, torch's bytes of two.
      const bool in_pairs = row->bits == 4 && dim + 1 == shape.size();
      json += std::to_string(in_pairs ? 2 * static_cast<std::uint64_t>(shape[dim])
                                      : static_cast<std::uint64_t>(shape[dim]));
    }
    const std::uint64_t end = begin + named->tensor.size_bytes();
    json.append("],\"data_offsets\":[").append(std::to_string(begin)).append(1, ',');
    json.append(std::to_string(end)).append("]},");
    begin = end;
  }
  if (json.back() == ',') json.pop_back();
  json += '}';
  json.append((kAlignment - json.size() % kAlignment) % kAlignment, ' ');
  return json;
}

Status check_metadata(const SafetensorsOptions& options) {
  NameSet keys;
  for (const auto& [key, text] : options.metadata) {
    if (!is_valid_utf8(key) || !is_valid_utf8(text)) {
      return Error::of({.category = Category::unsup,
                        .code = "SAFETENSORS-METADATA",
                        .message = "the metadata of " + rushlight::quoted(key) + " is no UTF-8"});
    }
    if (!keys.insert(key)) {
      return Error::of({.category = Category::argument,
                        .code = "SAFETENSORS-DUPLICATE",
                        .message = "key " + rushlight::quoted(key) + " stands twice in the metadata"});
    }
  }
  return {};
}

// The whole file but for the elements.
struct FileLayout {
  std::vector<Planned> tensors;  // in the order of their elements
  std::string header;
  std::uint64_t elements_bytes = 0;

  [[nodiscard]] std::uint64_t size_bytes() const noexcept {
    return checked_add(kSafetensorsLengthBytes + header.size(), elements_bytes)
        .value_or(std::numeric_limits<std::uint64_t>::max());
  }
};

Result<FileLayout> lay_out(std::span<const NamedTensor> tensors, const SafetensorsOptions& options) {
  RUSHLIGHT_TRY(check_metadata(options));
  FileLayout layout;
  layout.tensors.reserve(tensors.size());
  NameSet names;
  for (const NamedTensor& named : tensors) {
    RUSHLIGHT_TRY_ASSIGN(const Planned one, plan(named, names));
    layout.tensors.push_back(one);
  }
  RUSHLIGHT_TRY_ASSIGN(layout.elements_bytes, bytes_to_write(tensors));
  std::sort(layout.tensors.begin(), layout.tensors.end(), [](const Planned& a, const Planned& b) {
    return a.row != b.row ? a.row > b.row : a.tensor->name < b.tensor->name;
  });
  layout.header = header_of(layout.tensors, options);
  if (layout.header.size() > kSafetensorsMaxHeaderBytes) {
    return Error::of({.category = Category::limit,
                      .code = "SAFETENSORS-HEADER-SIZE",
                      .message = "the header takes " + std::to_string(layout.header.size()) +
                                 " bytes, expected at most " + std::to_string(kSafetensorsMaxHeaderBytes) +
                                 ", more than which no reader takes"});
  }
  return layout;
}

Status write_layout(const FileLayout& layout, Sink& sink, Progress* progress) {
  TensorOutput output(sink, progress, layout.elements_bytes);
  std::array<std::byte, kSafetensorsLengthBytes> length{};
  store_le(length.data(), std::uint64_t{layout.header.size()});
  RUSHLIGHT_TRY(output.write(length));
  RUSHLIGHT_TRY(output.write(as_byte_span(layout.header)));
  for (const auto& [named, row] : layout.tensors) {
    RUSHLIGHT_TRY(output.write_tensor(*named));
  }
  return {};
}

}  // namespace

Status write_safetensors(std::span<const NamedTensor> tensors, Sink& sink, const SafetensorsOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(const FileLayout layout, lay_out(tensors, options));
  return write_layout(layout, sink, options.progress);
}

Result<std::uint64_t> write_safetensors_checked(const StateDict& tensors, const std::filesystem::path& path,
                                                const SafetensorsOptions& options, const io::AtomicFile::Check& check) {
  const std::vector<NamedTensor> items = items_of(tensors);
  RUSHLIGHT_TRY_ASSIGN(const FileLayout layout, lay_out(items, options));
  return write_file(
      path, layout.size_bytes(), {.overwrite = options.overwrite},
      [&](Sink& sink) { return write_layout(layout, sink, options.progress); }, check);
}

}  // namespace rushlight::interchange

namespace rushlight {

Status write_safetensors(const StateDict& tensors, Sink& sink, const SafetensorsOptions& options) {
  return or_no_memory(
      [&]() -> Status { return interchange::write_safetensors(interchange::items_of(tensors), sink, options); });
}

Status write_safetensors(const StateDict& tensors, const std::filesystem::path& path,
                         const SafetensorsOptions& options) {
  return or_no_memory([&]() -> Status {
    RUSHLIGHT_TRY(interchange::write_safetensors_checked(tensors, path, options));
    return {};
  });
}

}  // namespace rushlight
