#include "cli/precision_input.hpp"

#include <utility>

namespace rushlight::cli {

std::vector<std::string> precision_words() {
  return {"strict", "fast", "bf16", "fp16", "int8", "tf32"};
}

Precision precision_of(std::string_view word) {
  return parse_precision(word).value_or(Precision::strict);
}

Option& add_calibration_option(OptionTable& table, std::string& file) {
  return table.add("--calibration", &file, "for int8: what `rushlight calibrate` wrote").in("Work");
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
