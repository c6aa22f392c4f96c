// What the verbs that write checkpoints share: their options, and how they report.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/context.hpp"

namespace rushlight::cli {

struct WriteOptions {
  std::string to;
  std::string torch;
  std::int64_t protocol = 0;
  std::int64_t alignment = 0;
  bool deflate = false;
  bool safe = false;
  bool verify = false;
  bool force = false;

  [[nodiscard]] FileKind kind() const;
  [[nodiscard]] SaveOptions save_options() const;
};
// `out`: the file that is written; it outlives the table.
void add_write_options(OptionTable& table, WriteOptions& options, const std::string& out);

// "bf16", "bfloat16", "i8" (quantised) ...; nullopt for what is no dtype.
[[nodiscard]] std::optional<DType> parse_dtype(std::string_view name);
// The names that parse_dtype() takes, for messages.
[[nodiscard]] std::vector<std::string> dtype_names();

void write_casts(JsonWriter& json, const std::vector<CastReport>& casts);
[[nodiscard]] std::string format_casts(const Context& context, const std::vector<CastReport>& casts);

}  // namespace rushlight::cli
