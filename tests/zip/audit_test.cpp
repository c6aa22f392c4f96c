// Archive::audit(): every byte is explained or a finding, CRCs are computed by all threads, progress and cancelling.
#include <gtest/gtest.h>

#include "base/fail.hpp"
#include "support/test_source.hpp"
#include "support/zip_builder.hpp"
#include "zip/verdict.hpp"

namespace rushlight::test {
namespace {

TEST(ZipAudit, Z36_ARecordThatTheDirectoryDoesNotListIsNamed) {
  TorchZip zip = base_zip();
  zip.add("data/2", "hidden").add("last", "x");
  zip.record("data/2").in_directory = false;
  const Verdict verdict = judge(zip.build());
  const RecordPlace& hidden = zip.place("data/2");
  const std::uint64_t bytes = hidden.descriptor_end - hidden.local;
  EXPECT_EQ(verdict.text(), "ambig ZIP-HIDDEN-RECORD at " + hex(hidden.local) +
                                ": local header of a record that the central directory does not list, in " +
                                std::to_string(bytes) + " unexplained bytes at [" + hex(hidden.local) + ", " +
                                hex(hidden.descriptor_end) + ")\n");
  EXPECT_EQ(verdict.explained_bytes, verdict.size_bytes - bytes);
}

TEST(ZipAudit, Z36_AHiddenRecordAtTheStartIsRefusedWhenOpening) {
  TorchZip zip("base");
  zip.add("hidden", "hidden").add("data.pkl", "x");
  zip.record("hidden").in_directory = false;
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(),
            "ambig ZIP-HIDDEN-RECORD at 0x0: file begins with a local header that the central directory does not "
            "list\n");
}

TEST(ZipAudit, BytesBetweenRecordsAreFindingsWithTheirRange) {
  TorchZip zip = base_zip();
  zip.record("data/1").gap_before = repeated(7, 0);
  zip.record("version").gap_before = repeated(1, 0xFF);
  zip.before_directory = repeated(3 << 20, 1);
  const Verdict verdict = judge(zip.build());
  const auto gap = [](std::uint64_t begin, std::uint64_t end, const std::string& count) {
    return "zip ZIP-GAP at " + hex(begin) + ": " + count + " at [" + hex(begin) + ", " + hex(end) + ")\n";
  };
  EXPECT_EQ(verdict.text(),
            gap(zip.place("data/1").local - 7, zip.place("data/1").local, "7 unexplained bytes") +
                gap(zip.place("version").local - 1, zip.place("version").local, "1 unexplained byte") +
                gap(zip.place("version").descriptor_end, zip.places().directory, "3145728 unexplained bytes"));
  EXPECT_EQ(verdict.explained_bytes, verdict.size_bytes - 7 - 1 - (3 << 20));
}

TEST(ZipAudit, AHiddenHeaderIsFoundWhereverItLiesInAGap) {
  // Also across the pieces in which a file without mapping is searched.
  for (const std::size_t at : {std::size_t{0}, std::size_t{5}, (std::size_t{1} << 20) - 2, std::size_t{1} << 20}) {
    TorchZip zip = base_zip();
    zip.record("version").gap_before = repeated((1 << 20) + 100, 1);
    put<std::uint32_t>(zip.record("version").gap_before, at, zip::LocalHeader::kSignature);
    const std::string said = judge(zip.build()).text();
    const std::uint64_t begin = zip.place("version").local - (1 << 20) - 100;
    EXPECT_EQ(said, "ambig ZIP-HIDDEN-RECORD at " + hex(begin + at) +
                        ": local header of a record that the central directory does not list, in 1048676 unexplained "
                        "bytes at [" +
                        hex(begin) + ", " + hex(zip.place("version").local) + ")\n");
  }
}

TEST(ZipAudit, Z42_EachDamagedRecordIsNamedAndTheOthersAreHeldWhole) {
  TorchZip zip = base_zip();
  Bytes bytes = zip.build();
  bytes[zip.place("data/0").data + 5] ^= std::byte{0x10};
  const Bytes damaged(bytes.begin() + static_cast<std::ptrdiff_t>(zip.place("data/0").data),
                      bytes.begin() + static_cast<std::ptrdiff_t>(zip.place("data/0").data_end));
  const Verdict verdict = judge(bytes);
  EXPECT_EQ(verdict.text(), "crc CRC-MISMATCH base/data/0 at " + hex(zip.place("data/0").data) +
                                ": crc-32 mismatch, stored " + hex8(plain_crc32(zip.record("data/0").data)) +
                                ", computed " + hex8(plain_crc32(damaged)) + "\n");
  EXPECT_TRUE(verdict.fully_explained());
  auto audit = verdict.archive->audit(nullptr, nullptr);
  ASSERT_TRUE(audit);
  ASSERT_EQ(audit->records.size(), 5);
  for (const zip::RecordAudit& record : audit->records) {
    ASSERT_TRUE(record.crc);
    const bool is_damaged = record.entry->name == "base/data/0";
    EXPECT_EQ(record.crc->state, is_damaged ? zip::CrcState::mismatch : zip::CrcState::verified);
    EXPECT_EQ(record.data->begin, zip.place(record.entry->name).data);
  }
  // Forged: the CRC changed to match in all of its places. No zip reader can tell; a manifest can.
  const std::uint32_t forged = plain_crc32(damaged);
  put<std::uint32_t>(bytes, zip.place("data/0").data_end + 4, forged);
  put<std::uint32_t>(bytes, zip.place("data/0").central + 16, forged);
  EXPECT_EQ(judge(bytes).text(), "");
}

TEST(ZipAudit, Z42_AStoredCrcOffByOneBitIsAmbiguousUnlessBothCopiesAgree) {
  TorchZip zip = base_zip();
  Bytes bytes = zip.build();
  const std::uint32_t crc = plain_crc32(zip.record("data/0").data);
  put<std::uint32_t>(bytes, zip.place("data/0").central + 16, crc ^ 1);
  EXPECT_EQ(judge(bytes).text(), "ambig ZIP-DESCRIPTOR base/data/0 at " + hex(zip.place("data/0").data_end + 4) +
                                     ": data descriptor has another crc-32 than the central directory, expected " +
                                     hex8(crc ^ 1) + ", found " + hex8(crc) + "\n");
  put<std::uint32_t>(bytes, zip.place("data/0").data_end + 4, crc ^ 1);
  EXPECT_EQ(judge(bytes).text(), "crc CRC-MISMATCH base/data/0 at " + hex(zip.place("data/0").data) +
                                     ": crc-32 mismatch, stored " + hex8(crc ^ 1) + ", computed " + hex8(crc) + "\n");
}

TEST(ZipAudit, A07_RecordsWithoutCrcAmongOthersAreOddTogether) {
  // As torch writes under skip_data(): storages have none, the other records do.
  TorchZip zip = base_zip();
  for (const char* name : {"data/0", "data/1"}) {
    zip.record(name).central = [](zip::CentralEntry& entry) { entry.crc = 0; };
    zip.record(name).descriptor = [](zip::Descriptor64& descriptor) { descriptor.crc = 0; };
  }
  Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(),
            "warning crc CRC-NOT-COMPUTED base/data/0 at " + hex(zip.place("data/0").data) +
                ": 2 records of 5 without a crc-32, the field holds 0: nothing says whether their bytes are right\n");
  auto audit = verdict.archive->audit(nullptr, nullptr);
  ASSERT_TRUE(audit);
  EXPECT_EQ(audit->records[2].crc->state, zip::CrcState::not_computed);
  EXPECT_EQ(audit->records[4].crc->state, zip::CrcState::verified);
  EXPECT_EQ(audit->checked_bytes, audit->records[0].entry->size_bytes + 6 + 32 + 32 + 2);
}

