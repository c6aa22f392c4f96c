// Where the nodes of a graph come from: with it a writer spells what nobody changed as it was spelt. The values
// themselves do not depend on it.
#pragma once

#include <cstdint>

namespace rushlight {

// A file's own form of a graph, in which objects have numbers. What it is, only the layer that made it knows.
class ValueOrigin {
 public:
  virtual ~ValueOrigin() = default;

 protected:
  ValueOrigin() = default;
  ValueOrigin(const ValueOrigin&) = delete;
  ValueOrigin& operator=(const ValueOrigin&) = delete;
};

// The object that became a node.
struct NodeOrigin {
  static constexpr std::uint32_t kNone = 0xFFFFFFFFu;
  std::uint32_t origin = kNone;  // index into ValueGraph::origins
  std::uint32_t object = 0;

  [[nodiscard]] bool exists() const noexcept { return origin != kNone; }
};

}  // namespace rushlight
