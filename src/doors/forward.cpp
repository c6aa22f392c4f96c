#include "doors/forward.hpp"

#include <algorithm>
#include <optional>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "doors/module_attributes.hpp"
#include "doors/module_pickle.hpp"
#include "model/describe.hpp"
#include "model/operator_table.hpp"
#include "model/parameters.hpp"

namespace rushlight::doors {
namespace {

// No torch module has names like these; a pickle can claim them.
constexpr std::size_t kMaxNameBytes = 4096;
// Children that a message lists.
constexpr std::size_t kListedChildren = 12;
// Names in a note.
constexpr std::size_t kListedNames = 4;

constexpr Edge kNothing{-1};

// Modules that return a tuple: what its items are called.
constexpr std::string_view kRnnTuple[] = {"output", "h_n"};
constexpr std::string_view kLstmTuple[] = {"output", "h_n", "c_n"};
constexpr std::string_view kLstmCellTuple[] = {"h_1", "c_1"};
constexpr std::string_view kAttentionTuple[] = {"attn_output"};  // the weights are not computed
std::span<const std::string_view> tuple_names(OperatorKind kind) noexcept {
  switch (kind) {
    case OperatorKind::RNN:
    case OperatorKind::GRU:
      return kRnnTuple;
    case OperatorKind::LSTM:
      return kLstmTuple;
    case OperatorKind::LSTMCell:
      return kLstmCellTuple;
    case OperatorKind::MultiheadAttention:
      return kAttentionTuple;
    default:
      return {};
  }
}

std::string_view last_part(std::string_view class_name) noexcept {
  const std::size_t dot = class_name.rfind('.');
  return dot == std::string_view::npos ? class_name : class_name.substr(dot + 1);
}

bool is_known(std::string_view class_name) noexcept {
  return find_stock_module(class_name) != nullptr || find_forward(class_name) != nullptr;
}

// "'a', 'b', 'c', 'd' and 3 more".
std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kListedNames); ++i) {
    text += (i == 0 ? "" : ", ") + rushlight::quoted(names[i]);
  }
  if (names.size() > kListedNames) text += " and " + std::to_string(names.size() - kListedNames) + " more";
  return text;
}

// Classes that have no forward() to write down.
constexpr std::string_view kWithoutForward[] = {
    "torch.nn.modules.container.ModuleList",    "torch.nn.modules.container.ModuleDict",
    "torch.nn.modules.container.ParameterList", "torch.nn.modules.container.ParameterDict",
    "torch.nn.modules.module.Module",
};

}  // namespace

std::string joined(std::string_view prefix, std::string_view name) {
  if (prefix.empty() || name.empty()) return std::string(prefix.empty() ? name : prefix);
  return (std::string(prefix) + ".").append(name);
}

const ForwardClass* find_forward(std::string_view torch_class) noexcept {
  for (const std::span<const ForwardClass> table : {torch_forwards(), torchvision_forwards()}) {
    for (const ForwardClass& known : table) {
      if (known.torch_class == torch_class) return &known;
    }
  }
  return nullptr;
}

const ModuleBuilder* ModuleCaller::find_class(std::string_view class_name) const {
  const auto found = options_.classes.find(std::string(class_name));
  return found == options_.classes.end() || !found->second ? nullptr : &found->second;
}

// rushlight:: stands before quoted() here, since <filesystem> brings std::quoted along, which look-up would prefer.
Status ModuleCaller::charge(const std::string& name) {
  if (name.size() > kMaxNameBytes) {
    return Error::of({.category = Category::limit,
                      .code = "LIMIT-MODULE-NAME",
                      .message = "layer " + rushlight::quoted(name) + ": its name has " + std::to_string(name.size()) +
                                 " bytes, the limit is " + std::to_string(kMaxNameBytes)});
  }
  const std::uint64_t most = std::min(kMostNested, options_.limits.pickle_depth);
  if (depth_ >= most) {
    return Error::of(
        {.category = Category::limit,
         .code = "LIMIT-MODULE-DEPTH",
         .message = "layer " + rushlight::quoted(name) + ": modules nest deeper than " + std::to_string(most)});
  }
  visited_ += 1 + name.size() / 64;
  if (visited_ <= options_.limits.graph_nodes) return {};
  return Error::of({.category = Category::limit,
                    .code = "LIMIT-GRAPH-NODES",
                    .message = "layer " + rushlight::quoted(name) + ": more than " +
                               std::to_string(options_.limits.graph_nodes) + " modules"});
}

