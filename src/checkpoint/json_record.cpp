#include "checkpoint/json_record.hpp"

#include <algorithm>
#include <charconv>

#include "base/fail.hpp"
#include "base/quote.hpp"

// rushlight:: stands before quoted() here, since simdjson.h brings std::quoted along, which look-up would prefer.
namespace rushlight::checkpoint {
namespace {

using simdjson::dom::element_type;

std::string describe(JsonElement element) {
  switch (element.type()) {
    case element_type::ARRAY:
      return "an array";
    case element_type::OBJECT:
      return "an object";
    case element_type::STRING: {
      std::string_view text;
      return element.get(text) == simdjson::SUCCESS ? rushlight::quoted(text, 60) : "a string";
    }
    case element_type::BOOL:
      return "true or false";
    case element_type::NULL_VALUE:
      return "null";
    case element_type::INT64: {
      std::int64_t number = 0;
      return element.get(number) == simdjson::SUCCESS ? std::to_string(number) : "a number";
    }
    default:
      return "a number";
  }
}

}  // namespace

std::optional<JsonElement> JsonObject::find(std::string_view key) const noexcept {
  const auto found =
      std::find_if(members_.begin(), members_.end(), [&](const Member& member) { return member.first == key; });
  return found == members_.end() ? std::nullopt : std::optional(found->second);
}

Result<JsonRecord> JsonRecord::read(ZipContainer& container, const zip::Entry& entry, const Limits& limits) {
  JsonRecord record;
  record.file_ = container.context().file;
  record.record_ = container.context().printable_name(entry);
  if (entry.size_bytes > limits.json_bytes) {
    return record.placed(
        Error::of({.category = Category::limit,
                   .code = "LIMIT-JSON-BYTES",
                   .message = "JSON is larger than the limit json_bytes, expected at most " +
                              std::to_string(limits.json_bytes) + ", found " + std::to_string(entry.size_bytes),
                   .offset = entry.directory_offset,
                   .found = std::to_string(entry.size_bytes),
                   .expected = std::to_string(limits.json_bytes)}));
  }
  RUSHLIGHT_TRY_ASSIGN(const zip::RecordBytes bytes, container.read(entry, entry.size_bytes));
  record.parser_ = std::make_unique<simdjson::dom::parser>();
  const std::string_view text = as_text(bytes.span());
  if (record.parser_->parse(text.data(), text.size()).get(record.root_) != simdjson::SUCCESS) {
    return record.error(Category::zip, "JSON-SYNTAX", "the record is no JSON document");
  }
  return record;
}

Result<JsonObject> JsonRecord::object(JsonElement element, std::string_view where) const {
  simdjson::dom::object object;
  if (element.get(object) != simdjson::SUCCESS) return wrong(where, "an object", element);
  std::vector<JsonObject::Member> members;
  for (const simdjson::dom::key_value_pair pair : object) members.emplace_back(pair.key, pair.value);
  std::vector<std::string_view> keys;
  keys.reserve(members.size());
  for (const JsonObject::Member& member : members) keys.push_back(member.first);
  std::sort(keys.begin(), keys.end());
  if (const auto twice = std::adjacent_find(keys.begin(), keys.end()); twice != keys.end()) {
    return this->error(Category::ambig, "JSON-DUPLICATE",
                       std::string(where) + ": key " + rushlight::quoted(*twice) + " comes twice");
  }
  return JsonObject(std::move(members));
}

Result<std::vector<JsonElement>> JsonRecord::array(JsonElement element, std::string_view where) const {
  simdjson::dom::array array;
  if (element.get(array) != simdjson::SUCCESS) return wrong(where, "an array", element);
  std::vector<JsonElement> items;
  for (const JsonElement item : array) items.push_back(item);
  return items;
}

Result<JsonElement> JsonRecord::field(const JsonObject& object, std::string_view where, std::string_view key) const {
  if (const std::optional<JsonElement> found = object.find(key)) return *found;
  return this->error(Category::type, "JSON-FIELD", std::string(where) + " has no field " + rushlight::quoted(key));
}

Result<std::string_view> JsonRecord::text(const JsonObject& object, std::string_view where,
                                          std::string_view key) const {
  RUSHLIGHT_TRY_ASSIGN(const JsonElement element, field(object, where, key));
  std::string_view text;
  if (element.get(text) == simdjson::SUCCESS) return text;
  return wrong(std::string(where) + ", " + std::string(key), "a string", element);
}

Result<bool> JsonRecord::boolean(const JsonObject& object, std::string_view where, std::string_view key) const {
  RUSHLIGHT_TRY_ASSIGN(const JsonElement element, field(object, where, key));
  bool flag = false;
  if (element.get(flag) == simdjson::SUCCESS) return flag;
  return wrong(std::string(where) + ", " + std::string(key), "true or false", element);
}

Result<std::int64_t> JsonRecord::integer(JsonElement element, std::string_view where) const {
  std::int64_t number = 0;
  if (element.type() == element_type::INT64 && element.get(number) == simdjson::SUCCESS) return number;
  std::string_view text;
  if (element.get(text) == simdjson::SUCCESS) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (!text.empty() && error == std::errc() && end == text.data() + text.size()) return number;
  }
  return wrong(where, "an integer", element);
}

Error JsonRecord::wrong(std::string_view where, std::string_view expected, JsonElement found) const {
  std::string described = describe(found);
  Error failure = this->error(Category::type, "JSON-TYPE",
                              std::string(where) + ": expected " + std::string(expected) + ", found " + described);
  failure.finding.found = std::move(described);
  failure.finding.expected = std::string(expected);
  return failure;
}

Error JsonRecord::placed(Error error) const {
  if (!error.finding.record) error.finding.record = record_;
  return with_file(std::move(error), file_);
}

Error JsonRecord::error(Category category, std::string_view code, std::string message) const {
  return placed(Error::of({.category = category, .code = std::string(code), .message = std::move(message)}));
}

}  // namespace rushlight::checkpoint