TEST(ZipAudit, UnusedFieldsThatDifferAreOdd) {
  TorchZip zip = base_zip();
  RecordPlan& record = zip.record("data/0");
  record.local = [](zip::LocalHeader& header) {
    header.version_needed = 10;
    header.time = 0x6000;
    header.date = 0x5921;
  };
  std::string said = judge(zip.build()).text();
  EXPECT_EQ(said, "warning zip ZIP-LOCAL-VERSION base/data/0 at " + hex(zip.place("data/0").local + 4) +
                      ": local header and central directory differ on the version needed, 10 and 0\n" +
                      "warning zip ZIP-LOCAL-TIME base/data/0 at " + hex(zip.place("data/0").local + 10) +
                      ": local header and central directory differ on the time, 0x5921 0x6000 and 0x0 0x0\n");
  // The same in both places says nothing.
  record.central = [](zip::CentralEntry& entry) {
    entry.version_needed = 10;
    entry.time = 0x6000;
    entry.date = 0x5921;
  };
  EXPECT_EQ(judge(zip.build()).text(), "");
}

TEST(ZipAudit, ALocalHeaderThatStatesOnlySomeOfItsSizesIsOdd) {
  struct Case {
    std::function<void(zip::LocalHeader&)> change;
    bool odd;
  };
  TorchZip zip = base_zip();
  const std::uint32_t crc = plain_crc32(zip.record("data/0").data);
  const std::vector<Case> cases = {
      {[](zip::LocalHeader& header) { header.compressed_bytes = 32; }, true},
      {[](zip::LocalHeader& header) { header.size_bytes = 32; }, true},
      {[=](zip::LocalHeader& header) { header.crc = crc; }, true},
      {[=](zip::LocalHeader& header) { header.compressed_bytes = header.size_bytes = 32; }, true},
      {[=](zip::LocalHeader& header) { header.crc = crc, header.compressed_bytes = header.size_bytes = 32; }, false},
  };
  for (const Case& one : cases) {
    zip.record("data/0").local = one.change;
    const std::string said = judge(zip.build()).text();
    EXPECT_EQ(said, one.odd ? "warning zip ZIP-LOCAL-PARTIAL base/data/0 at " + hex(zip.place("data/0").local + 14) +
                                  ": local header states some of crc-32 and sizes and leaves the others to the data "
                                  "descriptor\n"
                            : "");
  }
}

