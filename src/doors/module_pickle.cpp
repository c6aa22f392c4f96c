#include "doors/module_pickle.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "doors/forward.hpp"
#include "doors/module_attributes.hpp"
#include "model/operator_table.hpp"

namespace rushlight {
namespace doors {
namespace {

// Stock modules whose forward() takes several tensors, and what torch calls them.
struct StockInputs {
  OperatorKind kind;
  std::string_view names;
};
constexpr StockInputs kStockInputs[] = {
    {OperatorKind::Bilinear, "input1 input2"},    {OperatorKind::CosineSimilarity, "x1 x2"},
    {OperatorKind::MaxUnpool1d, "input indices"}, {OperatorKind::MaxUnpool2d, "input indices"},
    {OperatorKind::MaxUnpool3d, "input indices"}, {OperatorKind::MultiheadAttention, "query key value"},
    {OperatorKind::PairwiseDistance, "x1 x2"},
};

// The names of the inputs that a module cannot do without, separated by spaces.
std::string_view input_names(const Value& root) {
  Value module = root;
  for (std::uint64_t depth = 0; depth < ModuleCaller::kMostNested; ++depth) {
    const std::string_view class_name = module.class_name();
    if (const ForwardClass* known = find_forward(class_name)) {
      if (known->max_inputs == 1) break;
      if (!known->input_names.empty()) return known->input_names;
      // What passes its inputs on to one child.
      const Value modules = module.attr("_modules");
      module = modules["module"].exists() ? modules["module"] : modules["_orig_mod"];
      continue;
    }
    const model::OperatorInfo* row = find_stock_module(class_name);
    for (const StockInputs& stock : kStockInputs) {
      if (row != nullptr && row->kind == stock.kind) return stock.names;
    }
    break;
  }
  return "input";
}

// Indices are looked up, everything else is computed with.
DType input_dtype(const Value& root) {
  Value module = root;
  // The first layer, whatever it is wrapped in.
  for (std::uint64_t depth = 0; depth < ModuleCaller::kMostNested; ++depth) {
    const Value modules = module.attr("_modules");
    const bool passes_on =
        is_sequential(module.class_name()) || modules["module"].exists() || modules["_orig_mod"].exists();
    if (!passes_on) break;
    std::size_t first = 0;
    while (first < modules.entry_count() && modules.entry(first).second.is_none()) ++first;
    if (first == modules.entry_count()) break;
    module = modules.entry(first).second;
  }
  const model::OperatorInfo* row = find_stock_module(module.class_name());
  const bool looks_up =
      row != nullptr && (row->kind == OperatorKind::Embedding || row->kind == OperatorKind::EmbeddingBag);
  return looks_up ? DType::i64 : DType::f32;
}

}  // namespace

bool is_module(const Value& value) {
  if (value.kind() != ValueKind::opaque) return false;
  return value.attr("_modules").exists() && value.attr("_parameters").exists();
}

Result<Graph> graph_of_module(const Value& module, const ModelOptions& options) {
  // A builder of the caller's makes the whole graph, inputs and outputs included.
  const auto found = options.classes.find(std::string(module.class_name()));
  if (found != options.classes.end() && found->second) return found->second(module);
  GraphBuilder builder;
  ModuleCaller caller(builder, options);
  std::vector<Edge> inputs;
  for (std::string_view names = input_names(module); !names.empty();) {
    const std::string_view name = names.substr(0, names.find(' '));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    inputs.push_back(builder.input(std::string(name), {}, name == "indices" ? DType::i64 : input_dtype(module)));
  }
  RUSHLIGHT_TRY_ASSIGN(const Returned returned, caller.call(module, "", inputs));
  caller.write_notes();
  for (const Returned::Item& item : returned.items) builder.output(item.first, item.second);
  return builder.build();
}

}  // namespace doors

Result<Edge> apply_child(GraphBuilder& builder, const Value& module, std::string_view child, Edge input,
                         const ModelOptions& options) {
  doors::ModuleCaller caller(builder, options);
  const std::string none;
  doors::Forward self(caller, module, none, {&input, 1});
  const doors::Returned returned = self.returned(child, {&input, 1});
  RUSHLIGHT_TRY(Status(self.status()));
  caller.write_notes();
  return returned.items.front().second;
}

}  // namespace rushlight
