#include "interchange/safetensors.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <limits>
#include <optional>
#include <string_view>

#include "base/bytes.hpp"
#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "interchange/safetensors_format.hpp"
#include "tensor/file_memory.hpp"
#include "tensor/layout.hpp"

namespace rushlight::interchange {
namespace {

namespace dom = simdjson::dom;

// rushlight:: stands before quoted() here, since simdjson.h brings std::quoted along, which look-up would prefer.

constexpr std::uint64_t kLengthBytes = kSafetensorsLengthBytes;
// A header has 3 levels: the tensors, one tensor, its shape.
constexpr std::size_t kMaxDepth = 8;

// Where the key of the `index`-th member of the outermost object stands. `json` is valid JSON and an object.
std::size_t key_offset(std::string_view json, std::size_t index) {
  std::size_t depth = 0;
  bool key_is_next = false;
  for (std::size_t at = 0; at < json.size(); ++at) {
    switch (json[at]) {
      case '{':
      case '[':
        key_is_next = ++depth == 1;
        break;
      case '}':
      case ']':
        --depth;
        break;
      case ',':
        key_is_next = depth == 1;
        break;
      case '"':
        if (depth == 1 && key_is_next && index-- == 0) return at;
        key_is_next = false;
        while (json[++at] != '"') at += json[at] == '\\' ? 1 : 0;
        break;
      default:
        break;
    }
  }
  return 0;
}

// "[16, 32)", decimal as in the header.
std::string range_text(std::uint64_t begin, std::uint64_t end) {
  return "[" + std::to_string(begin) + ", " + std::to_string(end) + ")";
}

class SafetensorsReader {
 public:
  SafetensorsReader(std::shared_ptr<const Source> source, const Limits& limits)
      : source_(std::move(source)), limits_(limits), file_bytes_(source_->size_bytes()) {}

  Result<Safetensors> read() {
    RUSHLIGHT_TRY_ASSIGN(const std::uint64_t header_bytes, read_length());
    data_begin_ = kLengthBytes + header_bytes;
    RUSHLIGHT_TRY(read_text(header_bytes));
    RUSHLIGHT_TRY_ASSIGN(const dom::object header, parse());
    NameSet names;
    for (const dom::key_value_pair member : header) {
      if (!names.insert(member.key)) {
        return at_member(Category::ambig, "SAFETENSORS-DUPLICATE",
                         "key " + rushlight::quoted(member.key) + " stands twice");
      }
      if (member.key == kSafetensorsMetadataKey) {
        RUSHLIGHT_TRY(read_metadata(member.value));
      } else {
        RUSHLIGHT_TRY(read_tensor(member.key, member.value));
      }
      ++member_;
    }
    RUSHLIGHT_TRY(check_coverage());
    return std::move(result_);
  }

 private:
  // Where a tensor lies in the data section.
  struct Place {
    std::uint64_t begin;
    std::uint64_t end;
    std::size_t tensor;  // index into result_.tensors
    std::size_t member;  // of the header
  };
  struct Description {
    const SafetensorsDType* dtype = nullptr;
    Shape shape;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  [[nodiscard]] Error at(std::uint64_t offset, Category category, const char* code, std::string message) const {
    return Error::of({.category = category, .code = code, .message = std::move(message), .offset = offset});
  }
  // At the key of the member that is being read.
  [[nodiscard]] Error at_member(Category category, const char* code, std::string message) const {
    return at(kLengthBytes + key_offset(text(), member_), category, code, std::move(message));
  }
  [[nodiscard]] Error of_tensor(Category category, const char* code, std::string message) const {
    Error error = at_member(category, code, "tensor " + rushlight::quoted(name_) + ": " + std::move(message));
    error.finding.tensors.push_back(escaped(name_));
    return error;
  }
  [[nodiscard]] Error malformed(std::string message) const {
    return of_tensor(Category::tensor, "SAFETENSORS-HEADER", std::move(message));
  }
  [[nodiscard]] std::string_view text() const noexcept { return {text_.data(), text_.size()}; }
  [[nodiscard]] std::uint64_t data_bytes() const noexcept { return file_bytes_ - data_begin_; }

