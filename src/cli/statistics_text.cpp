#include "cli/statistics_text.hpp"

namespace rushlight::cli {

void write_statistics(JsonWriter& json, const TensorStatistics& figures) {
  json.begin_object().field("count", figures.count).field("nan", figures.nan);
  json.field("infinite", figures.infinite).field("subnormal", figures.subnormal).field("zero", figures.zero);
  json.field("mean", figures.mean).field("std", figures.std).field("min", figures.min).field("max", figures.max);
  json.key("histogram").begin_array();
  for (const std::uint64_t count : figures.histogram) json.natural(count);
  json.end_array().end_object();
}

double fraction_of_zeros(const TensorStatistics& figures) {
  return figures.count == 0 ? 0 : static_cast<double>(figures.zero) / static_cast<double>(figures.count);
}

}  // namespace rushlight::cli
