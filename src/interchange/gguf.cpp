#include "interchange/gguf.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <utility>

#include "base/bytes.hpp"
#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "interchange/named_tensor.hpp"
#include "interchange/source_cursor.hpp"
#include "tensor/file_memory.hpp"
#include "tensor/layout.hpp"
#include "value/graph.hpp"

namespace rushlight::interchange {
namespace {

// rushlight:: stands before quoted() here, since <iomanip> has std::quoted, which look-up would prefer for strings.

constexpr std::string_view kMagic = "GGUF";
constexpr std::string_view kAlignmentKey = "general.alignment";
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxKeyBytes = 65535;  // docs/gguf.md: 2^16 - 1
// Without its texts: the length of the key, the type, one byte; the length of the name, the count of dimensions, the
// type, the offset.
constexpr std::uint64_t kMinPairBytes = 8 + 4 + 1;
constexpr std::uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;
// Nodes are counted in 32 bits, whatever the limits say.
constexpr std::uint64_t kMaxNodes = std::uint64_t{1} << 30;

constexpr GgmlType kTypes[] = {
#define RUSHLIGHT_GGML_ELEMENTS(id, name, dtype) {id, name, 1, 0, DType::dtype},
#define RUSHLIGHT_GGML_BLOCKS(id, name, values, bytes) {id, name, values, bytes, std::nullopt},
#include "interchange/ggml_types.def"
};

enum class ValueType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};
// The fewest bytes of a value, by type. Of an array: the type of its elements and their count.
constexpr std::array<std::uint64_t, 13> kMinValueBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

class GgufReader {
 public:
  GgufReader(std::shared_ptr<const Source> source, const Limits& limits)
      : source_(std::move(source)), limits_(limits), cursor_(*source_) {}

  Result<Gguf> read() {
    RUSHLIGHT_TRY(read_version());
    const std::uint64_t tensors_at = cursor_.position();
    RUSHLIGHT_TRY_ASSIGN(const auto tensor_count, number<std::uint64_t>("the count of tensors"));
    const std::uint64_t pairs_at = cursor_.position();
    RUSHLIGHT_TRY_ASSIGN(const auto pair_count, number<std::uint64_t>("the count of metadata pairs"));
    RUSHLIGHT_TRY(check_count(tensors_at, tensor_count, kMinTensorBytes, limits_.tensors, "tensors", "tensors"));
    RUSHLIGHT_TRY(
        check_count(pairs_at, pair_count, kMinPairBytes, limits_.pickle_nodes, "metadata pairs", "pickle_nodes"));
    RUSHLIGHT_TRY(read_metadata(pair_count));
    RUSHLIGHT_TRY(read_tensors(tensor_count));
    RUSHLIGHT_TRY(place_tensors());
    result_.metadata = Value(std::move(values_).finish(), metadata_);
    return std::move(result_);
  }

 private:
  // What must be known of a tensor until the data section is found.
  struct Pending {
    std::uint64_t offset;     // in the data section
    std::uint64_t offset_at;  // where that number stands
  };
  struct OpenArray {
    NodeId list;
    std::uint32_t element_type;
    std::uint64_t left;
  };

  [[nodiscard]] static Error at(std::uint64_t offset, Category category, const char* code, std::string message) {
    return Error::of({.category = category, .code = code, .message = std::move(message), .offset = offset});
  }
  [[nodiscard]] static Error of_tensor(std::string_view name, std::uint64_t offset, Category category, const char* code,
                                       std::string message) {
    Error error = at(offset, category, code, "tensor " + rushlight::quoted(name) + ": " + std::move(message));
    error.finding.tensors.push_back(escaped(name));
    return error;
  }

  // --- the pieces
  // -------------------------------------------------------------------------------------------------------------

  template <std::integral T>
  Result<T> number(std::string_view what) {
    if (cursor_.bytes_left() < sizeof(T)) {
      return at(cursor_.position(), Category::trunc, "GGUF-TRUNCATED", "the file ends within " + std::string(what));
    }
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, cursor_.take(sizeof(T)));
    return load_le<T>(bytes.data());
  }