  Result<std::uint64_t> read_length() const {
    if (file_bytes_ < kLengthBytes) {
      return at(file_bytes_, Category::trunc, "SAFETENSORS-TRUNCATED",
                "the file ends within the 8 bytes of the header's length");
    }
    std::array<std::byte, kLengthBytes> bytes{};
    RUSHLIGHT_TRY(source_->read_at(0, bytes));
    const auto length = load_le<std::uint64_t>(bytes.data());
    const std::uint64_t limit = std::min(kSafetensorsMaxHeaderBytes, limits_.json_bytes);
    if (length > limit) {
      return at(0, Category::limit, "SAFETENSORS-HEADER-SIZE",
                "the header takes " + std::to_string(length) + " bytes, expected at most " + std::to_string(limit));
    }
    if (length > file_bytes_ - kLengthBytes) {
      return at(0, Category::trunc, "SAFETENSORS-TRUNCATED",
                "the header takes " + std::to_string(length) + " bytes, " + std::to_string(file_bytes_ - kLengthBytes) +
                    " are left in the file");
    }
    return length;
  }

  Status read_text(std::uint64_t header_bytes) {
    text_ = simdjson::padded_string(static_cast<std::size_t>(header_bytes));
    if (text_.data() == nullptr) return no_memory();
    RUSHLIGHT_TRY(source_->read_at(kLengthBytes, std::as_writable_bytes(std::span<char>(text_.data(), text_.size()))));
    // What a reader that skips bytes before the JSON would see differently.
    if (text().empty() || text()[0] != '{') {
      return at(kLengthBytes, Category::tensor, "SAFETENSORS-HEADER", "the header does not begin with '{'");
    }
    if (!is_valid_utf8(text())) {
      return at(kLengthBytes, Category::tensor, "SAFETENSORS-UTF8", "the header is no valid UTF-8");
    }
    return {};
  }

  Result<dom::object> parse() {
    simdjson::error_code code = parser_.allocate(text_.size(), kMaxDepth);
    dom::object header;
    if (code == simdjson::SUCCESS) code = parser_.parse(text_).get(header);
    switch (code) {
      case simdjson::SUCCESS:
        return header;
      case simdjson::MEMALLOC:
        return no_memory();
      case simdjson::DEPTH_ERROR:
        return bad_json("nests more than " + std::to_string(kMaxDepth) + " levels deep");
      case simdjson::NUMBER_ERROR:
      case simdjson::NUMBER_OUT_OF_RANGE:
        return bad_json("has a number that does not fit 64 bits or is none");
      default:
        return bad_json("is no valid JSON");
    }
  }
  [[nodiscard]] Error bad_json(const std::string& what) const {
    return at(kLengthBytes, Category::tensor, "SAFETENSORS-JSON", "the header " + what);
  }
  [[nodiscard]] Error no_memory() const {
    return Error::of(ErrorCode::out_of_memory,
                     {.category = Category::limit, .code = "OUT-OF-MEMORY", .message = "no memory for the header"});
  }

  Status read_metadata(const dom::element& value) {
    dom::object strings;
    if (value.get(strings) != simdjson::SUCCESS) {
      return at_member(Category::tensor, "SAFETENSORS-METADATA", "'__metadata__' is no object");
    }
    NameSet keys;
    for (const dom::key_value_pair entry : strings) {
      std::string_view content;
      if (entry.value.get(content) != simdjson::SUCCESS) {
        return at_member(Category::tensor, "SAFETENSORS-METADATA",
                         "the value of " + rushlight::quoted(entry.key) + " in '__metadata__' is no string");
      }
      if (!keys.insert(entry.key)) {
        return at_member(Category::ambig, "SAFETENSORS-DUPLICATE",
                         "key " + rushlight::quoted(entry.key) + " stands twice in '__metadata__'");
      }
      result_.metadata.emplace_back(entry.key, content);
    }
    return {};
  }

