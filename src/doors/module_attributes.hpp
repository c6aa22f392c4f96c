// Attributes of pickled modules as the fields of operators.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/operator_table.hpp"
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

// The operator that computes, in eval mode, what a class of torch.nn or torchvision does; nullptr where there is none.
// Its attributes are then read by read_module_attributes().
[[nodiscard]] const model::OperatorInfo* find_stock_module(std::string_view class_name) noexcept;

// Refuses what makes a module compute something else than its class does: hooks, parametrisations, a forward of its
// own.
[[nodiscard]] Status check_hooks(const Value& module, std::string_view name);

// Fills the operator from the module's attributes; absent ones keep torch's defaults. Refuses attributes that change
// what the module computes and that the operator cannot express. `unknown` (if not null) gets the names of those that
// are neither computed with nor known to be of no consequence.
[[nodiscard]] Status read_module_attributes(const Value& module, std::string_view name, Operator& op,
                                            std::vector<std::string>* unknown = nullptr);

}  // namespace rushlight::doors
