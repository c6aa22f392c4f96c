#include "sealed_file.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

#include "base/bytes.hpp"
#include "checkpoint/seal.hpp"
#include "rushlight/interchange.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_sink.hpp"
#include "support/zip_builder.hpp"
#include "zip/archive.hpp"
#include "zip/records.hpp"

namespace rushlight::test {
namespace {

std::shared_ptr<const zip::Archive> archive_of(std::string_view bytes) {
  std::vector<Finding> oddities;
  return zip::Archive::open(Source::from_memory(as_byte_span(bytes)),
                            {.limits = {}, .window_offset = 0, .window_bytes = {}}, oddities)
      .value();
}

const zip::Entry& entry_of(const zip::Archive& archive, std::string_view short_name) {
  for (const zip::Entry& entry : archive.entries()) {
    if (entry.name.ends_with("/" + std::string(short_name))) return entry;
  }
  ADD_FAILURE() << "no record " << short_name;
  return archive.entries()[0];
}

void put32(std::string& bytes, std::uint64_t offset, std::uint32_t value) {
  std::array<std::byte, 4> field{};
  store_le(field.data(), value);
  std::memcpy(bytes.data() + offset, field.data(), field.size());
}

}  // namespace

StateDict small_state() {
  StateDict state;
  const Tensor a = Tensor::from_values<float>(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}).value();
  state.insert("weight", a);
  state.insert("row", Tensor::view(a.storage(), DType::f32, {3}, {1}, 3).value());
  state.insert("count", Tensor::from_values<std::int64_t>(std::vector<std::int64_t>{7}, {}).value());
  state.insert("none", Tensor::zeros(DType::f16, {0}).value());
  return state;
}

std::string saved(const StateDict& state, const SaveOptions& options) {
  TestSink sink;
  const Result<SaveReport> report = save(state, sink, options);
  EXPECT_TRUE(report) << to_string(report.error());
  return sink.text();
}

std::string saved_small(ManifestLevel level, bool crc) {
  SaveOptions options;
  options.crc = crc;
  options.manifest = level;
  return saved(small_state(), options);
}

std::string saved_legacy() {
  SaveOptions options;
  options.kind = FileKind::torch_legacy;
  return saved(small_state(), options);
}

std::string saved_safetensors() {
  TestSink sink;
  EXPECT_TRUE(write_safetensors(small_state(), sink));
  return sink.text();
}

std::string sidecar_of(const std::string& file, ManifestLevel level) {
  const TemporaryFolder folder;
  write_file(folder / "file", file);
  ManifestOptions options;
  options.level = level;
  const Result<Manifest> manifest = write_manifest_sidecar(folder / "file", folder / "sidecar", options);
  EXPECT_TRUE(manifest) << to_string(manifest.error());
  return manifest ? read_file(folder / "sidecar") : std::string();
}

void forge_sidecar(const std::string& file, std::string& sidecar, const std::function<void(std::string& text)>& edit) {
  const Manifest manifest = parse_manifest(sidecar).value();
  edit(sidecar);
  // As page 07 has it, written once more.
  std::string structure = "rushlight structure 1\n";
  std::size_t at = 0;
  for (const ManifestRecord& record : manifest.records) {
    structure += file.substr(at, record.data_offset - at);
    at = record.data_offset + record.size_bytes;
  }
  std::string blanked = sidecar;
  blanked.replace(checkpoint::kSelfXxh3At, 32, std::string(32, '0'));
  if (manifest.self_sha256) blanked.replace(checkpoint::kSelfSha256At, 64, std::string(64, '0'));
  structure += file.substr(at) + blanked;
  Manifest digests;
  digests.self_xxh3 = checksum::xxh3_128(as_byte_span(structure));
  if (manifest.self_sha256) digests.self_sha256 = checksum::sha256(as_byte_span(structure)).value();
  checkpoint::put_self_digests(digests, sidecar.data());
}

Range data_of(std::string_view archive, std::string_view short_name) {
  const auto opened = archive_of(archive);
  const zip::Extent extent = opened->data_extent(entry_of(*opened, short_name)).value();
  return {static_cast<std::size_t>(extent.begin), static_cast<std::size_t>(extent.end)};
}

void fix_crc(std::string& archive, std::string_view short_name) {
  const auto opened = archive_of(archive);
  const zip::Entry& entry = entry_of(*opened, short_name);
  const zip::Extent extent = opened->data_extent(entry).value();
  const std::uint32_t crc = plain_crc32(as_byte_span(archive).subspan(extent.begin, extent.size_bytes()));
  put32(archive, extent.end + 4, crc);
  put32(archive, entry.directory_offset + 16, crc);
}

void forge_manifest(std::string& archive, const std::function<void(std::string& text)>& edit) {
  const Range range = data_of(archive, checkpoint::kManifestName);
  std::string text = archive.substr(range.begin, range.end - range.begin);
  const std::size_t size = text.size();
  edit(text);
  ASSERT_EQ(text.size(), size);
  archive.replace(range.begin, size, text);

  // As page 07 has it, written once more: everything but record data, zeros for what is not known.
  const bool sha256 = text.find("\"self_sha256\"") != std::string::npos;
  std::string structure = "rushlight structure 1\n";
  std::string blanked = archive;
  const auto opened = archive_of(archive);
  blanked.replace(range.begin + checkpoint::kSelfXxh3At, 32, std::string(32, '0'));
  if (sha256) blanked.replace(range.begin + checkpoint::kSelfSha256At, 64, std::string(64, '0'));
  std::vector<Range> data;
  for (const zip::Entry& entry : opened->entries()) {
    const zip::Extent extent = opened->data_extent(entry).value();
    const bool is_manifest = entry.name.ends_with(checkpoint::kManifestName);
    if (!is_manifest) data.push_back({static_cast<std::size_t>(extent.begin), static_cast<std::size_t>(extent.end)});
    if (!is_manifest && !entry.name.ends_with(checkpoint::kSignatureName)) continue;
    put32(blanked, extent.end + 4, 0);
    put32(blanked, entry.directory_offset + 16, 0);
  }
  std::size_t at = 0;
  for (const Range& skipped : data) {
    structure += blanked.substr(at, skipped.begin - at);
    at = skipped.end;
  }
  structure += blanked.substr(at);
  Manifest digests;
  digests.self_xxh3 = checksum::xxh3_128(as_byte_span(structure));
  if (sha256) digests.self_sha256 = checksum::sha256(as_byte_span(structure)).value();
  checkpoint::put_self_digests(digests, archive.data() + range.begin);
  fix_crc(archive, checkpoint::kManifestName);
}

void replace_once(std::string& text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
}

}  // namespace rushlight::test
