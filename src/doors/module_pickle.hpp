// Pickled modules: a tree of stock torch.nn layers says by its classes and attributes what it computes. Nothing of it
// is run: the objects are opaque values, and their attributes are read as data.
#pragma once

#include <string>
#include <string_view>

#include "rushlight/limits.hpp"
#include "rushlight/load_model.hpp"
#include "rushlight/value.hpp"

namespace rushlight::doors {

// True for an object that torch.nn.Module's pickling made: it has `_modules` and `_parameters`.
[[nodiscard]] bool is_module(const Value& value);

// The graph of a module. Parameter names are those of Module.state_dict(). `classes` are asked before the stock ones.
// ErrorCode::unsupported names the layer and the class or the attribute that is not built.
[[nodiscard]] Result<Graph> graph_of_module(const Value& module, const ModelOptions& options);

}  // namespace rushlight::doors
