// A graph without some of its nodes, where Python's containers can do without them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/value.hpp"
#include "value/node.hpp"

namespace rushlight {

struct LeftOut {
  Value root;
  bool has_root = true;             // false: the root itself could not do without what goes
  std::vector<std::string> places;  // containers that go whole, in traversal order; what is in them is not named
};

// Dicts lose the entries of what goes, sets the items: no other name changes by it. Lists, tuples, objects and their
// attributes cannot lose a part, since positions are names and an object without an attribute is another one: they go
// whole, out of the nearest container that can lose them.
Result<LeftOut> leave_out(const Value& root, const std::function<bool(const Value&)>& goes, const Limits& limits);

}  // namespace rushlight