  Status read_tensor(std::string_view name, const dom::element& value) {
    name_ = name;
    if (result_.tensors.size() == limits_.tensors) {
      return at_member(Category::limit, "LIMIT-TENSORS",
                       "there are more than " + std::to_string(limits_.tensors) + " tensors (tensors)");
    }
    RUSHLIGHT_TRY_ASSIGN(Description tensor, describe(value));
    const auto [begin, end] = std::pair(tensor.begin, tensor.end);
    if (begin > end) {
      return of_tensor(Category::store, "SAFETENSORS-OFFSETS",
                       "data_offsets " + range_text(begin, end) + " end before they begin");
    }
    RUSHLIGHT_TRY_ASSIGN(const std::uint64_t needed, size_of(tensor));
    if (end - begin != needed) {
      return of_tensor(Category::store, "SAFETENSORS-OFFSETS",
                       "data_offsets " + range_text(begin, end) + " are " + std::to_string(end - begin) +
                           " bytes, expected " + std::to_string(needed) + " for " + shape_text(tensor.shape) + " " +
                           std::string(tensor.dtype->name));
    }
    if (end > data_bytes()) {
      return of_tensor(Category::trunc, "SAFETENSORS-TRUNCATED",
                       "data_offsets " + range_text(begin, end) + " reach beyond the " + std::to_string(data_bytes()) +
                           " bytes behind the header");
    }
    const DType dtype = *tensor.dtype->dtype;
    // Shapes here count values, torch's count bytes of two.
    if (tensor.dtype->bits == 4) tensor.shape.back() /= 2;
    Strides strides(tensor.shape.size());
    fill_contiguous_strides(tensor.shape, strides);
    auto memory = std::make_shared<FileMemory>(source_, data_begin_ + begin, needed);
    Result<Tensor> view =
        Tensor::view(Storage(std::move(memory)), dtype, std::move(tensor.shape), std::move(strides), 0);
    if (!view && view.error().code == ErrorCode::out_of_memory) return std::move(view).error();
    if (!view) return of_tensor(view.error().finding.category, "SAFETENSORS-SHAPE", view.error().finding.message);
    places_.push_back({begin, end, result_.tensors.size(), member_});
    result_.tensors.push_back({std::string(name), *std::move(view)});
    return {};
  }

  Result<Description> describe(const dom::element& value) const {
    dom::object members;
    if (value.get(members) != simdjson::SUCCESS) return malformed("it is described by no object");
    Description tensor;
    bool has_shape = false;
    bool has_offsets = false;
    for (const dom::key_value_pair member : members) {
      const bool twice = (member.key == "dtype" && tensor.dtype != nullptr) || (member.key == "shape" && has_shape) ||
                         (member.key == "data_offsets" && has_offsets);
      if (twice) {
        return of_tensor(Category::ambig, "SAFETENSORS-DUPLICATE",
                         "key " + rushlight::quoted(member.key) + " stands twice");
      }
      if (member.key == "dtype") {
        RUSHLIGHT_TRY_ASSIGN(tensor.dtype, read_dtype(member.value));
      } else if (member.key == "shape") {
        RUSHLIGHT_TRY_ASSIGN(tensor.shape, read_shape(member.value));
        has_shape = true;
      } else if (member.key == "data_offsets") {
        RUSHLIGHT_TRY(read_offsets(member.value, tensor));
        has_offsets = true;
      } else {
        // It may say how the bytes are to be read.
        return of_tensor(Category::unsup, "SAFETENSORS-KEY", "unknown key " + rushlight::quoted(member.key));
      }
    }
    for (const auto& [is_there, key] : {std::pair(tensor.dtype != nullptr, "dtype"), std::pair(has_shape, "shape"),
                                        std::pair(has_offsets, "data_offsets")}) {
      if (!is_there) return malformed("key '" + std::string(key) + "' is missing");
    }
    return tensor;
  }

  Result<const SafetensorsDType*> read_dtype(const dom::element& value) const {
    std::string_view name;
    if (value.get(name) != simdjson::SUCCESS) return malformed("its dtype is no string");
    const auto* row = std::find_if(std::begin(kSafetensorsDTypes), std::end(kSafetensorsDTypes),
                                   [name](const SafetensorsDType& known) { return known.name == name; });
    if (row == std::end(kSafetensorsDTypes) || !row->dtype) {
      Error error =
          of_tensor(Category::unsup, "SAFETENSORS-DTYPE",
                    row == std::end(kSafetensorsDTypes) ? "unknown dtype " + rushlight::quoted(name)
                                                        : "elements of dtype " + std::string(name) + " are not read");
      error.finding.found = escaped(name);
      return error;
    }
    return row;
  }