Result<Returned> ModuleCaller::call(const Value& module, const std::string& name, std::span<const Edge> inputs) {
  RUSHLIGHT_TRY(charge(name));
  ++depth_;
  Result<Returned> returned = call_entered(module, name, inputs);
  --depth_;
  return returned;
}

Result<Returned> ModuleCaller::call_entered(const Value& module, const std::string& name,
                                            std::span<const Edge> inputs) {
  const std::string_view class_name = module.class_name();
  if (const ModuleBuilder* build = find_class(class_name)) return call_builder(*build, module, name, inputs);
  if (!is_module(module)) {
    return Error::of({.category = Category::type,
                      .code = "MODULE-CHILD",
                      .message = module_text(name, module) + ": expected a module"});
  }
  // What is gone through below, each time that the module is called.
  for (const std::string_view dict : {"_parameters", "_buffers", "_modules"}) {
    visited_ += module.attr(dict).entry_count() / 64;
  }
  training_ = training_ || module.attr("training").as_bool().value_or(false);
  if (!is_known(class_name)) return unknown_class(module, name);
  RUSHLIGHT_TRY(check_hooks(module, name));
  if (const ForwardClass* known = find_forward(class_name)) return call_forward(*known, module, name, inputs);
  return call_stock(model::make_operator(*find_stock_module(class_name)), module, name, inputs);
}

Result<Returned> ModuleCaller::call_stock(Operator op, const Value& module, const std::string& name,
                                          std::span<const Edge> inputs) {
  const model::OperatorInfo& row = *model::info(op);
  if (inputs.size() < row.min_inputs || inputs.size() > row.max_inputs) {
    const std::size_t wanted = inputs.size() < row.min_inputs ? row.min_inputs : row.max_inputs;
    return unsupported_module(
        name, module,
        "it takes " + model::count_text(wanted, "input") + ", and here it gets " + std::to_string(inputs.size()),
        "map the class around it to a builder in ModelOptions::classes");
  }
  std::vector<std::string> unknown;
  const bool first_call = looked_at_.insert(module.identity()).second;
  RUSHLIGHT_TRY(read_module_attributes(module, name, op, first_call ? &unknown : nullptr));
  for (const std::string& attribute : unknown) {
    unknown_attributes_.insert(escaped(module.class_name()) + "." + escaped(attribute));
  }
  const auto uses_batch = [&](const auto* norm) { return norm != nullptr && !norm->track_running_stats; };
  if (uses_batch(op.get_if<BatchNorm1d>()) || uses_batch(op.get_if<BatchNorm2d>()) ||
      uses_batch(op.get_if<BatchNorm3d>()) || uses_batch(op.get_if<SyncBatchNorm>())) {
    note_once(batch_statistics_, name);
  }
  const std::span<const std::string_view> names = tuple_names(row.kind);
  const std::size_t count = std::max<std::size_t>(names.size(), 1);
  const std::vector<Edge> edges = apply(name, op, inputs, count);
  if (edges.front().index >= 0) ignore_other_tensors(module, name, op);  // else build() tells what was wrong
  if (names.empty()) return Returned(edges.front());
  std::vector<Returned::Item> items;
  for (std::size_t i = 0; i < count; ++i) items.emplace_back(names[i], edges[i]);
  return Returned(Returned::Kind::tuple, std::move(items));
}

// Running statistics that are not asked for, and what users register on a stock layer.
void ModuleCaller::ignore_other_tensors(const Value& module, const std::string& name, const Operator& op) {
  const std::vector<model::ParameterShape> read = model::parameter_shapes(op);
  for (const std::string_view dict : {"_parameters", "_buffers"}) {
    const Value tensors = module.attr(dict);
    for (std::size_t i = 0; i < tensors.entry_count(); ++i) {
      const auto [key, tensor] = tensors.entry(i);
      const std::string_view text = key.as_string().value_or("");
      const auto is = [&](const model::ParameterShape& parameter) { return parameter.name == text; };
      if (!tensor.is_none() && std::none_of(read.begin(), read.end(), is)) ignore(joined(name, text));
    }
  }
}

Result<Returned> ModuleCaller::call_forward(const ForwardClass& known, const Value& module, const std::string& name,
                                            std::span<const Edge> inputs) {
  if (inputs.size() < known.min_inputs || inputs.size() > known.max_inputs) {
    const std::size_t wanted = inputs.size() < known.min_inputs ? known.min_inputs : known.max_inputs;
    return unsupported_module(
        name, module,
        "it takes " + model::count_text(wanted, "input") + ", and here it gets " + std::to_string(inputs.size()),
        "map the class around it to a builder in ModelOptions::classes");
  }
  Forward self(*this, module, name, inputs);
  Returned returned = known.forward(self);
  RUSHLIGHT_TRY(Status(self.status()));
  self.ignore_the_rest();
  return returned;
}

