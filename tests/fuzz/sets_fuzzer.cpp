// Checkpoints of several files: an index of shards, or the `.metadata` of a distributed checkpoint, and what lies
// beside it. The input is several files in one (packed_files.hpp); the first of them is opened.
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "fuzz/answers.hpp"
#include "fuzz/packed_files.hpp"
#include "interchange/shard_index.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;
using interchange::ShardIndex;

std::string text(const ShardIndex& index) {
  std::string said = std::to_string(index.total_size.value_or(0)) + "\n";
  std::set<std::string> names;
  std::set<std::string> shards(index.shards.begin(), index.shards.end());
  require(shards.size() == index.shards.size());
  std::set<std::size_t> used;
  for (const ShardIndex::Entry& entry : index.entries) {
    require(entry.shard < index.shards.size() && names.insert(entry.name).second);
    used.insert(entry.shard);
    said += entry.name + " in " + index.shards[entry.shard] + "\n";
  }
  require(used.size() == index.shards.size());
  return said;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes_of = [](const std::string& text) {
    const ByteSpan bytes = as_byte_span(text);
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  FileSet files;
  bool first = true;
  std::string first_bytes;
  for (auto& [name, bytes] : unpack_files(std::as_bytes(std::span(data, size)))) {
    if (std::exchange(first, false)) {
      first_bytes = bytes;
      files.first = bytes_of(bytes);
    } else {
      files.others.insert_or_assign(name, bytes_of(bytes));
    }
  }
  const auto read = [](const std::shared_ptr<const Source>& source) {
    return interchange::read_shard_index(*source, small_limits());
  };
  const std::span index(reinterpret_cast<const std::uint8_t*>(first_bytes.data()), first_bytes.size());
  if (!decode_both_ways(index, read, text)) check_refusal(index, {FileKind::sharded});
  check_answers(files);
  return 0;
}
