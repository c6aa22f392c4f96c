#include "checkpoint/manifest_text.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <span>
#include <utility>

#include "base/bytes.hpp"
#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/json_text.hpp"
#include "base/quote.hpp"
#include "checksum/chunks.hpp"
#include "checksum/xxh3.hpp"

// rushlight:: stands before quoted() here, since simdjson.h brings std::quoted along, which look-up would prefer.
namespace rushlight::checkpoint {
namespace {

namespace dom = simdjson::dom;

// The document, its lists, what is in them, shapes and chunks; one more, as simdjson counts.
constexpr std::size_t kMaxDepth = 5;
constexpr std::uint64_t kVersion = 1;

// --- writing
// ----------------------------------------------------------------------------------------------------------

void append_hex(std::string& out, ByteSpan bytes) {
  out += '"';
  out += checksum::to_hex(bytes);
  out += '"';
}

template <class Numbers>
void append_numbers(std::string& out, const Numbers& numbers) {
  out += '[';
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i != 0) out += ',';
    out += std::to_string(numbers[i]);
  }
  out += ']';
}

// And the end of the record.
void append_digests(std::string& out, const ManifestRecord& record) {
  out += ",\"xxh3\":";
  append_hex(out, record.xxh3);
  if (!record.chunks.empty()) {
    out += ",\"chunks\":[";
    for (std::size_t i = 0; i < record.chunks.size(); ++i) {
      if (i != 0) out += ',';
      append_hex(out, record.chunks[i]);
    }
    out += ']';
  }
  if (record.sha256) {
    out += ",\"sha256\":";
    append_hex(out, *record.sha256);
  }
  out += '}';
}

void append_record(std::string& out, const ManifestRecord& record) {
  out += "{\"name\":";
  append_json_text(out, record.name);
  out += ",\"header_offset\":" + std::to_string(record.header_offset);
  out += ",\"data_offset\":" + std::to_string(record.data_offset);
  out += ",\"size_bytes\":" + std::to_string(record.size_bytes);
  out += ",\"stored_bytes\":" + std::to_string(record.stored_bytes);
  out += ",\"method\":" + std::to_string(record.method);
  out += ",\"flags\":" + std::to_string(record.flags);
  out += ",\"crc\":\"" + hex8(record.crc) + "\"";
  append_digests(out, record);
}

void append_stretch(std::string& out, const ManifestRecord& record) {
  out += "{\"data_offset\":" + std::to_string(record.data_offset);
  out += ",\"size_bytes\":" + std::to_string(record.size_bytes);
  append_digests(out, record);
}

void append_description(std::string& out, const ManifestTensor& tensor) {
  out += "{\"name\":";
  append_json_text(out, tensor.name);
  out += ",\"dtype\":";
  append_json_text(out, tensor.dtype);
  out += ",\"shape\":";
  append_numbers(out, tensor.shape);
  out += ",\"strides\":";
  append_numbers(out, tensor.strides);
}

void append_tensor(std::string& out, const ManifestTensor& tensor) {
  append_description(out, tensor);
  out += ",\"record\":";
  append_json_text(out, tensor.record);
  out += ",\"storage_offset\":" + std::to_string(tensor.storage_offset);
  out += '}';
}

void append_tensor_of_file(std::string& out, const ManifestTensor& tensor) {
  append_description(out, tensor);
  if (tensor.data_offset) out += ",\"data_offset\":" + std::to_string(*tensor.data_offset);
  out += '}';
}

template <class Items, class Append>
void append_list(std::string& out, std::string_view key, const Items& items, Append append) {
  out += ",\n\"";
  out += key;
  out += "\":[";
  for (std::size_t i = 0; i < items.size(); ++i) {
    out += i == 0 ? "\n" : ",\n";
    append(out, items[i]);
  }
  out += ']';
}

// --- reading
// ----------------------------------------------------------------------------------------------------------

Error failure(Category category, std::string_view code, std::string message) {
  return Error::of({.category = category, .code = std::string(code), .message = "manifest " + std::move(message)});
}

Error malformed(std::string message) {
  return failure(Category::mani, "MANI-SYNTAX", std::move(message));
}