// A user's class: its nodes become ours, under its name.
Result<Returned> ModuleCaller::call_builder(const ModuleBuilder& build, const Value& module, const std::string& name,
                                            std::span<const Edge> inputs) {
  RUSHLIGHT_TRY_ASSIGN(const Graph inner, build(module));
  if (inner.inputs().size() != inputs.size() || inner.outputs().size() != 1) {
    const std::string wanted = inputs.size() == 1 ? "one input" : model::count_text(inputs.size(), "input");
    return unsupported_module(name, module,
                              "a graph inside a Sequential has " + wanted + " and one output, found " +
                                  std::to_string(inner.inputs().size()) + " and " +
                                  std::to_string(inner.outputs().size()));
  }
  std::vector<Edge> edges(inner.edge_count());
  const auto ours = [&](Edge edge) -> Edge& { return edges[static_cast<std::size_t>(edge.index)]; };
  for (std::size_t i = 0; i < inputs.size(); ++i) ours(inner.inputs()[i].edge) = inputs[i];
  for (const Node& node : inner.nodes()) {
    // A lone layer without a name: its parameters are the module's own.
    const std::string full = joined(name, node.name);
    RUSHLIGHT_TRY(charge(full));
    std::vector<Edge> node_inputs;
    for (const Edge edge : node.inputs) node_inputs.push_back(ours(edge));
    const std::optional<std::string> owner = node.module ? std::optional(joined(name, *node.module)) : std::nullopt;
    const std::vector<Edge> outputs = apply(full, node.op, node_inputs, node.outputs.size(), owner);
    for (std::size_t i = 0; i < outputs.size(); ++i) ours(node.outputs[i]) = outputs[i];
  }
  for (const std::string& note : inner.notes()) builder_.note(note);
  for (const std::string& ignored : inner.ignored()) builder_.ignore(joined(name, ignored));
  return Returned(ours(inner.outputs()[0].edge));
}

void ModuleCaller::note_once(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

std::vector<Edge> ModuleCaller::apply(const std::string& name, Operator op, std::span<const Edge> inputs,
                                      std::size_t outputs, const std::optional<std::string>& module) {
  std::string full = name;
  const bool keeps_name = name.empty() || model::info(op)->has_parameters;
  if (const std::uint32_t before = used_names_[name]++; before > 0 && !keeps_name) {
    full += "_" + std::to_string(before);
  }
  return module ? builder_.apply_shared(std::move(full), *module, std::move(op), inputs, outputs)
                : builder_.apply(std::move(full), std::move(op), inputs, outputs);
}

Error ModuleCaller::unknown_class(const Value& module, const std::string& name) const {
  const std::string_view class_name = module.class_name();
  const std::string quoted_class = rushlight::quoted(class_name);
  const std::string remedies =
      "map " + quoted_class + " to a builder in ModelOptions::classes, or describe the network in a JSON spec (--spec)";
  if (std::find(std::begin(kWithoutForward), std::end(kWithoutForward), class_name) != std::end(kWithoutForward)) {
    return unsupported_module(name, module, "it has no forward() of its own", remedies);
  }
  if (class_name.starts_with("torch.nn.modules.") && last_part(class_name).starts_with("Lazy")) {
    return unsupported_module(name, module, "it was saved before its first forward(), and has no parameters yet",
                              "call the model once before torch.save");
  }
  if (class_name.starts_with("torch.nn.utils.parametrize.")) {
    return unsupported_module(name, module, "torch.nn.utils.parametrize computes its weight anew in every forward()",
                              "call torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight') before "
                              "torch.save");
  }
  if (class_name.starts_with("torch.") || class_name.starts_with("torchvision.")) {
    return unsupported_module(
        name, module,
        "this class of " + std::string(class_name.substr(0, class_name.find('.'))) + " is not computed here", remedies);
  }
  std::string children;
  const Value modules = module.attr("_modules");
  const std::size_t count = modules.entry_count();
  for (std::size_t i = 0; i < std::min(count, kListedChildren); ++i) {
    const auto [key, child] = modules.entry(i);
    if (child.is_none()) continue;
    const std::string_view child_class = child.class_name();
    const bool built = is_known(child_class) || find_class(child_class) != nullptr;
    children += (children.empty() ? "" : ", ") + escaped(key.as_string().value_or("?")) + " (" +
                (built ? escaped(last_part(child_class)) : escaped(child_class) + ", not known either") + ")";
  }
  if (count > kListedChildren) children += " and " + std::to_string(count - kListedChildren) + " more";
  return unsupported_module(name, module,
                            "what its forward() computes is not in the file" +
                                (children.empty() ? std::string() : "; its children are " + children),
                            "map " + quoted_class +
                                " to a builder in ModelOptions::classes that does what forward() does (apply_child() "
                                "calls a child), describe "
                                "the network in a JSON spec (--spec), or name a built-in architecture (--arch)");
}

void ModuleCaller::write_notes() {
  if (training_) builder_.note("stored in training mode; inference means eval");
  if (!left_out_.empty()) builder_.note("computed in training only, and left out: " + listed(left_out_));
  if (!batch_statistics_.empty()) {
    builder_.note("without running statistics, so that each batch is normalised by its own: " +
                  listed(batch_statistics_));
  }
  for (const std::string& attribute : unknown_attributes_) {
    builder_.note("an attribute that torch's classes do not have, or not yet, is ignored: " + attribute);
  }
}

void Forward::fail(Error error) {
  if (status_) status_ = std::move(error);
}

void Forward::wrong(std::string_view attribute, std::string_view expected) {
  fail(wrong_attribute(name_, module_, attribute, expected, module_.attr(attribute)));
}

void Forward::unsupported(std::string why, std::string hint) {
  fail(unsupported_module(name_, module_, std::move(why), std::move(hint)));
}

Value Forward::child(std::string_view path) const {
  Value module = module_;
  while (!path.empty()) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    module = module.attr("_modules")[path.substr(0, dot)];
    path.remove_prefix(std::min(path.size(), dot + 1));
  }
  return module;
}

