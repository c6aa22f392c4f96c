// --tune FILE of `run` and `bench`: choices that were measured before, and a place for those that are measured now.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "cli/context.hpp"

namespace rushlight::cli {

class TuningFile {
 public:
  static Option& add_option(OptionTable& table, std::string* path);

  // Reads the file where it is there; nothing for an empty path.
  [[nodiscard]] static Result<TuningFile> open(const Context& context, const std::string& path);
  // For SessionOptions; null without a file.
  [[nodiscard]] Tuning* tuning() noexcept { return tuning_ ? &*tuning_ : nullptr; }
  // Writes it where something was measured.
  [[nodiscard]] Status save() const;
  // "measured 4 layers, kept in r50.tuning"; empty where nothing was measured.
  [[nodiscard]] std::string note() const;
  // The field "tuning", where there is a file.
  void write(JsonWriter& json) const;

 private:
  std::string path_;
  std::optional<Tuning> tuning_;
};

}  // namespace rushlight::cli
