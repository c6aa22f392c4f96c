// Pickled modules made by hand: what torch writes, and what it never would.
#pragma once

#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include "rushlight/value.hpp"
#include "value/graph.hpp"

namespace rushlight {

class ModuleTree {
 public:
  using Attribute = std::pair<std::string_view, NodeId>;

  ValueGraphBuilder& values() noexcept { return values_; }

  // An nn.Module's pickle: the class called without arguments, then its __dict__ as state.
  NodeId module(std::string_view class_name, const std::vector<Attribute>& attributes = {},
                const std::vector<Attribute>& children = {}, const std::vector<Attribute>& parameters = {}) {
    const NodeId state = values_.dict();
    set(state, "training", values_.boolean(false));
    set(state, "_parameters", ordered(parameters));
    set(state, "_buffers", ordered({}));
    set(state, "_modules", ordered(children));
    for (const Attribute& attribute : attributes) set(state, attribute.first, attribute.second);
    const NodeId object = values_.opaque(class_name, values_.tuple({}));
    values_.set_state(object, state);
    return object;
  }
  NodeId ordered(const std::vector<Attribute>& items) {
    const NodeId dict = values_.dict();
    values_.set_class(dict, "collections.OrderedDict");
    for (const Attribute& item : items) set(dict, item.first, item.second);
    return dict;
  }
  void set(NodeId dict, std::string_view key, NodeId value) {
    EXPECT_TRUE(values_.set_item(dict, values_.string(key), value));
  }

  NodeId sequential(const std::vector<Attribute>& children) {
    return module("torch.nn.modules.container.Sequential", {}, children);
  }
  NodeId relu() { return module("torch.nn.modules.activation.ReLU", {{"inplace", values_.boolean(true)}}); }
  NodeId pair(std::int64_t h, std::int64_t w) {
    const NodeId items[] = {values_.integer(h), values_.integer(w)};
    return values_.tuple(items);
  }
  NodeId tensor(Shape shape) { return values_.tensor(Tensor::zeros(DType::f32, std::move(shape)).value()); }

  // The tree is done.
  Value value(NodeId root) { return {std::move(values_).finish(), root}; }

 private:
  ValueGraphBuilder values_;
};

}  // namespace rushlight