bool Forward::has(std::string_view path) const {
  const Value found = child(path);
  return found.exists() && !found.is_none();
}

Returned Forward::returned(std::string_view path, std::span<const Edge> inputs) {
  if (failed()) return kNothing;
  used_.emplace(path.substr(0, path.find('.')));
  const Value module = child(path);
  if (!module.exists() || module.is_none()) {
    fail(wrong_attribute(name_, module_, path, "a module", module));
    return kNothing;
  }
  Result<Returned> result = caller_.call(module, joined(name_, path), inputs);
  if (result) return *std::move(result);
  fail(std::move(result).error());
  return kNothing;
}

Edge Forward::call(std::string_view path, std::span<const Edge> inputs) {
  const Returned result = returned(path, inputs);
  if (failed()) return kNothing;
  if (result.kind == Returned::Kind::tensor) return result.items.front().second;
  std::string names;
  for (const Returned::Item& item : result.items) names += (names.empty() ? "" : ", ") + item.first;
  fail(unsupported_module(joined(name_, path), child(path),
                          std::string("it returns a ") + (result.kind == Returned::Kind::tuple ? "tuple" : "dict") +
                              " (" + names + "), and what follows it takes a tensor",
                          "map the class around it to a builder in ModelOptions::classes"));
  return kNothing;
}

Edge Forward::first(std::string_view path, std::initializer_list<Edge> inputs) {
  const Returned result = returned(path, std::span(inputs.begin(), inputs.size()));
  return result.items.front().second;
}

Returned Forward::in_order() {
  const std::vector<std::string> names = children();
  Returned result(input());
  for (std::size_t i = 0; i < names.size() && !failed(); ++i) {
    // The last one may return what it likes.
    if (i + 1 < names.size()) {
      result = (*this)(names[i], result.items.front().second);
    } else {
      result = returned(names[i], std::span(&result.items.front().second, 1));
    }
  }
  return result;
}

Edge Forward::apply_all(Operator op, std::span<const Edge> inputs) {
  if (failed()) return kNothing;
  const std::string name = joined(name_, model::info(op)->spec_name);
  return caller_.apply(name, std::move(op), inputs).front();
}

Edge Forward::apply_as_module(Operator op, std::initializer_list<Edge> inputs) {
  is_operator_ = true;
  if (Status read = read_module_attributes(module_, name_, op); !read) fail(std::move(read).error());
  if (failed()) return kNothing;
  return caller_.apply(name_, std::move(op), std::span(inputs.begin(), inputs.size())).front();
}

std::vector<Edge> Forward::apply(Operator op, Edge x, std::size_t outputs) {
  if (failed()) return std::vector<Edge>(outputs, kNothing);
  const std::string name = joined(name_, model::info(op)->spec_name);
  return caller_.apply(name, std::move(op), {&x, 1}, outputs);
}

