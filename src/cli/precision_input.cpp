#include "cli/precision_input.hpp"

#include <fmt/format.h>

#include <utility>

#include "rushlight/text.hpp"

namespace rushlight::cli {

Result<Precision> precision_of(std::string_view word) {
  if (const std::optional<Precision> precision = parse_precision(word)) return *precision;
  return Error::of({.category = Category::unsup,
                    .code = "UNSUP-OPTION",
                    .message = fmt::format("'--precision {}' is not built into this version", escaped(word))});
}

void add_calibration_option(OptionTable& table, std::string& file) {
  table.add("--calibration", &file, "for int8: what `rushlight calibrate` wrote").in("Work");
}

Result<std::optional<Calibration>> read_calibration_for(Precision precision, const std::string& file,
                                                        const Context& context) {
  if (precision != Precision::int8) return std::optional<Calibration>();
  if (file.empty()) {
    return Error::of({.category = Category::argument,
                      .code = "CALIBRATION-MISSING",
                      .message = "--precision int8 needs --calibration FILE",
                      .hint = "`rushlight calibrate MODEL --images FOLDER -o FILE` writes one"});
  }
  Result<Calibration> calibration = read_calibration(file, context.limits);
  if (!calibration) return with_path_suggestion(std::move(calibration).error(), file);
  return std::optional(*std::move(calibration));
}

}  // namespace rushlight::cli
