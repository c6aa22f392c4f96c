// A JSON record of an archive, read field by field: whatever is not as expected is an error that says where.
#pragma once

#include <simdjson.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/zip_container.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"

namespace rushlight::checkpoint {

using JsonElement = simdjson::dom::element;

// The members of a JSON object, in order, each key once.
class JsonObject {
 public:
  using Member = std::pair<std::string_view, JsonElement>;

  JsonObject() = default;
  explicit JsonObject(std::vector<Member> members) : members_(std::move(members)) {}
  [[nodiscard]] const std::vector<Member>& members() const noexcept { return members_; }
  [[nodiscard]] std::optional<JsonElement> find(std::string_view key) const noexcept;

 private:
  std::vector<Member> members_;
};

// `where` names the thing that is read, for messages: "entry 'conv.weight'".
class JsonRecord {
 public:
  static Result<JsonRecord> read(ZipContainer& container, const zip::Entry& entry, const Limits& limits);

  [[nodiscard]] JsonElement root() const noexcept { return root_; }

  // A key that comes twice is an error: two readers could take different values.
  [[nodiscard]] Result<JsonObject> object(JsonElement element, std::string_view where) const;
  [[nodiscard]] Result<std::vector<JsonElement>> array(JsonElement element, std::string_view where) const;

  // A field that must be there.
  [[nodiscard]] Result<JsonElement> field(const JsonObject& object, std::string_view where, std::string_view key) const;
  [[nodiscard]] Result<std::string_view> text(const JsonObject& object, std::string_view where,
                                              std::string_view key) const;
  [[nodiscard]] Result<bool> boolean(const JsonObject& object, std::string_view where, std::string_view key) const;
  // A number, or its decimal text (as protocol buffers write 64 bits).
  [[nodiscard]] Result<std::int64_t> integer(JsonElement element, std::string_view where) const;

  [[nodiscard]] Error wrong(std::string_view where, std::string_view expected, JsonElement found) const;
  // Adds the record and the file.
  [[nodiscard]] Error placed(Error error) const;
  [[nodiscard]] Error error(Category category, std::string_view code, std::string message) const;

 private:
  std::unique_ptr<simdjson::dom::parser> parser_;  // owns what the elements point into
  JsonElement root_;
  std::string file_;
  std::string record_;
};

}  // namespace rushlight::checkpoint
