#include "cli/tuning_file.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "cli/format.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {

Option& TuningFile::add_option(OptionTable& table, std::string* path) {
  return table
      .add("--tune", path, "measure which way to compute each layer is the fastest; FILE keeps it for the next time")
      .in("Work");
}

void TuningFile::write(JsonWriter& json) const {
  if (!tuning_) return;
  json.key("tuning").begin_object().field("file", std::string_view(path_));
  json.field("entries", static_cast<std::uint64_t>(tuning_->size()));
  json.field("measured", static_cast<std::uint64_t>(tuning_->measured())).end_object();
}

Result<TuningFile> TuningFile::open(const Context& context, const std::string& path) {
  TuningFile file;
  file.path_ = path;
  if (path.empty()) return file;
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) {
    Result<Tuning> read = load_tuning(path, context.limits);
    if (!read) return std::move(read).error();
    file.tuning_ = *std::move(read);
  } else {
    file.tuning_.emplace();
  }
  return file;
}

Status TuningFile::save() const {
  return tuning_ && tuning_->measured() > 0 ? save_tuning(*tuning_, path_) : Status();
}

std::string TuningFile::note() const {
  if (!tuning_ || tuning_->measured() == 0) return "";
  return fmt::format("measured {}, kept in {}", plural(static_cast<std::int64_t>(tuning_->measured()), "layer"),
                     escaped(path_));
}

}  // namespace rushlight::cli
