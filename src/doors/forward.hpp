// How modules of known classes compute. A pickle holds classes by name, attributes and children; what forward() does
// with them is written here once more, for torch.nn's containers (torch_forwards.cpp) and for torchvision's models and
// blocks (torchvision_forwards.cpp). Children are called whatever they are, so a head that a user replaced works.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rushlight/load_model.hpp"

namespace rushlight::doors {

// What a module returns: a tensor, or several by name, as Python's tuple or dict has them.
struct Returned {
  enum class Kind : std::uint8_t { tensor, tuple, dict };
  using Item = std::pair<std::string, Edge>;

  Returned(Edge tensor) : items({{"output", tensor}}) {}  // NOLINT(google-explicit-constructor)
  Returned(Kind kind_in, std::vector<Item> items_in) : kind(kind_in), items(std::move(items_in)) {}

  Kind kind = Kind::tensor;
  std::vector<Item> items;
};

class Forward;

// One class and what it computes in eval mode.
struct ForwardClass {
  std::string_view torch_class;
  Returned (*forward)(Forward& self);
  // What it is called with.
  std::size_t min_inputs = 1;
  std::size_t max_inputs = 1;
  // Torch's names of the inputs, where there are several: "tgt memory".
  std::string_view input_names = {};
};

// nullptr for classes that are not known, and for layers that are one operator (find_stock_module).
[[nodiscard]] const ForwardClass* find_forward(std::string_view torch_class) noexcept;
[[nodiscard]] std::span<const ForwardClass> torch_forwards() noexcept;
[[nodiscard]] std::span<const ForwardClass> torchvision_forwards() noexcept;
// torch.nn.Sequential, and torch's and torchvision's subclasses of it without a forward() of their own.
[[nodiscard]] bool is_sequential(std::string_view torch_class) noexcept;

// "layer1" and "conv1": "layer1.conv1".
[[nodiscard]] std::string joined(std::string_view prefix, std::string_view name);

// Calls modules one inside the other and puts what they compute into a graph. It recurses, so nesting has a limit
// (kMostNested, or Limits::pickle_depth if that is less); names and calls have budgets, since memo references let a
// small pickle unfold to a large tree, or contain itself.
class ModuleCaller {
 public:
  // torchvision's own nest up to ten deep.
  static constexpr std::uint64_t kMostNested = 64;

  ModuleCaller(GraphBuilder& builder, const ModelOptions& options) : builder_(builder), options_(options) {}

  // module(inputs), its parameters named `name`.weight and so on.
  [[nodiscard]] Result<Returned> call(const Value& module, const std::string& name, std::span<const Edge> inputs);
  // Of an operator without a module. A name that comes again gets "_1" and so on; parameters keep theirs, and are those
  // of `module` where one is given.
  std::vector<Edge> apply(const std::string& name, Operator op, std::span<const Edge> inputs, std::size_t outputs = 1,
                          const std::optional<std::string>& module = {});
  // A child that is computed in training only: an auxiliary head.
  void leave_out(const std::string& name) { note_once(left_out_, name); }
  // A name of the state dict that forward() has no use for.
  void ignore(const std::string& name) {
    ++visited_;
    builder_.ignore(name);
  }
  // Writes into the graph what there is to say about the modules. Once, at the end.
  void write_notes();

 private:
  [[nodiscard]] const ModuleBuilder* find_class(std::string_view class_name) const;
  Status charge(const std::string& name);
  Result<Returned> call_entered(const Value& module, const std::string& name, std::span<const Edge> inputs);
  Result<Returned> call_builder(const ModuleBuilder& build, const Value& module, const std::string& name,
                                std::span<const Edge> inputs);
  Result<Returned> call_stock(Operator op, const Value& module, const std::string& name, std::span<const Edge> inputs);
  void ignore_other_tensors(const Value& module, const std::string& name, const Operator& op);
  Result<Returned> call_forward(const ForwardClass& known, const Value& module, const std::string& name,
                                std::span<const Edge> inputs);
  [[nodiscard]] Error unknown_class(const Value& module, const std::string& name) const;

