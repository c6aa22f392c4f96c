// The readable form of paths, "optimizer.param_groups[0].lr", and what it leads to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "value/node.hpp"

namespace rushlight {

struct Resolution {
  bool found = false;
  Path path;                 // to `node`
  NodeId node = kNoNode;     // the one meant; where there is none, the one that the longest part of the text leads to
  std::size_t consumed = 0;  // bytes of the text that `path` takes
};

// The integer between brackets at `at`, in the form to_string() gives it, and where the text goes on.
[[nodiscard]] std::optional<std::pair<std::int64_t, std::size_t>> bracketed_integer(std::string_view text,
                                                                                    std::size_t at);

// Longer keys are tried first; where one leads to a dead end, shorter ones are.
[[nodiscard]] Resolution resolve(const std::shared_ptr<const ValueGraph>& graph, NodeId root, std::string_view text);

}  // namespace rushlight
