#include "support/legacy_builder.hpp"

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstring>
#include <utility>

namespace rushlight::test {
namespace {

PickleBuilder& begin(PickleBuilder& pickle, int protocol) {
  return protocol >= 2 ? pickle.proto(static_cast<unsigned>(protocol)) : pickle;
}

}  // namespace

PickleBuilder& legacy_storage(PickleBuilder& pickle, const LegacyStorageId& id) {
  pickle.mark().text("storage").global("torch", id.storage_class).text(id.key).text(id.location).integer(id.numel);
  if (id.view) {
    pickle.mark().text(id.view->key).integer(id.view->offset).integer(id.view->numel).tuple();
  } else {
    pickle.none();
  }
  return pickle.tuple().binpersid();
}

PickleBuilder& rest_of_tensor(PickleBuilder& pickle, const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t numel = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = numel;
    numel *= shape[i];
  }
  pickle.integer(0).integers(shape).integers(strides).boolean(false);
  return pickle.global("collections", "OrderedDict").empty_tuple().reduce();
}

PickleBuilder& legacy_tensor(PickleBuilder& pickle, const LegacyStorageId& id, std::vector<std::int64_t> shape) {
  pickle.global("torch._utils", "_rebuild_tensor_v2").mark();
  legacy_storage(pickle, id);
  return rest_of_tensor(pickle, shape).tuple().reduce();
}

LegacyFile::LegacyFile(int protocol) : protocol_(protocol) {
  if (protocol >= 2) {
    begin(magic, protocol).long1("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19").stop();
  } else {
    magic.line('L', "119547037146038801333356L").stop();
  }
  begin(version, protocol).integer(1001).stop();
  begin(system, protocol).empty_dict().mark().text("protocol_version").integer(1001);
  system.text("little_endian").boolean(true).text("type_sizes").empty_dict().mark().text("short").integer(2);
  system.text("int").integer(4).text("long").integer(4).setitems().setitems().stop();
  begin(object, protocol);
}

LegacyFile& LegacyFile::add(std::string key, Bytes data, std::uint32_t unit_bytes, std::optional<std::uint64_t> numel) {
  const std::uint64_t there = data.size() / unit_bytes;
  storages_.push_back({std::move(key), std::move(data), numel.value_or(there)});
  return *this;
}

Bytes LegacyFile::build() {
  PickleBuilder listed = keys;
  if (listed.size() == 0) {
    begin(listed, protocol_).empty_list().mark();
    for (const Part& part : storages_) listed.text(part.key);
    listed.appends().stop();
  }
  Bytes file;
  places_ = {};
  append(file, magic.bytes());
  places_.version = file.size();
  append(file, version.bytes());
  places_.system = file.size();
  append(file, system.bytes());
  places_.object = file.size();
  append(file, object.bytes());
  places_.keys = file.size();
  append(file, listed.bytes());
  for (const Part& part : storages_) {
    places_.storages.push_back(file.size());
    append_number<std::uint64_t>(file, part.numel);
    append(file, part.data);
  }
  places_.end = file.size();
  append(file, trailing);
  return file;
}

TarFile& TarFile::add(TarMember member) {
  members_.push_back(std::move(member));
  return *this;
}

TarFile& TarFile::add_extended(std::string_view key, std::string_view value) {
  const std::string text = " " + std::string(key) + "=" + std::string(value) + "\n";
  // The length counts its own digits.
  std::size_t length = text.size() + 1;
  while (std::to_string(length).size() + text.size() != length) ++length;
  return add({.name = "././@PaxHeader", .data = to_bytes(std::to_string(length) + text), .type = 'x'});
}

TarMember& TarFile::member(std::string_view name) {
  const auto found =
      std::find_if(members_.begin(), members_.end(), [&](const TarMember& member) { return member.name == name; });
  assert(found != members_.end());
  return *found;
}

std::uint64_t TarFile::header(std::string_view name) const {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].name == name) return headers_[i];
  }
  assert(false);
  return 0;
}

Bytes TarFile::build() {
  Bytes file;
  headers_.clear();
  for (const TarMember& member : members_) {
    headers_.push_back(file.size());
    std::string header(512, '\0');
    const auto set = [&](std::size_t at, std::string_view text) { header.replace(at, text.size(), text); };
    char size[16] = {};
    std::snprintf(size, sizeof size, "%011zo", member.data.size());
    set(0, member.name);
    set(100, "0000644");
    set(108, "0000000");
    set(116, "0000000");
    set(124, member.size_field.value_or(size));
    set(136, "00000000000");
    set(148, "        ");
    header[156] = member.type;
    set(157, member.link_name);
    set(257, std::string_view("ustar\00000", 8));
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    char checksum[16] = {};
    std::snprintf(checksum, sizeof checksum, "%06o", sum);
    set(148, checksum);
    header[154] = '\0';
    append(file, as_byte_span(header));
    append(file, member.data);
    file.resize((file.size() + 511) / 512 * 512);
  }
  file.resize(file.size() + 1024);
  return file;
}

}  // namespace rushlight::test