Edge Forward::parameter(std::string_view name) {
  if (failed()) return kNothing;
  used_.emplace(name);
  Value found = module_.attr("_parameters")[name];
  if (!found.exists()) found = module_.attr("_buffers")[name];
  const std::optional<Tensor> tensor = found.as_tensor();
  if (!tensor) {
    fail(wrong_attribute(name_, module_, name, "a tensor", found));
    return kNothing;
  }
  const DTypeKind kind = info(tensor->dtype()).kind;
  Parameter op{.shape = Shape(tensor->shape().begin(), tensor->shape().end()),
               .integer = kind == DTypeKind::integer || kind == DTypeKind::natural};
  return caller_.apply(joined(name_, name), std::move(op), {}).front();
}

std::vector<std::string> Forward::children(std::string_view of) {
  std::vector<std::string> names;
  const Value modules = child(of).attr("_modules");
  for (std::size_t i = 0; i < modules.size() && !failed(); ++i) {
    const std::pair<Value, Value> entry = modules.entry(i);
    const std::optional<std::string_view> key = entry.first.as_string();
    if (!key || key->empty() || key->find('.') != std::string_view::npos) {
      // torch's register_module() refuses them, since they would be the names of other modules too.
      fail(wrong_attribute(name_, module_, "_modules", "names without dots as keys", entry.first));
    } else if (!entry.second.is_none()) {  // register_module("downsample", None)
      names.push_back(joined(of, *key));
    }
  }
  return names;
}

Linear Forward::linear(std::string_view path) {
  const Value module = child(path);
  const std::string name = joined(name_, path);
  if (find_stock_module(module.class_name()) != &model::info(OperatorKind::Linear)) {
    fail(wrong_attribute(name_, module_, path, "a Linear", module));
    return {};
  }
  Operator op = Linear{};
  Status read = check_hooks(module, name);
  if (read) read = read_module_attributes(module, name, op);
  if (!read) fail(std::move(read).error());
  return op.get<Linear>();
}

std::int64_t Forward::integer(std::string_view name) {
  const Value value = module_.attr(name);
  const std::optional<std::int64_t> number =
      value.kind() == ValueKind::integer ? value.as_int() : std::optional<std::int64_t>();
  if (!number) wrong(name, "an integer");
  return number.value_or(0);
}

double Forward::number(std::string_view name, double otherwise) {
  const Value value = module_.attr(name);
  if (!value.exists()) return otherwise;
  const std::optional<double> number = value.kind() == ValueKind::real || value.kind() == ValueKind::integer
                                           ? value.as_double()
                                           : std::optional<double>();
  if (!number) wrong(name, "a number");
  return number.value_or(otherwise);
}

bool Forward::flag(std::string_view name, bool otherwise) {
  const Value value = module_.attr(name);
  if (!value.exists() || value.is_none()) return otherwise;
  const std::optional<bool> truth = value.as_bool();
  if (!truth) wrong(name, "True or False");
  return truth.value_or(otherwise);
}

Shape Forward::integers(std::string_view name, std::size_t count) {
  const Value value = module_.attr(name);
  Shape numbers;
  for (std::size_t i = 0; i < value.item_count(); ++i) {
    const Value item = value.item(i);
    if (const auto number = item.as_int(); number && item.kind() == ValueKind::integer) numbers.push_back(*number);
  }
  if (numbers.size() == count && value.item_count() == count) return numbers;
  wrong(name, model::count_text(count, "integer"));
  return Shape(count, 1);
}

void Forward::leave_out(std::string_view path) {
  if (has(path)) caller_.leave_out(joined(name_, path));
}

void Forward::ignore_the_rest() {
  if (is_operator_) return;
  for (const std::string_view dict : {"_parameters", "_buffers", "_modules"}) {
    const Value items = module_.attr(dict);
    for (std::size_t i = 0; i < items.entry_count(); ++i) {
      const auto [key, item] = items.entry(i);
      const std::string_view name = key.as_string().value_or("");
      if (item.is_none() || used_.contains(name)) continue;
      // Dropouts and activations have nothing to ignore.
      const bool has_tensors = item.kind() != ValueKind::opaque || item.attr("_parameters").size() > 0 ||
                               item.attr("_buffers").size() > 0 || item.attr("_modules").size() > 0;
      if (has_tensors) caller_.ignore(joined(name_, name));
    }
  }
}

}  // namespace rushlight::doors