TEST(ZipAudit, WhatTorchWouldNotHaveWrittenIsNoted) {
  TorchZip zip = base_zip();
  RecordPlan& record = zip.record("data/0");
  record.central = [](zip::CentralEntry& entry) {
    entry.made_by = 0x0100;
    entry.internal_attributes = 1;
    entry.external_attributes = 0x20;
  };
  zip.end64 = [](zip::End64Record& end) {
    end.made_by = 45;
    end.version_needed = 46;
  };
  const auto note = [](std::uint64_t offset, const std::string& what) {
    return "note zip ZIP-WRITER base/data/0 at " + hex(offset) + ": central entry's " + what + ", torch writes 0\n";
  };
  const auto end_note = [&](std::uint64_t field, const std::string& what) {
    return "note zip ZIP-WRITER at " + hex(zip.places().end64 + field) + ": zip64 end record's " + what + "\n";
  };
  const std::string said = judge(zip.build()).text();
  const std::uint64_t central = zip.place("data/0").central;
  EXPECT_EQ(said, note(central + 4, "made-by field is 0x100") + note(central + 36, "internal attributes field is 0x1") +
                      note(central + 38, "external attributes field is 0x20") +
                      end_note(12, "made-by field is 0x2d, torch writes 0x31e") +
                      end_note(14, "version needed is 0x2e, torch writes 0x2d"));
  // Other writers may write what they like.
  zip.alignment = 0;
  EXPECT_EQ(judge(zip.build()).text(), "");
}

TEST(ZipAudit, PaddingAndUnknownExtraFieldsAreNoted) {
  TorchZip zip = base_zip();
  Bytes bytes = zip.build();
  const std::uint64_t extra = zip.place("data/0").local_extra;
  put<std::uint8_t>(bytes, extra + 4 + 9, 'z');
  EXPECT_EQ(judge(bytes).text(), "note zip ZIP-PADDING base/data/0 at " + hex(extra + 4 + 9) +
                                     ": padding holds 0x7a at its byte 9, torch fills it with 'Z'\n");
  bytes = zip.build();
  const auto pad = get<std::uint16_t>(bytes, extra + 2);
  put<std::uint16_t>(bytes, extra, 0x4247);
  const Verdict verdict = judge(bytes);
  EXPECT_EQ(verdict.text(), "note zip ZIP-EXTRA-UNKNOWN base/data/0 at " + hex(extra) +
                                ": unknown extra field 0x4247 of " + std::to_string(pad) + " bytes\n");
  EXPECT_TRUE(verdict.fully_explained());
}

TEST(ZipAudit, FindingsComeInFileOrderWhateverFindsThem) {
  TorchZip zip = base_zip();
  zip.record("byteorder").gap_before = repeated(3, 1);
  zip.record("version").local_name = "base/other!!";
  Bytes bytes = zip.build();
  bytes[zip.place("data.pkl").data] ^= std::byte{1};
  bytes[zip.place("data/1").data] ^= std::byte{1};
  auto audit = judge(bytes).archive->audit(nullptr, nullptr);
  ASSERT_TRUE(audit);
  std::vector<std::string> codes;
  std::uint64_t offset = 0;
  for (const Finding& finding : audit->findings) {
    codes.push_back(finding.code);
    EXPECT_GE(finding.offset.value(), offset);
    offset = *finding.offset;
  }
  EXPECT_EQ(codes, (std::vector<std::string>{"CRC-MISMATCH", "ZIP-GAP", "CRC-MISMATCH", "ZIP-LOCAL-NAME"}));
  // A record whose header is not to be trusted has no extent and no CRC.
  EXPECT_FALSE(audit->records[4].data);
  EXPECT_FALSE(audit->records[4].crc);
}

