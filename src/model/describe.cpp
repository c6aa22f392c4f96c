#include "model/describe.hpp"

#include "base/quote.hpp"
#include "model/operator_table.hpp"

namespace rushlight::model {

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

std::string pair_text(IntPair pair) {
  return std::to_string(pair.h) + "x" + std::to_string(pair.w);
}

std::string layer_text(const Node& node) {
  if (!node.name.empty()) return "layer " + quoted(node.name);
  const OperatorInfo* row = info(node.op);
  return "layer (" + std::string(row == nullptr ? "nothing" : row->spec_name) + ")";
}

std::string count_text(std::size_t count, std::string_view singular) {
  return std::to_string(count) + " " + std::string(singular) + (count == 1 ? "" : "s");
}

}  // namespace rushlight::model