Error differs(std::string_view code, std::string what, std::string expected, std::string found) {
  Error error = failure(Category::mani, code, std::move(what) + ", expected " + expected + ", found " + found);
  error.finding.expected = std::move(expected);
  error.finding.found = std::move(found);
  return error;
}

std::string_view kind_of(dom::element element) {
  switch (element.type()) {
    case dom::element_type::ARRAY:
      return "an array";
    case dom::element_type::OBJECT:
      return "an object";
    case dom::element_type::STRING:
      return "a text";
    case dom::element_type::BOOL:
      return "true or false";
    case dom::element_type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

// The fields of one object, in the order in which they are written; those that may be missing are asked for first.
class Fields {
 public:
  static Result<Fields> of(dom::element element, std::string where) {
    Fields fields(std::move(where));
    dom::object object;
    if (element.get(object) != simdjson::SUCCESS) return fields.wrong("", "an object", element);
    for (const dom::key_value_pair pair : object) {
      const bool twice = std::any_of(fields.members_.begin(), fields.members_.end(),
                                     [&](const auto& other) { return other.first == pair.key; });
      if (twice) {
        return failure(Category::mani, "MANI-DUPLICATE",
                       fields.where_ + "key " + rushlight::quoted(pair.key) + " comes twice");
      }
      // Bounds the search for duplicates; no object has so many fields.
      if (fields.members_.size() == kMostFields) return fields.unknown(pair.key);
      fields.members_.emplace_back(pair.key, pair.value);
    }
    return fields;
  }

  [[nodiscard]] bool has_next(std::string_view key) const {
    return next_ < members_.size() && members_[next_].first == key;
  }
  Result<dom::element> next(std::string_view key) {
    if (!has_next(key)) {
      const bool there =
          std::any_of(members_.begin(), members_.end(), [&](const auto& member) { return member.first == key; });
      if (next_ < members_.size() && !is_known(members_[next_].first)) return unknown(members_[next_].first);
      return failure(Category::mani, "MANI-FIELD",
                     where_ + (there ? "has its field " + rushlight::quoted(key) + " in another place"
                                     : "has no field " + rushlight::quoted(key)));
    }
    return members_[next_++].second;
  }
  Status end() const {
    if (next_ == members_.size()) return {};
    return unknown(members_[next_].first);
  }

  Result<std::string_view> text(std::string_view key) {
    RUSHLIGHT_TRY_ASSIGN(const dom::element element, next(key));
    std::string_view text;
    if (element.get(text) != simdjson::SUCCESS) return wrong(key, "a text", element);
    return text;
  }
  Result<std::uint64_t> number(std::string_view key, std::uint64_t most) {
    RUSHLIGHT_TRY_ASSIGN(const dom::element element, next(key));
    std::uint64_t number = 0;
    if (element.get(number) != simdjson::SUCCESS) {
      return wrong(key, "a whole number", element);
    }
    if (number > most) {
      return differs("MANI-FIELD", where_ + std::string(key), "at most " + std::to_string(most),
                     std::to_string(number));
    }
    return number;
  }
  template <std::size_t Bytes>
  Result<std::array<std::byte, Bytes>> digest(std::string_view key) {
    RUSHLIGHT_TRY_ASSIGN(const std::string_view digits, text(key));
    std::array<std::byte, Bytes> bytes{};
    if (!parse_hex(digits, bytes)) return no_digits(key, digits, 2 * Bytes);
    return bytes;
  }
  Result<std::vector<std::int64_t>> numbers(std::string_view key) {
    RUSHLIGHT_TRY_ASSIGN(const dom::array array, this->array(key));
    std::vector<std::int64_t> numbers;
    for (const dom::element element : array) {
      std::int64_t number = 0;
      if (element.get(number) != simdjson::SUCCESS || number < 0) {
        return wrong(key, "whole numbers", element);
      }
      numbers.push_back(number);
    }
    return numbers;
  }
  Result<dom::array> array(std::string_view key) {
    RUSHLIGHT_TRY_ASSIGN(const dom::element element, next(key));
    dom::array array;
    if (element.get(array) != simdjson::SUCCESS) return wrong(key, "an array", element);
    return array;
  }

  [[nodiscard]] Error no_digits(std::string_view key, std::string_view found, std::size_t digits) const {
    return differs("MANI-FIELD", where_ + std::string(key), std::to_string(digits) + " hexadecimal digits",
                   rushlight::quoted(found, 80));
  }
  [[nodiscard]] const std::string& where() const noexcept { return where_; }

  static bool parse_hex(std::string_view digits, std::span<std::byte> out) {
    if (digits.size() != 2 * out.size()) return false;
    for (std::size_t i = 0; i < out.size(); ++i) {
      unsigned value = 0;
      for (const char c : digits.substr(2 * i, 2)) {
        const bool letter = c >= 'a' && c <= 'f';
        if (!letter && (c < '0' || c > '9')) return false;
        value = value * 16 + static_cast<unsigned>(letter ? c - 'a' + 10 : c - '0');
      }
      out[i] = static_cast<std::byte>(value);
    }
    return true;
  }

 private:
  static constexpr std::size_t kMostFields = 16;

  explicit Fields(std::string where) : where_(std::move(where)) {}

  [[nodiscard]] Error wrong(std::string_view key, std::string expected, dom::element found) const {
    return differs("MANI-FIELD", where_ + std::string(key), std::move(expected), std::string(kind_of(found)));
  }
  [[nodiscard]] Error unknown(std::string_view key) const {
    Error error = failure(Category::mani, "MANI-UNKNOWN", where_ + "has the unknown field " + rushlight::quoted(key));
    error.finding.hint = "a newer program wrote it: what it means is not known here, so nothing is vouched for";
    return error;
  }
  static bool is_known(std::string_view key) {
    static constexpr std::array<std::string_view, 27> kKnown = {"rushlight_manifest",
                                                                "self_xxh3",
                                                                "self_sha256",
                                                                "size_bytes",
                                                                "chunk_bytes",
                                                                "file_xxh3",
                                                                "file_sha256",
                                                                "container",
                                                                "root",
                                                                "alignment",
                                                                "records",
                                                                "tensors",
                                                                "name",
                                                                "dtype",
                                                                "header_offset",
                                                                "data_offset",
                                                                "stored_bytes",
                                                                "method",
                                                                "flags",
                                                                "crc",
                                                                "xxh3",
                                                                "chunks",
                                                                "sha256",
                                                                "shape",
                                                                "strides",
                                                                "record",
                                                                "storage_offset"};
    return std::find(kKnown.begin(), kKnown.end(), key) != kKnown.end();
  }

  std::string where_;
  std::vector<std::pair<std::string_view, dom::element>> members_;
  std::size_t next_ = 0;
};

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

class Reader {
 public:
  Reader(std::string_view text, const Limits& limits) : text_(text), limits_(limits) {}

  Result<Manifest> read() {
    if (text_.size() > limits_.json_bytes) {
      return failure(Category::limit, "LIMIT-JSON-BYTES",
                     "takes " + std::to_string(text_.size()) + " bytes, expected at most " +
                         std::to_string(limits_.json_bytes) + " (json_bytes)");
    }
    if (!text_.starts_with("{\"rushlight_manifest\":")) return malformed("does not begin as one");
    // simdjson leaves some texts unchecked; names go into messages and listings.
    if (!is_valid_utf8(text_)) return malformed("is no valid UTF-8");
    RUSHLIGHT_TRY_ASSIGN(const dom::element document, parse());
    RUSHLIGHT_TRY(read_document(document));
    // What is equal to any reader but spelt otherwise (spaces, escapes, -0) could hide a change.
    const std::string canonical = encode(manifest_);
    if (canonical != text_) {
      const auto [a, b] = std::mismatch(canonical.begin(), canonical.end(), text_.begin(), text_.end());
      const auto at = static_cast<std::uint64_t>(b - text_.begin());
      Error error = malformed("is spelt otherwise than a writer does, from its byte " + std::to_string(at) + " on");
      error.finding.record_offset = at;
      return error;
    }
    return std::move(manifest_);
  }

 private:
  Result<dom::element> parse() {
    simdjson::error_code code = parser_.allocate(text_.size(), kMaxDepth);
    dom::element document;
    if (code == simdjson::SUCCESS) code = parser_.parse(text_.data(), text_.size()).get(document);
    switch (code) {
      case simdjson::SUCCESS:
        return document;
      case simdjson::MEMALLOC:
        return Error::of(ErrorCode::out_of_memory,
                         {.category = Category::limit, .code = "OUT-OF-MEMORY", .message = "no memory for a manifest"});
      case simdjson::DEPTH_ERROR:
        return failure(Category::limit, "LIMIT-JSON-DEPTH",
                       "nests deeper than its form does, expected at most " + std::to_string(kMaxDepth) + " levels");
      case simdjson::NUMBER_ERROR:
        return failure(Category::limit, "LIMIT-JSON-NUMBER", "has a number that no 64 bits hold");
      default:
        return malformed("is no JSON document");
    }
  }

  Status read_document(dom::element document) {
    RUSHLIGHT_TRY_ASSIGN(Fields fields, Fields::of(document, ""));
    RUSHLIGHT_TRY_ASSIGN(const std::uint64_t version, fields.number("rushlight_manifest", kMost));
    if (version != kVersion) return differs("MANI-VERSION", "version", "1", std::to_string(version));
    RUSHLIGHT_TRY_ASSIGN(manifest_.self_xxh3, fields.digest<16>("self_xxh3"));
    if (fields.has_next("self_sha256")) {
      RUSHLIGHT_TRY_ASSIGN(manifest_.self_sha256, fields.digest<32>("self_sha256"));
    }
    RUSHLIGHT_TRY_ASSIGN(manifest_.size_bytes, fields.number("size_bytes", kMost));
    RUSHLIGHT_TRY_ASSIGN(const std::uint64_t chunk_bytes, fields.number("chunk_bytes", kMost));
    if (chunk_bytes != checksum::kChunkBytes) {
      return differs("MANI-CHUNK-BYTES", "chunk_bytes", std::to_string(checksum::kChunkBytes),
                     std::to_string(chunk_bytes));
    }
    if (fields.has_next("file_xxh3")) {
      RUSHLIGHT_TRY_ASSIGN(manifest_.file_xxh3, fields.digest<16>("file_xxh3"));
    }
    if (fields.has_next("file_sha256")) {
      RUSHLIGHT_TRY_ASSIGN(manifest_.file_sha256, fields.digest<32>("file_sha256"));
    }
    RUSHLIGHT_TRY_ASSIGN(const std::string_view container, fields.text("container"));
    if (container == "file") {
      manifest_.container = ManifestContainer::file;
    } else if (container == "zip") {
      RUSHLIGHT_TRY_ASSIGN(manifest_.root, fields.text("root"));
      RUSHLIGHT_TRY_ASSIGN(manifest_.alignment, fields.number("alignment", 65536));
    } else {
      return differs("MANI-FIELD", "container", "'zip' or 'file'", rushlight::quoted(container));
    }
    RUSHLIGHT_TRY(check_digests_of_file());
    RUSHLIGHT_TRY_ASSIGN(const dom::array records, fields.array("records"));
    for (const dom::element element : records) RUSHLIGHT_TRY(read_record(element));
    RUSHLIGHT_TRY_ASSIGN(const dom::array tensors, fields.array("tensors"));
    for (const dom::element element : tensors) RUSHLIGHT_TRY(read_tensor(element));
    return fields.end();
  }

  // Beside an archive that of the whole file may be missing, since older writers made none.
  [[nodiscard]] Status check_digests_of_file() const {
    const bool is_file = manifest_.container == ManifestContainer::file;
    if (manifest_.file_xxh3.has_value() != is_file) {
      return failure(Category::mani, "MANI-FIELD",
                     is_file ? "has no field 'file_xxh3'" : "of an archive has 'file_xxh3'");
    }
    const bool sha256 = manifest_.self_sha256.has_value();
    if (manifest_.file_sha256 ? !sha256 : sha256 && is_file) {
      return failure(Category::mani, "MANI-FIELD",
                     sha256 ? "has no field 'file_sha256'" : "has 'file_sha256' and no 'self_sha256'");
    }
    return {};
  }

  Status read_record(dom::element element) {
    if (manifest_.records.size() == limits_.archive_entries) {
      return failure(Category::limit, "LIMIT-ENTRIES",
                     "lists more than " + std::to_string(limits_.archive_entries) + " records (archive_entries)");
    }
    RUSHLIGHT_TRY_ASSIGN(Fields fields,
                         Fields::of(element, "record " + std::to_string(manifest_.records.size()) + ": "));
    ManifestRecord record;
    if (manifest_.container == ManifestContainer::file) {
      RUSHLIGHT_TRY(read_stretch(fields, record));
    } else {
      RUSHLIGHT_TRY(read_header(fields, record));
    }
    RUSHLIGHT_TRY(read_digests(fields, record));
    RUSHLIGHT_TRY(fields.end());
    if (!manifest_.records.empty() && !stands_behind(manifest_.records.back(), record)) {
      return failure(Category::mani, "MANI-ORDER",
                     fields.where() + rushlight::quoted(record.name) + " does not stand behind the one before it");
    }
    manifest_.records.push_back(std::move(record));
    return {};
  }

  [[nodiscard]] bool stands_behind(const ManifestRecord& before, const ManifestRecord& record) const noexcept {
    if (manifest_.container == ManifestContainer::zip) return record.header_offset > before.header_offset;
    return record.data_offset >= before.data_offset + before.size_bytes;
  }

  Status read_stretch(Fields& fields, ManifestRecord& record) const {
    RUSHLIGHT_TRY_ASSIGN(record.data_offset, fields.number("data_offset", kMost));
    RUSHLIGHT_TRY_ASSIGN(record.size_bytes, fields.number("size_bytes", kMost));
    if (record.size_bytes == 0 || !range_fits(record.data_offset, record.size_bytes, manifest_.size_bytes)) {
      return failure(Category::mani, "MANI-FIELD",
                     fields.where() + "bytes " + std::to_string(record.data_offset) + " and " +
                         std::to_string(record.size_bytes) + " more are no stretch of " +
                         std::to_string(manifest_.size_bytes) + " bytes");
    }
    record.name = stretch_name(record.data_offset);
    record.header_offset = record.data_offset;
    record.stored_bytes = record.size_bytes;
    return {};
  }

  static Status read_header(Fields& fields, ManifestRecord& record) {
    RUSHLIGHT_TRY_ASSIGN(record.name, fields.text("name"));
    RUSHLIGHT_TRY_ASSIGN(record.header_offset, fields.number("header_offset", kMost));
    RUSHLIGHT_TRY_ASSIGN(record.data_offset, fields.number("data_offset", kMost));
    RUSHLIGHT_TRY_ASSIGN(record.size_bytes, fields.number("size_bytes", kMost));
    RUSHLIGHT_TRY_ASSIGN(record.stored_bytes, fields.number("stored_bytes", kMost));
    RUSHLIGHT_TRY_ASSIGN(const std::uint64_t method, fields.number("method", 0xFFFF));
    RUSHLIGHT_TRY_ASSIGN(const std::uint64_t flags, fields.number("flags", 0xFFFF));
    record.method = static_cast<std::uint16_t>(method);
    record.flags = static_cast<std::uint16_t>(flags);
    RUSHLIGHT_TRY_ASSIGN(const auto crc, fields.digest<4>("crc"));
    record.crc = byte_swapped(load_le<std::uint32_t>(crc.data()));
    return {};
  }

  Status read_digests(Fields& fields, ManifestRecord& record) const {
    RUSHLIGHT_TRY_ASSIGN(record.xxh3, fields.digest<16>("xxh3"));
    if (fields.has_next("chunks")) {
      RUSHLIGHT_TRY_ASSIGN(const dom::array chunks, fields.array("chunks"));
      for (const dom::element chunk : chunks) {
        std::string_view digits;
        Xxh3Bytes digest{};
        if (chunk.get(digits) != simdjson::SUCCESS || !Fields::parse_hex(digits, digest)) {
          return fields.no_digits("chunks", digits, kXxh3Digits);
        }
        record.chunks.push_back(digest);
      }
    }
    const std::uint64_t chunks = checksum::chunk_count(record.stored_bytes);
    if (record.chunks.size() != (chunks > 1 ? chunks : 0)) {
      return differs("MANI-CHUNK-COUNT", fields.where() + "chunks of " + std::to_string(record.stored_bytes) + " bytes",
                     std::to_string(chunks > 1 ? chunks : 0), std::to_string(record.chunks.size()));
    }
    if (manifest_.self_sha256) {
      RUSHLIGHT_TRY_ASSIGN(record.sha256, fields.digest<32>("sha256"));
    }
    return {};
  }

  Status read_tensor(dom::element element) {
    if (manifest_.tensors.size() == limits_.tensors) {
      return failure(Category::limit, "LIMIT-TENSORS",
                     "lists more than " + std::to_string(limits_.tensors) + " tensors (tensors)");
    }
    RUSHLIGHT_TRY_ASSIGN(Fields fields,
                         Fields::of(element, "tensor " + std::to_string(manifest_.tensors.size()) + ": "));
    ManifestTensor tensor;
    RUSHLIGHT_TRY_ASSIGN(tensor.name, fields.text("name"));
    RUSHLIGHT_TRY_ASSIGN(tensor.dtype, fields.text("dtype"));
    RUSHLIGHT_TRY_ASSIGN(tensor.shape, fields.numbers("shape"));
    RUSHLIGHT_TRY_ASSIGN(tensor.strides, fields.numbers("strides"));
    if (manifest_.container == ManifestContainer::zip) {
      RUSHLIGHT_TRY_ASSIGN(tensor.record, fields.text("record"));
      RUSHLIGHT_TRY_ASSIGN(const std::uint64_t offset,
                           fields.number("storage_offset", std::numeric_limits<std::int64_t>::max()));
      tensor.storage_offset = static_cast<std::int64_t>(offset);
    } else if (fields.has_next("data_offset")) {
      RUSHLIGHT_TRY_ASSIGN(tensor.data_offset, fields.number("data_offset", manifest_.size_bytes));
    }
    RUSHLIGHT_TRY(fields.end());
    manifest_.tensors.push_back(std::move(tensor));
    return {};
  }

  std::string_view text_;
  const Limits& limits_;
  dom::parser parser_;  // owns what the elements refer to
  Manifest manifest_;
};

}  // namespace

std::string stretch_name(std::uint64_t offset) {
  return "@" + hex(offset);
}

std::string encode(const Manifest& manifest) {
  std::string out(kManifestBegin);
  out += checksum::to_hex(manifest.self_xxh3);
  if (manifest.self_sha256) {
    out += kSelfSha256Begin;
    out += checksum::to_hex(*manifest.self_sha256);
  }
  out += "\",\n\"size_bytes\":" + std::to_string(manifest.size_bytes);
  out += ",\"chunk_bytes\":" + std::to_string(checksum::kChunkBytes);
  if (manifest.file_xxh3) {
    out += ",\n\"file_xxh3\":";
    append_hex(out, *manifest.file_xxh3);
  }
  if (manifest.file_sha256) {
    out += ",\n\"file_sha256\":";
    append_hex(out, *manifest.file_sha256);
  }
  if (manifest.container == ManifestContainer::file) {
    out += ",\n\"container\":\"file\"";
    append_list(out, "records", manifest.records, append_stretch);
    append_list(out, "tensors", manifest.tensors, append_tensor_of_file);
  } else {
    out += ",\n\"container\":\"zip\",\"root\":";
    append_json_text(out, manifest.root);
    out += ",\"alignment\":" + std::to_string(manifest.alignment);
    append_list(out, "records", manifest.records, append_record);
    append_list(out, "tensors", manifest.tensors, append_tensor);
  }
  out += "}\n";
  return out;
}

Result<Manifest> decode_manifest(std::string_view text, const Limits& limits) {
  return Reader(text, limits).read();
}

void put_self_digests(const Manifest& manifest, char* text) {
  checksum::to_hex(manifest.self_xxh3).copy(text + kSelfXxh3At, kXxh3Digits);
  if (manifest.self_sha256) checksum::to_hex(*manifest.self_sha256).copy(text + kSelfSha256At, kSha256Digits);
}

}  // namespace rushlight::checkpoint
