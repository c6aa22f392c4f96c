#include "pickle/arena.hpp"

#include <bit>
#include <cstring>

namespace rushlight::pickle {
namespace {

// Places kept for a growing slice of `count` ids.
std::uint64_t room_for(std::uint64_t count) noexcept {
  return count == 0 ? 0 : std::bit_ceil(count);
}

}  // namespace

bool ObjectGraph::Storage::extend(Slice& slice, const ObjectId* ids, std::size_t count) noexcept {
  const std::uint64_t room = room_for(slice.count);
  const std::uint64_t needed = std::uint64_t{slice.count} + count;
  if (needed > room) {
    const std::uint64_t wanted = room_for(needed);
    const std::size_t end = slots.size();
    const bool is_last = room > 0 && slice.begin + room == end;
    const std::uint64_t added = is_last ? wanted - room : wanted;
    if (end + added > 0xFFFFFFFFu || !slots.grow_by(static_cast<std::size_t>(added))) return false;
    if (!is_last) {
      if (slice.count > 0) {
        std::memcpy(slots.data() + end, slots.data() + slice.begin, slice.count * sizeof(ObjectId));
      }
      slice.begin = static_cast<std::uint32_t>(end);
    }
  }
  if (count > 0) std::memcpy(slots.data() + slice.begin + slice.count, ids, count * sizeof(ObjectId));
  slice.count = static_cast<std::uint32_t>(needed);
  return true;
}

Additions* ObjectGraph::Storage::additions_of(ObjectId id) noexcept {
  Node& node = nodes[id];
  std::uint32_t& index = node.kind == ObjectKind::call ? calls[node.call].additions : node.persistent.second;
  if (index == kNoObject) {
    if (!additions.push({})) return nullptr;
    index = static_cast<std::uint32_t>(additions.size() - 1);
  }
  return &additions[index];
}

bool ObjectGraph::Storage::add_text(std::string_view text) noexcept {
  const std::size_t begin = decoded.size();
  return decoded.append(text.data(), text.size()) && texts.push({begin, text.size()});
}

}  // namespace rushlight::pickle
