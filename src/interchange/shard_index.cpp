#include "interchange/shard_index.hpp"

#include <simdjson.h>

#include <map>
#include <span>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "interchange/named_tensor.hpp"

namespace rushlight::interchange {
namespace {

namespace dom = simdjson::dom;

// The document, weight_map, and what others put into metadata.
constexpr std::size_t kMaxDepth = 64;

Error failure(Category category, std::string_view code, std::string message) {
  return Error::of({.category = category, .code = std::string(code), .message = std::move(message)});
}

Error malformed(const std::string& what) {
  return failure(Category::store, "SHARD-INDEX", "the index " + what);
}

Error no_memory_for_index() {
  return Error::of(ErrorCode::out_of_memory,
                   {.category = Category::limit, .code = "OUT-OF-MEMORY", .message = "no memory for the index"});
}

Error duplicate(std::string_view key, std::string_view where) {
  return failure(Category::ambig, "SHARD-INDEX-DUPLICATE",
                 "key " + rushlight::quoted(key) + " stands twice in " + std::string(where));
}

class IndexReader {
 public:
  IndexReader(const Source& source, const Limits& limits) : source_(source), limits_(limits) {}

  Result<ShardIndex> read() {
    RUSHLIGHT_TRY(read_text());
    RUSHLIGHT_TRY_ASSIGN(const dom::object document, parse());
    NameSet keys;
    bool has_map = false;
    for (const dom::key_value_pair member : document) {
      if (!keys.insert(member.key)) return duplicate(member.key, "the index");
      if (member.key == "metadata") RUSHLIGHT_TRY(read_metadata(member.value));
      if (member.key == "weight_map") {
        RUSHLIGHT_TRY(read_map(member.value));
        has_map = true;
      }
    }
    if (!has_map) return malformed("has no key 'weight_map'");
    return std::move(result_);
  }

 private:
  Status read_text() {
    const std::uint64_t size_bytes = source_.size_bytes();
    if (size_bytes > limits_.json_bytes) {
      return failure(Category::limit, "LIMIT-JSON-BYTES",
                     "the index takes " + std::to_string(size_bytes) + " bytes, expected at most " +
                         std::to_string(limits_.json_bytes) + " (json_bytes)");
    }
    text_ = simdjson::padded_string(static_cast<std::size_t>(size_bytes));
    if (text_.data() == nullptr) return no_memory_for_index();
    RUSHLIGHT_TRY(source_.read_at(0, std::as_writable_bytes(std::span<char>(text_.data(), text_.size()))));
    // simdjson leaves texts outside of names unchecked in some builds; names go into messages and listings.
    if (!is_valid_utf8({text_.data(), text_.size()})) return malformed("is no valid UTF-8");
    return {};
  }

  Result<dom::object> parse() {
    simdjson::error_code code = parser_.allocate(text_.size(), kMaxDepth);
    dom::element document;
    if (code == simdjson::SUCCESS) code = parser_.parse(text_).get(document);
    if (code == simdjson::MEMALLOC) return no_memory_for_index();
    if (code == simdjson::DEPTH_ERROR) {
      return malformed("nests more than " + std::to_string(kMaxDepth) + " levels deep");
    }
    if (code != simdjson::SUCCESS) return malformed("is no valid JSON");
    dom::object object;
    if (document.get(object) != simdjson::SUCCESS) return malformed("is no JSON object");
    return object;
  }

  Status read_metadata(const dom::element& value) {
    dom::object metadata;
    if (value.get(metadata) != simdjson::SUCCESS) return {};  // it is not needed for anything
    NameSet keys;
    for (const dom::key_value_pair member : metadata) {
      if (!keys.insert(member.key)) return duplicate(member.key, "'metadata'");
      if (member.key != "total_size") continue;
      std::uint64_t bytes = 0;
      double real = 0;  // some writers divide on the way
      constexpr double kExactly = 9007199254740992.0;
      if (member.value.get(bytes) == simdjson::SUCCESS) {
        result_.total_size = bytes;
      } else if (member.value.get(real) == simdjson::SUCCESS && real >= 0 && real < kExactly) {
        result_.total_size = static_cast<std::uint64_t>(real);
      } else {
        return malformed("has a total_size that is no number of bytes");
      }
    }
    return {};
  }

  Status read_map(const dom::element& value) {
    dom::object map;
    if (value.get(map) != simdjson::SUCCESS) return malformed("has a 'weight_map' that is no object");
    NameSet names;
    std::map<std::string_view, std::size_t> shards;
    for (const dom::key_value_pair member : map) {
      if (!names.insert(member.key)) return duplicate(member.key, "'weight_map'");
      if (result_.entries.size() == limits_.tensors) {
        return failure(Category::limit, "LIMIT-TENSORS",
                       "there are more than " + std::to_string(limits_.tensors) + " tensors (tensors)");
      }
      std::string_view file;
      if (member.value.get(file) != simdjson::SUCCESS) {
        return malformed("maps " + rushlight::quoted(member.key) + " to no string");
      }
      const auto [known, is_new] = shards.try_emplace(file, result_.shards.size());
      if (is_new) result_.shards.emplace_back(file);
      result_.entries.push_back({std::string(member.key), known->second});
    }
    return {};
  }

  const Source& source_;
  const Limits& limits_;
  simdjson::padded_string text_;
  dom::parser parser_;  // owns what the elements refer to
  ShardIndex result_;
};

}  // namespace

Result<ShardIndex> read_shard_index(const Source& source, const Limits& limits) {
  Result<ShardIndex> read = IndexReader(source, limits).read();
  if (!read) return with_file(std::move(read).error(), source.name());
  return read;
}

}  // namespace rushlight::interchange
