// Opens, lists, reads and audits whatever bytes it is given, from a mapping and by reading, and traps where the two
// differ, where an offset lies beyond the file, or where a verdict contradicts another.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/quote.hpp"
#include "support/test_source.hpp"
#include "zip/archive.hpp"

namespace {

using rushlight::ByteSpan;
using rushlight::Error;
using rushlight::Finding;
using rushlight::Result;
using rushlight::test::TestSource;
namespace zip = rushlight::zip;

void require(bool condition) {
  if (!condition) std::abort();
}

// A finding as one line, after a look at what every finding must be.
std::string checked_line(const Finding& finding, std::uint64_t size_bytes) {
  require(!finding.code.empty() && !finding.message.empty());
  require(finding.offset.has_value() && *finding.offset <= size_bytes);
  for (const std::string* text : {&finding.message, &finding.found, &finding.expected, &finding.hint}) {
    require(rushlight::is_valid_utf8(*text));
    require(text->size() < 4096);
  }
  return std::string(to_string(finding.severity)) + " " + finding.code + " " + to_string(finding) + "\n";
}

std::string refusal(const Error& error, std::uint64_t size_bytes) {
  require(error.code != rushlight::ErrorCode::io);
  return checked_line(error.finding, size_bytes);
}

// Everything that can be asked of the archive, as text.
std::string ask(const std::vector<std::byte>& bytes, TestSource::Access access) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 20;
  std::string said;
  zip::OpenOptions options;
  options.limits.inflated_bytes = kMostBytes;
  std::vector<Finding> oddities;
  auto opened = zip::Archive::open(std::make_shared<TestSource>(bytes, access), options, oddities);
  if (!opened) return refusal(opened.error(), bytes.size());
  const zip::Archive& archive = **opened;
  for (const Finding& oddity : oddities) said += checked_line(oddity, bytes.size());

  std::vector<zip::Extent> extents;
  for (const zip::Entry& entry : archive.entries()) {
    require(archive.find(entry.name) == &entry);
    require(archive.find_ignoring_case(entry.name) == &entry);
    require(entry.header_offset < bytes.size() && entry.directory_offset < bytes.size());
    const Result<zip::Extent> extent = archive.data_extent(entry);
    if (!extent) {
      said += refusal(extent.error(), bytes.size());
      require(!archive.read(entry, kMostBytes));
      continue;
    }
    require(entry.header_offset < extent->begin && extent->begin <= extent->end && extent->end <= bytes.size());
    extents.push_back({entry.header_offset, extent->end});
    const Result<zip::RecordBytes> record = archive.read(entry, kMostBytes);
    if (!record) {
      said += refusal(record.error(), bytes.size());
      continue;
    }
    require(record->span().size() == entry.size_bytes);
    const zip::CrcCheck check = zip::Archive::check_crc(entry, record->span(), nullptr);
    said += std::to_string(check.computed) + "\n";
  }
  std::sort(extents.begin(), extents.end(),
            [](const zip::Extent& a, const zip::Extent& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < extents.size(); ++i) require(extents[i - 1].end <= extents[i].begin);

  const Result<zip::Audit> audit = archive.audit(nullptr, nullptr);
  require(audit.has_value());
  require(audit->records.size() == archive.entries().size() && audit->explained_bytes <= bytes.size());
  bool errors = false;
  for (const Finding& finding : audit->findings) {
    said += checked_line(finding, bytes.size());
    errors = errors || finding.severity == rushlight::Severity::error;
  }
  for (const zip::RecordAudit& record : audit->records) {
    // What the audit found no extent for, or no CRC, it has said something about.
    require((record.data && record.crc) || errors);
    if (record.data) require(archive.data_extent(*record.entry).has_value());
  }
  // A file without a word said about it is explained whole.
  require(!oddities.empty() || !audit->findings.empty() || audit->explained_bytes == bytes.size());
  return said + std::to_string(audit->explained_bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  const std::vector<std::byte> bytes(begin, begin + size);
  require(ask(bytes, TestSource::Access::mapped) == ask(bytes, TestSource::Access::read_only));
  return 0;
}
