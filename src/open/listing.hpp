// What listings show of a value graph: tensors, plain values and opaque objects with their names, modules as
// Module.state_dict() names them (format-spec/05, "names").
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "rushlight/value.hpp"

namespace rushlight::open {

class ListingVisitor {
 public:
  virtual ~ListingVisitor() = default;
  // `in_state_dict` is false for what state_dict() of the module around it leaves out: non-persistent buffers, and
  // tensors in other attributes.
  virtual void tensor(std::string_view name, std::span<const PathStep> path, Tensor tensor, bool in_state_dict) = 0;
  // A sparse or nested tensor, before its parts, which follow as tensors.
  virtual void composite(std::string_view name, std::span<const PathStep> path, CompositeTensor tensor,
                         bool in_state_dict);
  // A leaf that is no tensor.
  virtual void value(std::string_view name, std::span<const PathStep> path, const Value& value) = 0;
  // An opaque object, before what it holds.
  virtual void object(std::string_view name, std::span<const PathStep> path, const Value& value) = 0;

 protected:
  ListingVisitor() = default;
  ListingVisitor(const ListingVisitor&) = default;
  ListingVisitor& operator=(const ListingVisitor&) = default;
};

// An object whose `__dict__` is that of a torch.nn.Module: with dicts `_parameters`, `_buffers` and `_modules`; or an
// object of a TorchScript class, whose tensors and modules are attributes of its own.
[[nodiscard]] bool is_module(const Value& value);

// In traversal order: parents before children; of a module its parameters, buffers, other attributes, then its
// children. Lists, dicts, sets and objects are entered once, children of modules under every name they have (as
// state_dict() does). ErrorCode::limit_exceeded after `max_nodes` visits; one with a name of more than 255 bytes or a
// path of more than 15 steps counts as several.
Status visit_listing(const Value& root, std::uint64_t max_nodes, ListingVisitor& visitor);

}  // namespace rushlight::open
