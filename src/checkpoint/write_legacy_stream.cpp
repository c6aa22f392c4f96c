#include "checkpoint/write_legacy_stream.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "pickle/object_builder.hpp"
#include "pickle/pickler.hpp"
#include "tensor/computed_memory.hpp"
#include "tensor/memory.hpp"

namespace rushlight::checkpoint {
namespace {

using pickle::ObjectId;
using pickle::ObjectKind;

constexpr std::string_view kMagic = "\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19";  // 0x1950A86A20F9469CFC6C
constexpr std::int64_t kProtocolVersion = 1001;
constexpr std::size_t kStreamChunkBytes = std::size_t{4} << 20;

template <class Make>
Result<std::vector<std::byte>> small_pickle(int protocol, const Make& make) {
  pickle::ObjectGraphBuilder objects;
  objects.set_root(make(objects));
  if (!objects.is_complete()) return no_memory();
  RUSHLIGHT_TRY_ASSIGN(pickle::Pickled pickled, pickle::write_pickle(objects.graph(), {.protocol = protocol}));
  return std::move(pickled.bytes);
}

ObjectId dict_of(pickle::ObjectGraphBuilder& objects, std::span<const std::pair<std::string_view, ObjectId>> entries) {
  const ObjectId dict = objects.container(ObjectKind::dict);
  for (const auto& [key, value] : entries) {
    const std::array pair = {objects.text(ObjectKind::string, key), value};
    static_cast<void>(objects.add_pairs(dict, pair));
  }
  return dict;
}

// What this machine is, which torch writes and never asks.
ObjectId system_info(pickle::ObjectGraphBuilder& objects) {
  const std::array<std::pair<std::string_view, ObjectId>, 3> sizes = {
      {{"short", objects.integer(2)}, {"int", objects.integer(4)}, {"long", objects.integer(4)}}};
  const std::array<std::pair<std::string_view, ObjectId>, 3> info = {
      {{"protocol_version", objects.integer(kProtocolVersion)},
       {"little_endian", objects.boolean(true)},
       {"type_sizes", dict_of(objects, sizes)}}};
  return dict_of(objects, info);
}

// As text, which is how torch sorts them.
std::vector<const NamedStorage*> in_file_order(const UnbuiltValue& value) {
  std::vector<const NamedStorage*> storages;
  for (const NamedStorage& storage : value.storages) storages.push_back(&storage);
  std::ranges::sort(storages, {}, [](const NamedStorage* storage) -> const std::string& { return storage->key; });
  return storages;
}

// The four small pickles and the object's, in file order.
Result<std::vector<std::vector<std::byte>>> all_pickles(const UnbuiltValue& value, int protocol) {
  std::vector<std::vector<std::byte>> pickles(5);
  RUSHLIGHT_TRY_ASSIGN(pickles[0], small_pickle(protocol, [](auto& objects) { return objects.big_integer(kMagic); }));
  RUSHLIGHT_TRY_ASSIGN(pickles[1],
                       small_pickle(protocol, [](auto& objects) { return objects.integer(kProtocolVersion); }));
  RUSHLIGHT_TRY_ASSIGN(pickles[2], small_pickle(protocol, system_info));
  pickles[3] = value.pickle;
  RUSHLIGHT_TRY_ASSIGN(pickles[4], small_pickle(protocol, [&](auto& objects) {
                         const ObjectId keys = objects.container(ObjectKind::list);
                         for (const NamedStorage* storage : in_file_order(value)) {
                           const std::array item = {objects.text(ObjectKind::string, storage->key)};
                           static_cast<void>(objects.add_items(keys, item));
                         }
                         return keys;
                       }));
  return pickles;
}

}  // namespace

Result<std::uint64_t> legacy_stream_bytes(const UnbuiltValue& value, int protocol) {
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::vector<std::byte>> pickles, all_pickles(value, protocol));
  std::uint64_t bytes = 0;
  for (const std::vector<std::byte>& pickle : pickles) bytes += pickle.size();
  for (const NamedStorage& storage : value.storages) bytes += sizeof(std::int64_t) + storage.storage.size_bytes();
  return bytes;
}

Status write_legacy_stream(const UnbuiltValue& value, int protocol, Sink& sink, Progress* progress) {
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::vector<std::byte>> pickles, all_pickles(value, protocol));
  for (const std::vector<std::byte>& pickle : pickles) RUSHLIGHT_TRY(sink.write(pickle));
  std::uint64_t total = 0;
  for (const NamedStorage& storage : value.storages) total += storage.storage.size_bytes();
  std::uint64_t done = 0;
  const auto report = [&]() -> Status {
    if (progress == nullptr || progress->on_progress("save", done, total)) return {};
    return Error::of(ErrorCode::cancelled,
                     {.category = Category::io, .code = "CANCELLED", .message = "saving was cancelled"});
  };
  const auto write_chunks = [&](ByteSpan piece) -> Status {
    for (std::size_t at = 0; at < piece.size(); at += kStreamChunkBytes) {
      const ByteSpan chunk = piece.subspan(at, std::min(kStreamChunkBytes, piece.size() - at));
      RUSHLIGHT_TRY(sink.write(chunk));
      done += chunk.size();
      RUSHLIGHT_TRY(report());
    }
    return {};
  };
  for (const NamedStorage* named : in_file_order(value)) {
    Storage storage = named->storage;
    if (storage.device() != Device::cpu()) {
      RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> here, copy_to_device(*storage.memory(), Device::cpu()));
      storage = Storage(std::move(here));
    }
    RUSHLIGHT_TRY(storage.memory()->compute(0, {}));  // nothing is written for what cannot be read
    std::array<std::byte, 8> count{};
    store_le(count.data(), named->numel);
    RUSHLIGHT_TRY(sink.write(count));
    RUSHLIGHT_TRY(each_piece(*storage.memory(), write_chunks));
  }
  return {};
}

}  // namespace rushlight::checkpoint
