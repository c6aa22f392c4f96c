// Dict keys and set items in Python's terms: what is hashable, what is equal (1 == 1.0 == True), without recursion.
#pragma once

#include <cstdint>
#include <optional>

#include "value/node.hpp"

namespace rushlight {

// nullopt: not hashable (list, dict, set, bytearray, and tuples that hold one or themselves). Equal keys have equal
// hashes under one seed, whichever graphs they are in. `memo` belongs to `graph` and `seed`.
[[nodiscard]] std::optional<std::uint64_t> hash_key(const ValueGraph& graph, NodeId id, std::uint64_t seed,
                                                    KeyMemo& memo);

// The hash of a string key.
[[nodiscard]] std::uint64_t hash_text_key(std::string_view text, std::uint64_t seed) noexcept;

// Python's ==, or identity, of two hashable keys. Numbers are compared by value, whatever their type; objects without
// a meaning here, tensors, storages and NaN only with themselves. The memos belong to the graphs and to `seed`; they
// may be one where the graphs are.
[[nodiscard]] bool equal_keys(const ValueGraph& a, NodeId x, KeyMemo& memo_a, const ValueGraph& b, NodeId y,
                              KeyMemo& memo_b, std::uint64_t seed);

}  // namespace rushlight
