#include "rushlight/limits.hpp"

namespace rushlight {

Limits Limits::strict() noexcept {
  Limits limits;
  limits.archive_entries /= 16;
  limits.central_directory_bytes /= 16;
  limits.pickle_bytes /= 16;
  limits.pickle_nodes /= 16;
  limits.pickle_depth = 128;  // whole pickled modules nest about 100 deep
  limits.pickle_memo /= 16;
  limits.pickle_string_bytes /= 16;
  limits.pickle_integer_bytes /= 16;
  limits.visited_nodes /= 16;
  limits.tensors /= 16;
  limits.tensor_dims = 16;
  limits.inflated_bytes /= 16;
  limits.materialised_bytes /= 16;
  limits.json_bytes /= 16;
  limits.graph_nodes /= 16;
  limits.arena_bytes /= 16;
  limits.image_pixels /= 16;
  return limits;  // record_name_bytes stays: it is what torch itself reads
}

Limits Limits::off() noexcept {
  // A quarter of the range, so that code which adds a budget to a size, or doubles it, cannot wrap.
  constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max() / 4;
  Limits limits;
  limits.archive_entries = kNone;
  limits.central_directory_bytes = kNone;
  limits.record_name_bytes = kNone;
  limits.pickle_bytes = kNone;
  limits.pickle_nodes = kNone;
  limits.pickle_depth = kNone;
  limits.pickle_memo = kNone;
  limits.pickle_string_bytes = kNone;
  limits.pickle_integer_bytes = kNone;
  limits.visited_nodes = kNone;
  limits.tensors = kNone;
  limits.tensor_dims = kNone;
  limits.inflated_bytes = kNone;
  limits.materialised_bytes = kNone;
  limits.json_bytes = kNone;
  limits.graph_nodes = kNone;
  limits.arena_bytes = kNone;
  limits.image_pixels = kNone;
  return limits;
}

}  // namespace rushlight
