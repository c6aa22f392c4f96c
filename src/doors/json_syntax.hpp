// Where a JSON text stops being JSON. simdjson says that it does, quickly; people who write specs by hand ask where.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace rushlight::doors {

struct JsonError {
  std::size_t offset;
  std::size_t line;     // from 1
  std::size_t column;   // in bytes, from 1
  std::string message;  // "expected a value, found ']'"
};

// The first error by RFC 8259, or nullopt. Containers may nest `max_depth` deep.
[[nodiscard]] std::optional<JsonError> find_json_error(std::string_view text, std::size_t max_depth);

}  // namespace rushlight::doors