class RecordedProgress final : public Progress {
 public:
  explicit RecordedProgress(std::uint64_t cancel_at = ~0ull) : cancel_at_(cancel_at) {}
  bool on_progress(std::string_view phase, std::uint64_t done, std::uint64_t total) override {
    EXPECT_EQ(phase, "verify");
    EXPECT_LE(done, total);
    EXPECT_GE(done, reports.empty() ? 0 : reports.back());
    reports.push_back(done);
    total_bytes = total;
    return done < cancel_at_;
  }
  std::vector<std::uint64_t> reports;
  std::uint64_t total_bytes = 0;

 private:
  std::uint64_t cancel_at_;
};

TorchZip large_zip() {
  TorchZip zip("base");
  zip.add("data.pkl", "small");
  Bytes data(std::size_t{11} << 20);
  std::uint32_t state = 1;
  for (std::byte& byte : data) {
    state = state * 1664525 + 1013904223;
    byte = std::byte(state >> 24);
  }
  zip.add("data/0", data).add("data/1", repeated(20 << 20, 7)).add("data/2", repeated(3, 1));
  for (int i = 3; i < 300; ++i) zip.add("data/" + std::to_string(i), repeated(30000, static_cast<std::uint8_t>(i)));
  zip.add("text", repeated(9 << 20, 't'));
  zip.record("text").deflate = true;
  return zip;
}

TEST(ZipAudit, LargeRecordsAreSharedOutAndTheirCrcsJoined) {
  TorchZip zip = large_zip();
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(), "");
  EXPECT_TRUE(verdict.fully_explained());
  std::uint64_t bytes = 0;
  for (const RecordPlan& record : zip.records()) bytes += record.data.size();
  EXPECT_EQ(verdict.checked_bytes, bytes);
}

TEST(ZipAudit, ADamagedByteInAnyPieceIsFound) {
  TorchZip zip = large_zip();
  const Bytes good = zip.build();
  for (const std::uint64_t at :
       {std::uint64_t{0}, (std::uint64_t{4} << 20) - 1, std::uint64_t{4} << 20, (std::uint64_t{11} << 20) - 1}) {
    Bytes bytes = good;
    bytes[zip.place("data/0").data + at] ^= std::byte{1};
    const Verdict verdict = judge(bytes);
    EXPECT_EQ(verdict.text().substr(0, 32), "crc CRC-MISMATCH base/data/0 at ") << at;
  }
}

TEST(ZipAudit, ProgressEndsWithTheTotal) {
  TorchZip zip = large_zip();
  const Bytes bytes = zip.build();
  const auto threads = make_thread_pool(2);
  for (Executor* executor : {static_cast<Executor*>(nullptr), threads.get()}) {
    for (const auto access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
      std::vector<Finding> oddities;
      auto archive = zip::Archive::open(std::make_shared<TestSource>(bytes, access), {}, oddities);
      ASSERT_TRUE(archive);
      RecordedProgress progress;
      ASSERT_TRUE((*archive)->audit(executor, &progress));
      ASSERT_GE(progress.reports.size(), 2);
      EXPECT_EQ(progress.reports.back(), progress.total_bytes);
      EXPECT_LE(progress.reports.size(), progress.total_bytes / (4 << 20) + 2);
    }
  }
}

TEST(ZipAudit, CancellingEndsTheAuditSoon) {
  const Bytes bytes = large_zip().build();
  for (const auto access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
    std::vector<Finding> oddities;
    auto archive = zip::Archive::open(std::make_shared<TestSource>(bytes, access), {}, oddities);
    ASSERT_TRUE(archive);
    RecordedProgress progress(1);
    auto audit = (*archive)->audit(nullptr, &progress);
    ASSERT_FALSE(audit);
    EXPECT_EQ(audit.error().code, ErrorCode::cancelled);
    EXPECT_EQ(progress.reports.size(), 1);
    EXPECT_LE(progress.reports[0], 17 << 20);
  }
}

TEST(ZipAudit, AFailedReadOnAnyThreadEndsTheAudit) {
  TorchZip zip = large_zip();
  const auto source = std::make_shared<TestSource>(zip.build(), TestSource::Access::read_only);
  std::vector<Finding> oddities;
  auto archive = zip::Archive::open(source, {}, oddities);
  ASSERT_TRUE(archive);
  source->fail_within(zip.place("data/1").data + 100, zip.place("data/1").data + 101);
  const auto threads = make_thread_pool(3);
  auto audit = (*archive)->audit(threads.get(), nullptr);
  ASSERT_FALSE(audit);
  EXPECT_EQ(audit.error().code, ErrorCode::io);
}

}  // namespace
}  // namespace rushlight::test