  // Valid until the next piece is read.
  Result<std::string_view> string(std::string_view what, std::uint64_t max_bytes, std::string_view limit) {
    const std::uint64_t begin = cursor_.position();
    RUSHLIGHT_TRY_ASSIGN(const auto length, number<std::uint64_t>(what));
    if (length > max_bytes) {
      return at(begin, Category::limit, "GGUF-STRING-SIZE",
                std::string(what) + " takes " + std::to_string(length) + " bytes, expected at most " +
                    std::to_string(max_bytes) + std::string(limit));
    }
    if (length > cursor_.bytes_left()) {
      return at(begin, Category::trunc, "GGUF-TRUNCATED",
                std::string(what) + " takes " + std::to_string(length) + " bytes, " +
                    std::to_string(cursor_.bytes_left()) + " are left in the file");
    }
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, cursor_.take(length));
    return as_text(bytes);
  }

  Status check_count(std::uint64_t offset, std::uint64_t count, std::uint64_t min_bytes, std::uint64_t limit,
                     const std::string& what, const std::string& field) const {
    if (count > limit) {
      return at(offset, Category::limit, "GGUF-COUNT",
                "the file claims " + std::to_string(count) + " " + what + ", expected at most " +
                    std::to_string(limit) + " (" + field + ")");
    }
    if (count > cursor_.bytes_left() / min_bytes) {
      return at(offset, Category::trunc, "GGUF-TRUNCATED",
                "the file claims " + std::to_string(count) + " " + what + ", which do not fit the " +
                    std::to_string(cursor_.bytes_left()) + " bytes that are left");
    }
    return {};
  }

  // --- the header
  // -------------------------------------------------------------------------------------------------------------

  Status read_version() {
    const auto have = std::min<std::uint64_t>(cursor_.bytes_left(), kMagic.size());
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan magic, cursor_.take(have));
    if (have == 0 || as_text(magic) != kMagic.substr(0, static_cast<std::size_t>(have))) {
      return at(0, Category::kind, "GGUF-MAGIC",
                have == 0 ? "the file is empty, expected a GGUF model"
                          : "no GGUF model: the file does not begin with 'GGUF'");
    }
    if (have < kMagic.size()) return at(have, Category::trunc, "GGUF-TRUNCATED", "the file ends within the magic");
    RUSHLIGHT_TRY_ASSIGN(result_.version, number<std::uint32_t>("the version"));
    if (result_.version == 2 || result_.version == 3) return {};
    const std::uint32_t swapped = byte_swapped(result_.version);
    const bool big_endian = swapped >= 1 && swapped <= 3;
    const std::string found = std::to_string(big_endian ? swapped : result_.version);
    Error error = at(kMagic.size(), Category::unsup, "GGUF-VERSION",
                     big_endian ? "a big-endian file, expected little-endian numbers"
                                : "version " + found + " of GGUF, expected 2 or 3");
    error.finding.found = big_endian ? "big-endian" : found;
    error.finding.expected = big_endian ? "little-endian" : "2 or 3";
    return error;
  }

  // --- the metadata
  // -----------------------------------------------------------------------------------------------------------

  Status read_metadata(std::uint64_t count) {
    metadata_ = values_.dict();
    NameSet keys;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t begin = cursor_.position();
      RUSHLIGHT_TRY_ASSIGN(const std::string_view text, string("a metadata key", kMaxKeyBytes, ""));
      if (text.empty()) return at(begin, Category::tensor, "GGUF-KEY", "a metadata key is empty");
      if (!is_valid_utf8(text)) {
        return at(begin, Category::tensor, "GGUF-UTF8",
                  "metadata key " + rushlight::quoted(text) + " is no valid UTF-8");
      }
      if (!keys.insert(text)) {
        return at(begin, Category::ambig, "GGUF-DUPLICATE",
                  "metadata key " + rushlight::quoted(text) + " stands twice");
      }
      const bool is_alignment = text == kAlignmentKey;
      const NodeId key = values_.string(text);
      RUSHLIGHT_TRY(spend_nodes(begin, 2));
      const std::uint64_t type_at = cursor_.position();
      RUSHLIGHT_TRY_ASSIGN(const auto type, number<std::uint32_t>("the type of a metadata value"));
      RUSHLIGHT_TRY(check_type(type_at, type));
      if (is_alignment) {
        RUSHLIGHT_TRY_ASSIGN(const NodeId value, alignment(type_at, type));
        static_cast<void>(values_.set_item(metadata_, key, value));  // strings are hashable
        continue;
      }
      RUSHLIGHT_TRY_ASSIGN(const NodeId value, value_of(type));
      static_cast<void>(values_.set_item(metadata_, key, value));
    }
    return {};
  }

  Result<NodeId> alignment(std::uint64_t type_at, std::uint32_t type) {
    if (type != static_cast<std::uint32_t>(ValueType::u32)) {
      return at(type_at, Category::tensor, "GGUF-ALIGNMENT",
                "'general.alignment' has type " + std::to_string(type) + ", expected 4 (uint32)");
    }
    const std::uint64_t begin = cursor_.position();
    RUSHLIGHT_TRY_ASSIGN(const auto value, number<std::uint32_t>("a metadata value"));
    if (!std::has_single_bit(value)) {
      return at(begin, Category::tensor, "GGUF-ALIGNMENT",
                "'general.alignment' is " + std::to_string(value) + ", expected a power of two");
    }
    result_.alignment = value;
    return values_.integer(value);
  }

  Status spend_nodes(std::uint64_t offset, std::uint64_t count) {
    const std::uint64_t limit = std::min(limits_.pickle_nodes, kMaxNodes);
    if (count > limit - nodes_) {
      return at(offset, Category::limit, "GGUF-COUNT",
                "the metadata hold more than " + std::to_string(limit) + " values (pickle_nodes)");
    }
    nodes_ += count;
    return {};
  }

  static Status check_type(std::uint64_t offset, std::uint32_t type) {
    if (type < kMinValueBytes.size()) return {};
    return at(offset, Category::unsup, "GGUF-VALUE-TYPE",
              "a metadata value of type " + std::to_string(type) + ", expected 0 to 12");
  }

  // Arrays may hold arrays: what is open lies on a stack of our own.
  Result<NodeId> value_of(std::uint32_t type) {
    std::vector<OpenArray> open;
    while (true) {
      NodeId node = kNoNode;
      if (type == static_cast<std::uint32_t>(ValueType::array)) {
        RUSHLIGHT_TRY_ASSIGN(const OpenArray array, open_array(open.size()));
        if (array.left > 0) {
          open.push_back(array);
          type = array.element_type;
          continue;
        }
        node = array.list;
      } else {
        RUSHLIGHT_TRY_ASSIGN(node, scalar(static_cast<ValueType>(type)));
      }
      // It goes into the array it lies in, and that one, when full, into the next.
      while (!open.empty()) {
        values_.append(open.back().list, node);
        if (--open.back().left > 0) break;
        node = open.back().list;
        open.pop_back();
      }
      if (open.empty()) return node;
      type = open.back().element_type;
    }
  }

  Result<OpenArray> open_array(std::size_t depth) {
    const std::uint64_t begin = cursor_.position();
    if (depth >= limits_.pickle_depth) {
      return at(begin, Category::limit, "GGUF-DEPTH",
                "arrays nest more than " + std::to_string(limits_.pickle_depth) + " deep (pickle_depth)");
    }
    RUSHLIGHT_TRY_ASSIGN(const auto type, number<std::uint32_t>("the type of an array"));
    RUSHLIGHT_TRY(check_type(begin, type));
    const std::uint64_t count_at = cursor_.position();
    RUSHLIGHT_TRY_ASSIGN(const auto count, number<std::uint64_t>("the count of an array"));
    if (count > cursor_.bytes_left() / kMinValueBytes[type]) {
      return at(count_at, Category::trunc, "GGUF-TRUNCATED",
                "an array of " + std::to_string(count) + " values does not fit the " +
                    std::to_string(cursor_.bytes_left()) + " bytes that are left");
    }
    RUSHLIGHT_TRY(spend_nodes(count_at, count));
    return OpenArray{values_.list(), type, count};
  }

  Result<NodeId> scalar(ValueType type) {
    constexpr std::string_view kWhat = "a metadata value";
    switch (type) {
      case ValueType::u8:
        return integer<std::uint8_t>();
      case ValueType::i8:
        return integer<std::int8_t>();
      case ValueType::u16:
        return integer<std::uint16_t>();
      case ValueType::i16:
        return integer<std::int16_t>();
      case ValueType::u32:
        return integer<std::uint32_t>();
      case ValueType::i32:
        return integer<std::int32_t>();
      case ValueType::i64:
        return integer<std::int64_t>();
      case ValueType::u64: {
        RUSHLIGHT_TRY_ASSIGN(const auto value, number<std::uint64_t>(kWhat));
        if (value <= std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
          return values_.integer(static_cast<std::int64_t>(value));
        }
        // A ninth byte keeps it positive.
        std::array<std::byte, 9> twos_complement{};
        store_le(twos_complement.data(), value);
        return values_.big_integer(as_text(twos_complement));
      }
      case ValueType::f32: {
        RUSHLIGHT_TRY_ASSIGN(const auto bits, number<std::uint32_t>(kWhat));
        return values_.real(static_cast<double>(std::bit_cast<float>(bits)));
      }
      case ValueType::f64: {
        RUSHLIGHT_TRY_ASSIGN(const auto bits, number<std::uint64_t>(kWhat));
        return values_.real(std::bit_cast<double>(bits));
      }
      case ValueType::boolean: {
        const std::uint64_t begin = cursor_.position();
        RUSHLIGHT_TRY_ASSIGN(const auto value, number<std::uint8_t>(kWhat));
        if (value > 1) {
          return at(begin, Category::tensor, "GGUF-BOOL",
                    "a bool is stored as " + std::to_string(value) + ", expected 0 or 1");
        }
        return values_.boolean(value == 1);
      }
      case ValueType::string: {
        RUSHLIGHT_TRY_ASSIGN(const std::string_view text,
                             string("a string", limits_.pickle_string_bytes, " (pickle_string_bytes)"));
        // Vocabularies hold pieces of characters; nothing in them is lost.
        return is_valid_utf8(text) ? values_.string(text) : values_.bytes(text);
      }
      case ValueType::array:
        break;
    }
    return values_.none();  // arrays are read by value_of()
  }

  template <std::integral T>
  Result<NodeId> integer() {
    RUSHLIGHT_TRY_ASSIGN(const T value, number<T>("a metadata value"));
    return values_.integer(value);
  }

  // --- the tensors
  // ------------------------------------------------------------------------------------------------------------

  Status read_tensors(std::uint64_t count) {
    if (result_.alignment == 0) result_.alignment = kDefaultAlignment;
    NameSet names;
    for (std::uint64_t i = 0; i < count; ++i) {
      GgufTensor tensor;
      const std::uint64_t begin = cursor_.position();
      RUSHLIGHT_TRY_ASSIGN(const std::string_view name,
                           string("the name of a tensor", limits_.record_name_bytes, " (record_name_bytes)"));
      if (!is_valid_utf8(name)) {
        return at(begin, Category::tensor, "GGUF-UTF8",
                  "the name of tensor " + rushlight::quoted(name) + " is no valid UTF-8");
      }
      if (!names.insert(name)) {
        return at(begin, Category::ambig, "GGUF-DUPLICATE", "tensor " + rushlight::quoted(name) + " stands twice");
      }
      tensor.name = name;
      const std::uint64_t shape_at = cursor_.position();
      RUSHLIGHT_TRY_ASSIGN(tensor.shape, read_shape(tensor.name));
      RUSHLIGHT_TRY_ASSIGN(tensor.type, read_type(tensor.name));
      RUSHLIGHT_TRY_ASSIGN(tensor.size_bytes, size_of(tensor, shape_at));
      const std::uint64_t offset_at = cursor_.position();
      RUSHLIGHT_TRY_ASSIGN(const auto offset, number<std::uint64_t>("the offset of a tensor"));
      pending_.push_back({offset, offset_at});
      result_.tensors.push_back(std::move(tensor));
    }
    return {};
  }

  Result<Shape> read_shape(std::string_view name) {
    const std::uint64_t begin = cursor_.position();
    RUSHLIGHT_TRY_ASSIGN(const auto dims, number<std::uint32_t>("the dimensions of a tensor"));
    const std::uint64_t limit = std::min<std::uint64_t>(limits_.tensor_dims, kMaxDims);
    if (dims > limit) {
      return of_tensor(name, begin, Category::limit, "LIMIT-TENSOR-DIMS",
                       "it has " + std::to_string(dims) + " dimensions, expected at most " + std::to_string(limit) +
                           " (tensor_dims)");
    }
    Shape shape(dims);
    // The file begins with the innermost dimension.
    for (std::size_t i = dims; i-- > 0;) {
      const std::uint64_t size_at = cursor_.position();
      RUSHLIGHT_TRY_ASSIGN(shape[i], number<std::int64_t>("the dimensions of a tensor"));
      if (shape[i] < 0) {
        return of_tensor(name, size_at, Category::tensor, "GGUF-SHAPE",
                         "dimension " + std::to_string(dims - 1 - i) + " is " +
                             std::to_string(static_cast<std::uint64_t>(shape[i])) + ", expected at most 2^63 - 1");
      }
    }
    return shape;
  }

  Result<const GgmlType*> read_type(std::string_view name) {
    const std::uint64_t begin = cursor_.position();
    RUSHLIGHT_TRY_ASSIGN(const auto id, number<std::uint32_t>("the type of a tensor"));
    const auto* row =
        std::find_if(std::begin(kTypes), std::end(kTypes), [id](const GgmlType& type) { return type.id == id; });
    if (row == std::end(kTypes)) {
      Error error = of_tensor(name, begin, Category::unsup, "GGUF-TYPE",
                              "unknown element type " + std::to_string(id) + ": its length cannot be known");
      error.finding.found = std::to_string(id);
      return error;
    }
    return row;
  }

  static Result<std::uint64_t> size_of(const GgufTensor& tensor, std::uint64_t shape_at) {
    const Result<std::int64_t> numel = checked_numel(tensor.shape);
    if (!numel) {
      return of_tensor(tensor.name, shape_at, numel.error().finding.category, "GGUF-SHAPE",
                       numel.error().finding.message);
    }
    const GgmlType& type = *tensor.type;
    const std::int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
    if (row % type.block_values != 0) {
      return of_tensor(tensor.name, shape_at, Category::tensor, "GGUF-SHAPE",
                       "rows of " + std::to_string(row) + " values are no whole blocks of " +
                           std::to_string(type.block_values) + " (" + std::string(type.name) + ")");
    }
    const std::uint32_t block_bytes = type.dtype ? rushlight::size_bytes(*type.dtype) : type.block_bytes;
    const auto size = checked_mul<std::uint64_t>(static_cast<std::uint64_t>(*numel) / type.block_values, block_bytes);
    if (!size) {
      return of_tensor(
          tensor.name, shape_at, Category::tensor, "GGUF-SHAPE",
          "the bytes of " + shape_text(tensor.shape) + " " + std::string(type.name) + " overflow a 64-bit count");
    }
    return *size;
  }

  Status place_tensors() {
    const std::uint64_t file_bytes = source_->size_bytes();
    const std::uint64_t alignment = result_.alignment;
    // Alignments are below 2^32 and positions in files below 2^63: this cannot wrap.
    const std::uint64_t data_begin = (cursor_.position() + alignment - 1) / alignment * alignment;
    const std::uint64_t data_bytes = data_begin < file_bytes ? file_bytes - data_begin : 0;
    for (std::size_t i = 0; i < pending_.size(); ++i) {
      GgufTensor& tensor = result_.tensors[i];
      const auto [offset, offset_at] = pending_[i];
      if (offset % alignment != 0) {
        return of_tensor(
            tensor.name, offset_at, Category::tensor, "GGUF-OFFSET",
            "its offset " + std::to_string(offset) + " is no multiple of the alignment " + std::to_string(alignment));
      }
      if (!range_fits(offset, tensor.size_bytes, data_bytes)) {
        return of_tensor(tensor.name, offset_at, Category::trunc, "GGUF-TRUNCATED",
                         "its " + std::to_string(tensor.size_bytes) + " bytes at offset " + std::to_string(offset) +
                             " reach beyond the " + std::to_string(data_bytes) + " bytes of the data section");
      }
      tensor.offset = data_begin + offset;
      tensor.source = source_;
      if (!tensor.type->dtype) continue;
      Strides strides(tensor.shape.size());
      fill_contiguous_strides(tensor.shape, strides);
      auto memory = std::make_shared<FileMemory>(source_, tensor.offset, tensor.size_bytes);
      Result<Tensor> view =
          Tensor::view(Storage(std::move(memory)), *tensor.type->dtype, tensor.shape, std::move(strides), 0);
      if (!view && view.error().code == ErrorCode::out_of_memory) return std::move(view).error();
      if (!view) {
        return of_tensor(tensor.name, offset_at, view.error().finding.category, "GGUF-SHAPE",
                         view.error().finding.message);
      }
      tensor.elements = *std::move(view);
    }
    return check_overlaps();
  }

  Status check_overlaps() const {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < pending_.size(); ++i) {
      if (result_.tensors[i].size_bytes > 0) order.push_back(i);
    }
    std::sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
      return std::pair(pending_[a].offset, a) < std::pair(pending_[b].offset, b);
    });
    for (std::size_t i = 1; i < order.size(); ++i) {
      const GgufTensor& before = result_.tensors[order[i - 1]];
      const GgufTensor& tensor = result_.tensors[order[i]];
      if (before.offset + before.size_bytes <= tensor.offset) continue;
      return of_tensor(tensor.name, pending_[order[i]].offset_at, Category::store, "GGUF-OVERLAP",
                       "its bytes at offset " + std::to_string(pending_[order[i]].offset) + " overlap tensor " +
                           rushlight::quoted(before.name) + ", " + std::to_string(before.size_bytes) +
                           " bytes at offset " + std::to_string(pending_[order[i - 1]].offset));
    }
    return {};
  }

  std::shared_ptr<const Source> source_;
  const Limits& limits_;
  SourceCursor cursor_;
  ValueGraphBuilder values_;
  NodeId metadata_ = kNoNode;
  std::uint64_t nodes_ = 0;
  std::vector<Pending> pending_;  // one for each tensor
  Gguf result_;
};

}  // namespace

std::span<const GgmlType> ggml_types() noexcept {
  return kTypes;
}

Result<Tensor> GgufTensor::tensor() const {
  if (elements) return *elements;
  Error error = Error::of({.category = Category::unsup,
                           .code = "GGUF-BLOCK-TYPE",
                           .message = "block type " + std::string(type->name) + " is not decoded here: tensor " +
                                      rushlight::quoted(name) + " can be listed, not read",
                           .offset = offset,
                           .found = std::string(type->name),
                           .expected = "plain elements: F32, F16, BF16, F64, I8, I16, I32 or I64",
                           .tensors = {escaped(name)}});
  return with_file(std::move(error), source->name());
}

Result<Gguf> read_gguf(std::shared_ptr<const Source> source, const Limits& limits) {
  Result<Gguf> read = GgufReader(source, limits).read();
  if (!read) return with_file(std::move(read).error(), source->name());
  return read;
}

}  // namespace rushlight::interchange
