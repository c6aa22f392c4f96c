#include "doors/module_pickle.hpp"

#include <optional>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "doors/forward.hpp"
#include "doors/module_attributes.hpp"
#include "model/operator_table.hpp"

namespace rushlight {
namespace doors {
namespace {

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
  const Edge input = builder.input("input", {}, input_dtype(module));
  RUSHLIGHT_TRY_ASSIGN(const Returned returned, caller.call(module, "", {&input, 1}));
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