  Result<Shape> read_shape(const dom::element& value) const {
    dom::array sizes;
    if (value.get(sizes) != simdjson::SUCCESS) return malformed("its shape is no array");
    Shape shape;
    for (const dom::element size : sizes) {
      std::uint64_t count = 0;
      if (size.get(count) != simdjson::SUCCESS || count > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
        return malformed("size " + std::to_string(shape.size()) + " of its shape is no integer from 0 to 2^63 - 1");
      }
      if (shape.size() == limits_.tensor_dims) {
        return of_tensor(Category::limit, "LIMIT-TENSOR-DIMS",
                         "it has more than " + std::to_string(limits_.tensor_dims) + " dimensions (tensor_dims)");
      }
      shape.push_back(static_cast<std::int64_t>(count));
    }
    return shape;
  }

  Status read_offsets(const dom::element& value, Description& tensor) const {
    dom::array pair;
    if (value.get(pair) != simdjson::SUCCESS || pair.size() != 2 || pair.at(0).get(tensor.begin) != simdjson::SUCCESS ||
        pair.at(1).get(tensor.end) != simdjson::SUCCESS) {
      return malformed("its data_offsets are no pair of integers from 0 to 2^64 - 1");
    }
    return {};
  }

  Result<std::uint64_t> size_of(const Description& tensor) const {
    const Result<std::int64_t> numel = checked_numel(tensor.shape);
    if (!numel) return of_tensor(numel.error().finding.category, "SAFETENSORS-SHAPE", numel.error().finding.message);
    const auto bits = checked_mul<std::uint64_t>(static_cast<std::uint64_t>(*numel), tensor.dtype->bits);
    if (!bits) {
      return of_tensor(Category::tensor, "SAFETENSORS-SHAPE",
                       "the bits of " + shape_text(tensor.shape) + " " + std::string(tensor.dtype->name) +
                           " overflow a 64-bit count");
    }
    if (tensor.dtype->bits == 4 && (tensor.shape.empty() || tensor.shape.back() % 2 != 0)) {
      return of_tensor(Category::unsup, "SAFETENSORS-SHAPE",
                       "rows of " + shape_text(tensor.shape) + " F4 end within a byte");
    }
    return *bits / 8;
  }

  // Every byte behind the header belongs to one tensor: what nobody reads could be another file.
  Status check_coverage() {
    std::sort(places_.begin(), places_.end(),
              [](const Place& a, const Place& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    std::uint64_t covered = 0;
    const Place* before = nullptr;
    for (const Place& place : places_) {
      name_ = result_.tensors[place.tensor].name;
      member_ = place.member;
      if (place.begin > covered) {
        return of_tensor(Category::store, "SAFETENSORS-HOLE",
                         "bytes " + range_text(covered, place.begin) + " before it belong to no tensor");
      }
      if (place.begin < covered) {
        return of_tensor(Category::store, "SAFETENSORS-OVERLAP",
                         "data_offsets " + range_text(place.begin, place.end) + " overlap tensor " +
                             rushlight::quoted(result_.tensors[before->tensor].name) + " at " +
                             range_text(before->begin, before->end));
      }
      covered = place.end;
      before = &place;
    }
    if (covered != data_bytes()) {
      return at(data_begin_ + covered, Category::ambig, "SAFETENSORS-TRAILING",
                std::to_string(data_bytes() - covered) + " bytes follow the last tensor");
    }
    return {};
  }

  std::shared_ptr<const Source> source_;
  const Limits& limits_;
  std::uint64_t file_bytes_;
  std::uint64_t data_begin_ = 0;
  simdjson::padded_string text_;
  dom::parser parser_;  // owns what the elements refer to
  std::size_t member_ = 0;
  std::string_view name_;
  std::vector<Place> places_;
  Safetensors result_;
};

}  // namespace

Result<Safetensors> read_safetensors(std::shared_ptr<const Source> source, const Limits& limits) {
  Result<Safetensors> read = SafetensorsReader(source, limits).read();
  if (!read) return with_file(std::move(read).error(), source->name());
  return read;
}

}  // namespace rushlight::interchange
