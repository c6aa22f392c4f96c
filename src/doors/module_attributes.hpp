// Attributes of pickled modules as the fields of operators.
#pragma once

#include <string>
#include <string_view>

#include "rushlight/graph.hpp"
#include "rushlight/result.hpp"
#include "rushlight/value.hpp"

namespace rushlight::doors {

// "layer 'features.0' (torch.nn.modules.conv.Conv2d)": where a module stands and what it is.
[[nodiscard]] std::string module_text(std::string_view name, const Value& module);

// A module that is valid and means something we do not compute, and one that torch could not have written.
[[nodiscard]] Error unsupported_module(std::string_view name, const Value& module, std::string why,
                                       std::string hint = {});
[[nodiscard]] Error wrong_attribute(std::string_view name, const Value& module, std::string_view attribute,
                                    std::string_view expected, const Value& found);

// Fills the operator from the module's attributes; absent ones keep torch's defaults. Refuses attributes that change
// what the module computes and that the operator cannot express.
[[nodiscard]] Status read_module_attributes(const Value& module, std::string_view name, Operator& op);

}  // namespace rushlight::doors