  GraphBuilder& builder_;
  const ModelOptions& options_;
  std::uint64_t depth_ = 0;
  std::uint64_t visited_ = 0;
  static void note_once(std::vector<std::string>& names, const std::string& name);

  std::map<std::string, std::uint32_t, std::less<>> used_names_;
  // What write_notes() tells.
  bool training_ = false;
  std::vector<std::string> left_out_;
  std::vector<std::string> batch_statistics_;
  std::set<std::string> unknown_attributes_;
  std::set<std::uint32_t>
      looked_at_;  // modules whose attributes have been gone through: each once, however often called
};

// `self` in a forward(): a module that is being called. The first error ends it: what is called afterwards does
// nothing, and ModuleCaller reports it.
class Forward {
 public:
  Forward(ModuleCaller& caller, const Value& module, const std::string& name, std::span<const Edge> inputs)
      : caller_(caller), module_(module), name_(name), inputs_(inputs) {}

  [[nodiscard]] std::span<const Edge> inputs() const noexcept { return inputs_; }
  [[nodiscard]] Edge input() const noexcept { return inputs_.front(); }

  // self.child(x). A child is named as in state dicts: "layers.0" is in a ModuleList. It must return a tensor.
  Edge operator()(std::string_view child, Edge x) { return call(child, {&x, 1}); }
  Edge call(std::string_view child, std::span<const Edge> inputs);
  // Of a child that returns a tuple, the first item: `x, _ = self.attention(...)`.
  Edge first(std::string_view child, std::initializer_list<Edge> inputs);
  Returned returned(std::string_view child, std::span<const Edge> inputs);
  // The children of this module one after the other, as Sequential has them.
  Returned in_order();

  // A call of torch.nn.functional: the node is named after the module and the operator.
  Edge apply(Operator op, std::initializer_list<Edge> inputs) {
    return apply_all(std::move(op), std::span(inputs.begin(), inputs.size()));
  }
  Edge apply_all(Operator op, std::span<const Edge> inputs);
  std::vector<Edge> apply(Operator op, Edge input, std::size_t outputs);
  // The module is this operator between others: its attributes are read, its parameters are the module's own.
  Edge apply_as_module(Operator op, std::initializer_list<Edge> inputs);
  // A parameter or buffer of the module itself, as a value.
  Edge parameter(std::string_view name);

  // A child is there, and is not None.
  [[nodiscard]] bool has(std::string_view child) const;
  // The names of the children of a child (a ModuleList), or with "" of the module, but those that are None.
  std::vector<std::string> children(std::string_view of = {});
  [[nodiscard]] Value child(std::string_view path) const;
  [[nodiscard]] Value attribute(std::string_view name) const { return module_.attr(name); }
  // A child that is a Linear, which forward() asks for its weight and bias alone.
  Linear linear(std::string_view child);
  std::int64_t integer(std::string_view name);
  double number(std::string_view name, double otherwise);
  bool flag(std::string_view name, bool otherwise);
  // Exactly `count` integers.
  Shape integers(std::string_view name, std::size_t count);
  // A child that is computed in training only.
  void leave_out(std::string_view child);
  // Once forward() is done: what the module has and forward() did not ask for is in the state dict all the same.
  void ignore_the_rest();

  // As MODULE-ATTRIBUTE and MODULE-UNSUPPORTED, about this module.
  void wrong(std::string_view attribute, std::string_view expected);
  void unsupported(std::string why, std::string hint = {});

  [[nodiscard]] const Value& module() const noexcept { return module_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] bool failed() const noexcept { return !status_; }
  [[nodiscard]] const Status& status() const noexcept { return status_; }
  void fail(Error error);

 private:
  ModuleCaller& caller_;
  const Value& module_;
  const std::string& name_;
  std::span<const Edge> inputs_;
  Status status_;
  std::set<std::string, std::less<>> used_;  // children, parameters and buffers; of "layers.0" the first part
  bool is_operator_ = false;
};

}  // namespace rushlight::doors
