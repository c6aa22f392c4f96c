#include "checkpoint/zip_layout.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"

namespace rushlight::checkpoint {
namespace {

constexpr std::uint64_t kSmallRecordBytes = 256;

bool is_number(std::string_view text) noexcept {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// The numbers that torch counts with from 1.9 on, not the addresses before.
bool is_counter(std::string_view key) noexcept {
  return is_number(key) && key.size() <= 9 && (key.size() == 1 || key[0] != '0');
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

bool is_small_record(std::string_view name) noexcept {
  return name == "version" || name == ".data/version" || name == "byteorder" || name == ".format_version" ||
         name == ".storage_alignment";
}

bool is_torchs(std::string_view name) noexcept {
  return is_small_record(name) || name == ZipLayout::kPickle || name == ZipLayout::kSerializationId ||
         name.starts_with(ZipLayout::kStorages) || name.starts_with("tensors/");
}

}  // namespace

std::string root_of_path(std::string_view path) {
  if (!std::ranges::all_of(path, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) return "archive";
  if (const std::size_t slash = path.find_last_of("/\\"); slash != std::string_view::npos) {
    path.remove_prefix(slash + 1);
  }
  if (const std::size_t dot = path.rfind('.'); dot != std::string_view::npos) path = path.substr(0, dot);
  return path.empty() ? std::string("archive") : std::string(path);
}

ZipLayout layout_of_release(TorchRelease release, std::string_view stem, std::uint64_t alignment) {
  const bool counts_from_two_seven = release >= TorchRelease{2, 7};
  const bool has_byteorder = release >= TorchRelease{2, 1};
  ZipLayout layout;
  layout.root = (release >= TorchRelease{1, 13} ? std::string(stem) : std::string("archive")) + "/";
  layout.numeric_order = counts_from_two_seven;
  layout.alignment = counts_from_two_seven ? alignment : 64;
  layout.records.push_back({std::string(ZipLayout::kPickle), {}});
  if (counts_from_two_seven) {
    layout.records.push_back({".format_version", "1"});
    layout.records.push_back({".storage_alignment", std::to_string(layout.alignment)});
  }
  if (has_byteorder) layout.records.push_back({"byteorder", "little"});
  layout.records.push_back({std::string(ZipLayout::kStorages), {}});
  layout.records.push_back({"version", "3\n"});
  if (has_byteorder) layout.records.push_back({std::string(ZipLayout::kSerializationId), {}});
  return layout;
}

void ZipLayout::set_alignment(std::uint64_t bytes) {
  alignment = bytes;
  for (Record& record : records) {
    if (record.name == ".storage_alignment") record.content = std::to_string(bytes);
  }
}

Result<ZipLayout> layout_of_file(const zip::Archive& archive, std::string_view root) {
  ZipLayout layout;
  layout.root = root.empty() ? std::string("archive/") : std::string(root);
  std::vector<const zip::Entry*> entries;
  for (const zip::Entry& entry : archive.entries()) {
    if (entry.name.starts_with(root) && !entry.is_directory()) entries.push_back(&entry);
  }
  std::ranges::stable_sort(entries, {}, &zip::Entry::header_offset);
  bool numeric = true;
  bool counters = true;
  bool has_storages = false;
  bool any_crc = false;
  bool any_data = false;
  std::string_view last_key;
  for (const zip::Entry* entry : entries) {
    // Names in another case are torch's all the same, and are written as torch writes them.
    const std::string_view stored_name = entry->name.substr(root.size());
    const std::string lower = lower_case(stored_name);
    const std::string_view name = is_torchs(lower) ? std::string_view(lower) : stored_name;
    any_data = any_data || entry->size_bytes > 0;
    any_crc = any_crc || entry->crc != 0;
    const bool old_storage = name.starts_with("tensors/");  // of 1.4
    if (old_storage || name.starts_with(ZipLayout::kStorages)) {
      const std::string_view key = stored_name.substr(stored_name.find('/') + 1);
      if (!has_storages) layout.records.push_back({std::string(ZipLayout::kStorages), {}});
      if (old_storage) layout.storage_folder = "tensors/";
      has_storages = true;
      counters = counters && is_counter(key);
      numeric = numeric && (last_key.size() < key.size() || (last_key.size() == key.size() && last_key <= key));
      last_key = key;
      continue;
    }
    // Of what is written now it would vouch for nothing.
    if (name.starts_with(".rushlight/")) continue;
    if (name == ZipLayout::kPickle || name == ZipLayout::kSerializationId) {
      layout.records.push_back({std::string(name), {}});
      continue;
    }
    if (!is_small_record(name) || entry->size_bytes > kSmallRecordBytes) {
      layout.records.push_back({std::string(name), {}, entry});
      continue;
    }
    RUSHLIGHT_TRY_ASSIGN(const zip::RecordBytes content, archive.read(*entry, kSmallRecordBytes));
    std::string text(as_text(content.span()));
    if (name == "byteorder") text = "little";  // which is what is written
    if (name == ".storage_alignment") {
      std::uint64_t alignment = 0;
      const auto parsed = std::from_chars(text.data(), text.data() + text.size(), alignment);
      if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && alignment >= 1 && alignment <= 65536) {
        layout.alignment = alignment;
      }
    }
    layout.records.push_back({std::string(name), std::move(text)});
  }
  if (!has_storages) {
    // Nothing tells where they would stand: behind what comes before the version.
    const auto at = std::ranges::find_if(layout.records, [](const ZipLayout::Record& record) {
      return record.name == "version" || record.name == ".data/version";
    });
    const bool first = at == layout.records.begin();
    layout.records.insert(first ? layout.records.end() : at, {std::string(ZipLayout::kStorages), {}});
  }
  const bool is_numbered =
      std::ranges::any_of(layout.records, [](const auto& record) { return record.name == ".format_version"; });
  layout.numeric_order = is_numbered && (numeric || !has_storages);
  layout.keep_keys = has_storages && !counters;
  layout.crc = any_crc || !any_data;
  return layout;
}

}  // namespace rushlight::checkpoint
