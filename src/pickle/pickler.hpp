// The pickler: an object graph as the bytes that CPython's own pickler would write for it, so that a stream Python
// wrote comes out as it went in: memo numbers, batches of 1,000, frames, the roundabout forms of tuples that hold
// themselves. Source: CPython Modules/_pickle.c. The rules are in format-spec/03-pickle, "Writing".
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pickle/object.hpp"
#include "rushlight/result.hpp"

namespace rushlight::pickle {

struct PicklerOptions {
  int protocol = 2;  // 2 to 5
  // More is ErrorCode::limit_exceeded: tuples that hold one another grow with the square of their number.
  std::uint64_t max_bytes = std::uint64_t{256} << 20;
};

struct Pickled {
  std::vector<std::byte> bytes;
  // Every persistent id written, in order, as often as it is.
  std::vector<ObjectId> persistent;
  bool has_floats = false;
};

// Objects are written with the opcodes of their kind: a graph for protocol 2 holds no bytes and no sets, which Python
// writes as calls there. ErrorCode::invalid_argument where it does, and for a call that needs itself to be made.
Result<Pickled> write_pickle(const ObjectGraph& graph, const PicklerOptions& options);

}  // namespace rushlight::pickle
