// The writer: torch's own archives written again from their records, refusals, and archives too large for 32 bits.
#include "zip/writer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include "base/fail.hpp"
#include "support/temporary_folder.hpp"
#include "support/zip_builder.hpp"
#include "zip/verdict.hpp"

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

class MemorySink final : public Sink {
 public:
  Status write(ByteSpan more) override {
    append(bytes, more);
    return {};
  }
  Bytes bytes;
};

// --- torch's archives, again --------------------------------------------------------------------------------------

// An archive written again from its records, in the order of the file.
std::string rewritten(const zip::Archive& archive, Bytes& out) {
  std::vector<const zip::Entry*> entries;
  for (const zip::Entry& entry : archive.entries()) entries.push_back(&entry);
  std::sort(entries.begin(), entries.end(), [](const zip::Entry* a, const zip::Entry* b) {
    return a->header_offset < b->header_offset;
  });
  zip::WriterOptions options;
  options.crc = std::any_of(entries.begin(), entries.end(), [](const zip::Entry* entry) { return entry->crc != 0; });
  for (const zip::Entry* entry : entries) {
    if (!entry->name.ends_with("/.storage_alignment")) continue;
    const auto text = archive.read(*entry, 20);
    if (!text) return line(text.error());
    options.alignment = std::stoull(std::string(as_text(text->span())));
  }
  MemorySink sink;
  zip::Writer writer(sink, options);
  std::vector<zip::RecordSpec> specs;
  std::vector<zip::RecordPlace> places;
  for (const zip::Entry* entry : entries) {
    const auto extent = archive.data_extent(*entry);
    if (!extent) return line(extent.error());
    const ByteSpan stored = archive.source()->mapping().subspan(extent->begin, extent->size_bytes());
    const auto written = entry->method == zip::Method::deflated
                             ? writer.add_deflated(entry->name, stored, entry->size_bytes, entry->crc)
                             : writer.add(entry->name, stored);
    if (!written) return line(written.error());
    specs.push_back({.name = entry->name,
                     .size_bytes = entry->size_bytes,
                     .method = entry->method,
                     .deflated_bytes = entry->method == zip::Method::deflated ? entry->compressed_bytes : 0});
    places.push_back(written->place);
    EXPECT_EQ(written->stored_bytes, stored.size()) << entry->name;
    EXPECT_EQ(written->place.descriptor_offset - written->place.data_offset, stored.size()) << entry->name;
  }
  const auto size = writer.finish();
  if (!size) return line(size.error());
  // What was foreseen is what came.
  const auto plan = zip::plan_archive(specs, options);
  if (!plan) return line(plan.error());
  EXPECT_EQ(plan->records, places);
  EXPECT_EQ(plan->size_bytes, *size);
  EXPECT_EQ(*size, sink.bytes.size());
  EXPECT_EQ(get<std::uint64_t>(sink.bytes, sink.bytes.size() - 98 + 48), plan->directory_offset);
  EXPECT_EQ(get<std::uint64_t>(sink.bytes, sink.bytes.size() - 98 + 40), plan->directory_bytes);
  out = std::move(sink.bytes);
  return "";
}

TEST(ZipWriter, TorchsArchivesAreWrittenAgainByteForByteFromTheirRecords) {
  // All that is not plain output of torch.save, torch.jit.save, torch.package or torch.export, and why.
  std::map<std::string, std::string> expected = {};
  std::map<std::string, std::string> different;
  std::size_t equal = 0;
  const fs::path root = RUSHLIGHT_GOLDEN_DIR;
  for (const fs::directory_entry& file : fs::recursive_directory_iterator(root)) {
    if (!file.is_regular_file() || file.path().extension() == ".npz") continue;
    const Bytes bytes = to_bytes(read_file(file.path()));
    if (!zip::has_signature(bytes, zip::LocalHeader::kSignature)) continue;
    const std::string path = fs::relative(file.path(), root).generic_string();
    std::vector<Finding> oddities;
    const auto archive = zip::Archive::open(Source::from_memory(bytes), {}, oddities);
    Bytes again;
    const std::string reason = archive ? rewritten(**archive, again) : line(archive.error());
    if (again == bytes) {
      equal += 1;
    } else {
      different[path] = reason;
    }
  }
  EXPECT_EQ(different, expected);
  EXPECT_GT(equal, 500);
}

}  // namespace
}  // namespace rushlight::test
