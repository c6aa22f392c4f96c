// A01 to A05 and Z19 to Z36 of hostile-inputs 2: local headers and data descriptors against the central directory.
// Each case is asked for twice: by touching the record, which refuses it, and by the audit, which lists it.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/fail.hpp"
#include "support/zip_builder.hpp"
#include "zip/verdict.hpp"

namespace rushlight::test {
namespace {

constexpr const char* kRecord = "base/data/0";

// The archive opens, the audit says `said` and nothing else, and the first touch of data/0 fails with the same words.
void expect_refused_on_touch(const Bytes& bytes, const std::string& said) {
  const Verdict verdict = judge(bytes);
  ASSERT_TRUE(verdict.opened()) << verdict.error;
  EXPECT_EQ(verdict.text(), said + "\n");
  EXPECT_LT(verdict.explained_bytes, verdict.size_bytes);
  EXPECT_EQ(use(bytes, kRecord), said);
  EXPECT_EQ(use(bytes, "base/data/1"), "ok");
}

TEST(ZipLocal, A01_A02_A05_ATorchRecordIsExplainedToTheByte) {
  TorchZip zip = base_zip();
  zip.add("data/2", "");  // empty: no descriptor
  const Bytes bytes = zip.build();
  EXPECT_EQ(get<std::uint16_t>(bytes, zip.place("data/0").local + 6), 0x0808);
  EXPECT_EQ(get<std::uint16_t>(bytes, zip.place("data/2").local + 6), 0x0800);
  for (const std::uint64_t alignment : {0u, 1u, 16u, 64u, 256u, 4096u}) {
    zip.alignment = alignment;
    const Verdict verdict = judge(zip.build());
    EXPECT_EQ(verdict.text(), "");
    EXPECT_TRUE(verdict.fully_explained());
    for (const RecordPlan& plan : zip.records()) {
      const auto extent = verdict.archive->data_extent(*verdict.archive->find(plan.name));
      ASSERT_TRUE(extent);
      EXPECT_EQ(extent->begin, zip.place(plan.name).data);
      EXPECT_EQ(extent->end, zip.place(plan.name).data_end);
      EXPECT_EQ(extent->begin % std::max<std::uint64_t>(alignment, 1), 0);
      EXPECT_EQ(content(verdict, plan.name), as_text(plan.data));
    }
  }
}

TEST(ZipLocal, A03_TheZip64FieldMayLeaveOutTheCompressedSizeAndNameTheOffset) {
  // torch's forms for records of 4 GiB and behind 4 GiB, on a small record: large_test.cpp has the real ones.
  struct Case {
    std::vector<std::uint64_t> values;
    bool offset;  // append the header's offset
  };
  for (const Case& one :
       {Case{{32, 0}, false}, Case{{32, 0}, true}, Case{{}, true}, Case{{32, 32}, false}, Case{{0, 0}, false}}) {
    TorchZip zip = base_zip();
    (void)zip.build();
    std::vector<std::uint64_t> values = one.values;
    if (one.offset) values.push_back(zip.place("data/0").local);
    RecordPlan& record = zip.record("data/0");
    record.local_extra = extra_field(zip::kExtraZip64, bytes_of(values));
    record.descriptor_form = DescriptorForm::signed_64;
    const Verdict verdict = judge(zip.build());
    EXPECT_EQ(verdict.text(), "");
    EXPECT_TRUE(verdict.fully_explained());
    EXPECT_EQ(use(zip.build(), kRecord), "ok");
  }
}

TEST(ZipLocal, A08_TheZip64FieldsOfZipToolsAreAccepted) {
  struct Case {
    std::vector<std::uint64_t> values;
    bool wide_size;
    bool wide_compressed;
    bool streamed;
  };
  for (const Case& one :
       {Case{{32, 32}, true, true, false}, Case{{32}, true, false, false}, Case{{32}, false, true, false},
        Case{{32, 32}, true, false, false}, Case{{0, 0}, true, true, true}}) {
    TorchZip zip = base_zip();
    RecordPlan& record = zip.record("data/0");
    record.descriptor_form = one.streamed ? DescriptorForm::signed_64 : DescriptorForm::none;
    record.local_extra = extra_field(zip::kExtraZip64, bytes_of(one.values));
    record.local = [&](zip::LocalHeader& header) {
      if (one.wide_size) header.size_bytes = 0xFFFFFFFF;
      if (one.wide_compressed) header.compressed_bytes = 0xFFFFFFFF;
    };
    EXPECT_EQ(judge(zip.build()).text(), "");
    EXPECT_EQ(use(zip.build(), kRecord), "ok");
  }
}

TEST(ZipLocal, A08_HeadersWithSizesAndWithoutDescriptorsAreAccepted) {
  TorchZip zip = base_zip();
  zip.descriptors = false;
  zip.alignment = 0;
  for (RecordPlan& record : zip.records()) {
    // What Info-ZIP writes: times in both headers, more of them in the local one.
    record.local_extra = extra_field(0x5455, to_bytes("\x03mmmmaaaa"));
    record.central_extra = extra_field(0x5455, to_bytes("\x03mmmm"));
  }
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(), "");
  EXPECT_TRUE(verdict.fully_explained());
  EXPECT_EQ(content(verdict, "base/version"), "3\n");
}

TEST(ZipLocal, Z16_LocalZip64FieldsAreJudgedToo) {
  struct Case {
    Bytes extra;
    bool wide_size;
    std::string said;
  };
  TorchZip zip = base_zip();
  (void)zip.build();
  const std::uint64_t local = zip.place("data/0").local;
  const std::uint64_t block = local + 30 + 11;
  const auto field = [](const std::vector<std::uint64_t>& values) {
    return extra_field(zip::kExtraZip64, bytes_of(values));
  };
  const auto twice = [&](const Bytes& one) {
    Bytes two = one;
    two.insert(two.end(), one.begin(), one.end());
    return two;
  };
  const std::vector<Case> cases = {
      {{},
       true,
       "zip ZIP-ZIP64 base/data/0 at " + hex(block) +
           ": no zip64 extra field, though a size of the local header refers to one"},
      {twice(field({32, 32})), true,
       "zip ZIP-ZIP64 base/data/0 at " + hex(block + 20) + ": second zip64 extra field in one local header"},
      {extra_field(zip::kExtraZip64, repeated(7, 0)), true,
       "zip ZIP-ZIP64 base/data/0 at " + hex(block + 2) +
           ": zip64 extra field (id 0x1) of a local header has a wrong length, expected 16, found 7"},
      {extra_field(zip::kExtraZip64, {}), false,
       "zip ZIP-ZIP64 base/data/0 at " + hex(block + 2) +
           ": zip64 extra field (id 0x1) of a local header has a wrong length, expected 8, 16 or 24, found 0"},
      {field({33, 0}), false,
       "ambig ZIP-LOCAL-SIZE base/data/0 at " + hex(block + 4) +
           ": zip64 extra field of the local header has another size than the central directory, expected 32, found "
           "33"},
      {field({32, 31}), true,
       "ambig ZIP-LOCAL-SIZE base/data/0 at " + hex(block + 12) +
           ": zip64 extra field of the local header has another compressed size than the central directory, expected "
           "32, found 31"},
      {field({32, 0, local + 1}), false,
       "ambig ZIP-LOCAL-OFFSET base/data/0 at " + hex(block + 20) +
           ": zip64 extra field of the local header has another offset than the central directory, expected " +
           hex(local) + ", found " + hex(local + 1)},
      {field({local + 1}), false,
       "ambig ZIP-LOCAL-OFFSET base/data/0 at " + hex(block + 4) +
           ": zip64 extra field of the local header has another offset than the central directory, expected " +
           hex(local) + ", found " + hex(local + 1)},
      {field({33}), true,
       "ambig ZIP-LOCAL-SIZE base/data/0 at " + hex(block + 4) +
           ": zip64 extra field of the local header has another size than the central directory, expected 32, found "
           "33"},
  };
  for (const Case& one : cases) {
    zip = base_zip();
    RecordPlan& record = zip.record("data/0");
    record.local_extra = one.extra;
    record.descriptor_form = DescriptorForm::signed_64;
    record.local = [&](zip::LocalHeader& header) {
      if (one.wide_size) header.size_bytes = 0xFFFFFFFF;
    };
    expect_refused_on_touch(zip.build(), one.said);
  }
}

TEST(ZipLocal, Z19_LocalNameDiffersFromCentralIsAmbiguous) {
  TorchZip zip = base_zip();
  zip.record("data/0").local_name = "base/data/Q";
  Bytes bytes = zip.build();
  expect_refused_on_touch(bytes, "ambig ZIP-LOCAL-NAME base/data/0 at " + hex(zip.place("data/0").local + 30) +
                                     ": local header names another record than the central directory, expected "
                                     "'base/data/0', found 'base/data/Q'");
  for (const char* other : {"base/data/00", "base/data/", ""}) {
    zip.record("data/0").local_name = other;
    bytes = zip.build();
    expect_refused_on_touch(bytes, "ambig ZIP-LOCAL-NAME base/data/0 at " + hex(zip.place("data/0").local + 26) +
                                       ": local header names another record than the central directory, expected "
                                       "'base/data/0', found '" +
                                       other + "'");
  }
}

TEST(ZipLocal, Z20_AnExtraLengthThatMovesTheDataIsAmbiguous) {
  TorchZip zip = base_zip();
  const Bytes good = zip.build();
  const RecordPlace place = zip.place("data/0");
  const std::uint64_t block = place.local + 30 + 11;
  // +4: the first value of the data, a zero, passes for an extra field without content. What follows the data then
  // looks like a descriptor without its signature.
  for (const DescriptorForm form : {DescriptorForm::signed_32, DescriptorForm::signed_64}) {
    TorchZip other = base_zip();
    other.record("data/0").descriptor_form = form;
    if (form == DescriptorForm::signed_64) {
      other.record("data/0").local_extra = extra_field(zip::kExtraZip64, bytes_of(std::vector<std::uint64_t>{32, 0}));
    }
    Bytes bytes = other.build();
    const std::uint64_t length = other.place("data/0").local + 28;
    put<std::uint16_t>(bytes, length, static_cast<std::uint16_t>(get<std::uint16_t>(bytes, length) + 4));
    expect_refused_on_touch(bytes, "ambig ZIP-DESCRIPTOR base/data/0 at " + hex(other.place("data/0").data_end + 4) +
                                       ": data start not explained: no data descriptor behind the data, which would "
                                       "end at " +
                                       hex(other.place("data/0").data_end + 4));
  }
  // -8: the padding field does not fit any more.
  Bytes bytes = good;
  const auto extra_bytes = get<std::uint16_t>(good, place.local + 28);
  put<std::uint16_t>(bytes, place.local + 28, static_cast<std::uint16_t>(extra_bytes - 8));
  expect_refused_on_touch(bytes, "ambig ZIP-DATA-START base/data/0 at " + hex(block) +
                                     ": data start not explained: an extra field of the local header does not fit its "
                                     "block, " +
                                     std::to_string(extra_bytes - 8) + " bytes of " + std::to_string(extra_bytes - 8) +
                                     " are left");
  // -8 with the padding field made to fit: the data would begin 8 bytes early, and their descriptor is not there.
  put<std::uint16_t>(bytes, block + 2, static_cast<std::uint16_t>(extra_bytes - 8 - 4));
  expect_refused_on_touch(bytes, "ambig ZIP-DESCRIPTOR base/data/0 at " + hex(place.data_end - 8) +
                                     ": data start not explained: no data descriptor behind the data, which would end "
                                     "at " +
                                     hex(place.data_end - 8));
  // Beyond the record.
  bytes = good;
  put<std::uint16_t>(bytes, place.local + 28, 0xFFFF);
  const std::uint64_t next = zip.place("data/1").local;
  expect_refused_on_touch(bytes, "ambig ZIP-DATA-START base/data/0 at " + hex(place.local + 28) +
                                     ": data start not explained: the local header's extra field of 65535 bytes "
                                     "reaches beyond the record, which ends at " +
                                     hex(next));
  // So far that the data do not fit any more.
  bytes = good;
  put<std::uint16_t>(bytes, place.local + 28, static_cast<std::uint16_t>(extra_bytes + 20));
  put<std::uint16_t>(bytes, block + 2, static_cast<std::uint16_t>(extra_bytes + 20 - 4));
  expect_refused_on_touch(bytes, "ambig ZIP-DATA-START base/data/0 at " + hex(place.local + 28) +
                                     ": data start not explained: 32 bytes from " + hex(place.data + 20) +
                                     " on reach beyond the record, which ends at " + hex(next));
}

TEST(ZipLocal, Z20_ANameLengthThatMovesTheDataIsAmbiguous) {
  for (const int change : {-1, +1}) {
    TorchZip zip = base_zip();
    zip.record("data/0").local = [&](zip::LocalHeader& header) {
      header.name_bytes = static_cast<std::uint16_t>(header.name_bytes + change);
    };
    const Bytes bytes = zip.build();
    expect_refused_on_touch(bytes, "ambig ZIP-LOCAL-NAME base/data/0 at " + hex(zip.place("data/0").local + 26) +
                                       ": local header names another record than the central directory, expected "
                                       "'base/data/0', found '" +
                                       (change < 0 ? "base/data/" : "base/data/0F") + "'");
  }
}

TEST(ZipLocal, Z20_WithoutDescriptorsAMovedDataStartOverlapsOrLeavesAGap) {
  TorchZip zip = base_zip();
  zip.descriptors = false;
  const Bytes good = zip.build();
  const RecordPlace place = zip.place("data/0");
  const std::uint64_t block = place.local + 30 + 11;
  const auto extra_bytes = get<std::uint16_t>(good, place.local + 28);
  Bytes bytes = good;
  put<std::uint16_t>(bytes, place.local + 28, static_cast<std::uint16_t>(extra_bytes + 4));
  put<std::uint16_t>(bytes, block + 2, static_cast<std::uint16_t>(extra_bytes));
  expect_refused_on_touch(bytes, "ambig ZIP-DATA-START base/data/0 at " + hex(place.local + 28) +
                                     ": data start not explained: 32 bytes from " + hex(place.data + 4) +
                                     " on reach beyond the record, which ends at " + hex(place.data_end));
  // The other way the data are read, by every reader alike; the CRC and the gap tell.
  bytes = good;
  put<std::uint16_t>(bytes, place.local + 28, static_cast<std::uint16_t>(extra_bytes - 8));
  put<std::uint16_t>(bytes, block + 2, static_cast<std::uint16_t>(extra_bytes - 12));
  const Verdict verdict = judge(bytes);
  const std::uint32_t moved = plain_crc32(ByteSpan(good).subspan(place.data - 8, 32));
  EXPECT_EQ(verdict.text(), "crc CRC-MISMATCH base/data/0 at " + hex(place.data - 8) + ": crc-32 mismatch, stored " +
                                hex8(plain_crc32(zip.record("data/0").data)) + ", computed " + hex8(moved) + "\n" +
                                "zip ZIP-GAP at " + hex(place.data_end - 8) + ": 8 unexplained bytes at [" +
                                hex(place.data_end - 8) + ", " + hex(place.data_end) + ")\n");
  EXPECT_EQ(verdict.explained_bytes, verdict.size_bytes - 8);
}

TEST(ZipLocal, Z21_AnotherMethodInTheLocalHeaderIsAmbiguous) {
  TorchZip zip = base_zip();
  zip.record("data/0").local = [](zip::LocalHeader& header) { header.method = 8; };
  Bytes bytes = zip.build();
  expect_refused_on_touch(bytes, "ambig ZIP-LOCAL-METHOD base/data/0 at " + hex(zip.place("data/0").local + 8) +
                                     ": local header has another compression method than the central directory, "
                                     "expected 0 (stored), found 8 (deflate)");
  zip.record("data/0").deflate = true;
  zip.record("data/0").local = [](zip::LocalHeader& header) { header.method = 0; };
  bytes = zip.build();
  expect_refused_on_touch(bytes, "ambig ZIP-LOCAL-METHOD base/data/0 at " + hex(zip.place("data/0").local + 8) +
                                     ": local header has another compression method than the central directory, "
                                     "expected 8 (deflate), found 0 (stored)");
}

TEST(ZipLocal, Z22_OtherFlagsInTheLocalHeaderAreAmbiguous) {
  for (const unsigned flag : {0x0001u, 0x0008u, 0x0020u, 0x0040u, 0x0800u, 0x2000u}) {
    TorchZip zip = base_zip();
    const auto flags = static_cast<std::uint16_t>(0x0808 ^ flag);
    zip.record("data/0").local = [=](zip::LocalHeader& header) { header.flags = flags; };
    const Bytes bytes = zip.build();
    expect_refused_on_touch(bytes, "ambig ZIP-LOCAL-FLAGS base/data/0 at " + hex(zip.place("data/0").local + 6) +
                                       ": local header has other flags than the central directory, expected 0x808, "
                                       "found " +
                                       hex(flags));
  }
}

TEST(ZipLocal, AnotherCrcOrSizeInTheLocalHeaderIsAmbiguous) {
  for (const bool described : {true, false}) {
    TorchZip zip = base_zip();
    zip.descriptors = described;
    RecordPlan& record = zip.record("data/0");
    const std::uint32_t crc = plain_crc32(record.data);
    record.local = [](zip::LocalHeader& header) { header.crc = 1; };
    Bytes bytes = zip.build();
    expect_refused_on_touch(bytes, "ambig ZIP-LOCAL-CRC base/data/0 at " + hex(zip.place("data/0").local + 14) +
                                       ": local header has another crc-32 than the central directory, expected " +
                                       hex8(crc) + ", found 00000001");
    record.local = [](zip::LocalHeader& header) { header.compressed_bytes = 31; };
    bytes = zip.build();
    expect_refused_on_touch(bytes, "ambig ZIP-LOCAL-SIZE base/data/0 at " + hex(zip.place("data/0").local + 18) +
                                       ": local header has another compressed size than the central directory, "
                                       "expected 32, found 31");
    record.local = [](zip::LocalHeader& header) { header.size_bytes = 33; };
    bytes = zip.build();
    expect_refused_on_touch(bytes, "ambig ZIP-LOCAL-SIZE base/data/0 at " + hex(zip.place("data/0").local + 22) +
                                       ": local header has another size than the central directory, expected 32, "
                                       "found 33");
    // Right values where torch has zeros are right too.
    record.local = [&](zip::LocalHeader& header) {
      header.crc = crc;
      header.compressed_bytes = header.size_bytes = 32;
    };
    EXPECT_EQ(judge(zip.build()).text(), "");
  }
  // Zeros without a descriptor say that the record is empty.
  TorchZip zip = base_zip();
  zip.descriptors = false;
  zip.record("data/0").local = [](zip::LocalHeader& header) { header.compressed_bytes = header.size_bytes = 0; };
  const Bytes bytes = zip.build();
  expect_refused_on_touch(bytes, "ambig ZIP-LOCAL-SIZE base/data/0 at " + hex(zip.place("data/0").local + 18) +
                                     ": local header has another compressed size than the central directory, expected "
                                     "32, found 0");
}

TEST(ZipLocal, Z25_ADescriptorThatDisagreesIsAmbiguous) {
  TorchZip zip = base_zip();
  RecordPlan& record = zip.record("data/0");
  const std::string crc = hex8(plain_crc32(record.data));
  const auto at = [&](std::uint64_t field) {
    return "ambig ZIP-DESCRIPTOR base/data/0 at " + hex(zip.place("data/0").data_end + field);
  };
  record.descriptor = [](zip::Descriptor64& descriptor) { descriptor.crc ^= 1; };
  Bytes bytes = zip.build();
  expect_refused_on_touch(bytes, at(4) + ": data descriptor has another crc-32 than the central directory, expected " +
                                     crc + ", found " + hex8(plain_crc32(record.data) ^ 1));
  record.descriptor = [](zip::Descriptor64& descriptor) { descriptor.compressed_bytes = 31; };
  bytes = zip.build();
  expect_refused_on_touch(bytes, at(8) +
                                     ": data descriptor has another compressed size than the central directory, "
                                     "expected 32, found 31");
  record.descriptor = [](zip::Descriptor64& descriptor) { descriptor.size_bytes = 33; };
  bytes = zip.build();
  expect_refused_on_touch(
      bytes, at(12) + ": data descriptor has another size than the central directory, expected 32, found 33");
}

TEST(ZipLocal, Z25_ADescriptorOfAnotherWidthIsAmbiguous) {
  TorchZip zip = base_zip();
  RecordPlan& record = zip.record("data/0");
  const auto at = [&](std::uint64_t field) {
    return "ambig ZIP-DESCRIPTOR base/data/0 at " + hex(zip.place("data/0").data_end + field);
  };
  record.descriptor_form = DescriptorForm::signed_64;  // the record has no zip64 field
  Bytes bytes = zip.build();
  expect_refused_on_touch(bytes, at(0) + ": data descriptor has a wrong length, expected 16, found 24");
  // 32 bits where the zip64 field calls for 64.
  record.descriptor_form = DescriptorForm::signed_32;
  record.local_extra = extra_field(zip::kExtraZip64, bytes_of(std::vector<std::uint64_t>{32, 0}));
  bytes = zip.build();
  expect_refused_on_touch(bytes, at(0) + ": data descriptor has a wrong length, expected 24, found 16");
}

TEST(ZipLocal, Z25_AMissingDescriptorIsAmbiguous) {
  TorchZip zip = base_zip();
  RecordPlan& record = zip.record("data/0");
  record.descriptor_form = DescriptorForm::none;
  const auto described = [](auto& header) { header.flags = 0x0808; };
  record.local = described;
  record.central = described;
  Bytes bytes = zip.build();
  expect_refused_on_touch(bytes, "ambig ZIP-DESCRIPTOR base/data/0 at " + hex(zip.place("data/0").data_end) +
                                     ": data start not explained: no data descriptor behind the data, which would end "
                                     "at " +
                                     hex(zip.place("data/0").data_end));
}

TEST(ZipLocal, Z25_ADescriptorCutByTheNextHeaderIsAmbiguous) {
  // The record behind begins within the descriptor, at the last possible byte and earlier.
  for (const std::uint64_t cut : {4u, 8u, 12u}) {
    TorchZip zip = base_zip();
    (void)zip.build();
    const std::uint64_t next = zip.place("data/0").data_end + cut;
    zip.record("data/1").central = [=](zip::CentralEntry& entry) {
      entry.header_offset = static_cast<std::uint32_t>(next);
    };
    const Bytes bytes = zip.build();
    EXPECT_EQ(use(bytes, kRecord), "ambig ZIP-DESCRIPTOR base/data/0 at " + hex(zip.place("data/0").data_end) +
                                       ": data descriptor has a wrong length, expected 16, found " +
                                       std::to_string(cut));
  }
}

TEST(ZipLocal, Z25_ADescriptorWithoutSignatureIsOddWhenItFitsExactly) {
  for (const bool wide : {false, true}) {
    TorchZip zip = base_zip();
    RecordPlan& record = zip.record("data/0");
    record.descriptor_form = wide ? DescriptorForm::unsigned_64 : DescriptorForm::unsigned_32;
    if (wide) record.local_extra = extra_field(zip::kExtraZip64, bytes_of(std::vector<std::uint64_t>{32, 0}));
    Bytes bytes = zip.build();
    const std::uint64_t descriptor = zip.place("data/0").data_end;
    const Verdict verdict = judge(bytes);
    EXPECT_EQ(verdict.text(), "warning zip ZIP-DESCRIPTOR-BARE base/data/0 at " + hex(descriptor) +
                                  ": data descriptor without a signature\n");
    EXPECT_TRUE(verdict.fully_explained());
    EXPECT_EQ(use(bytes, kRecord), "ok");
    // But not when it says something else.
    bytes[descriptor + 4] ^= std::byte{1};
    expect_refused_on_touch(bytes, "ambig ZIP-DESCRIPTOR base/data/0 at " + hex(descriptor + 4) +
                                       ": data descriptor has another compressed size than the central directory, "
                                       "expected 32, found 33");
  }
}

TEST(ZipLocal, A07_WithoutAnyCrcADescriptorHoldsNoneEither) {
  TorchZip zip = base_zip();
  zip.crc = false;
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(), "note crc CRC-NOT-COMPUTED base/data.pkl at " + hex(zip.place("data.pkl").data) +
                                ": no record has a crc-32, the field holds 0 everywhere: nothing says whether the "
                                "bytes are right\n");
  EXPECT_TRUE(verdict.fully_explained());
}

TEST(ZipLocal, Z36_ACentralEntryWithoutLocalHeaderIsAmbiguous) {
  TorchZip zip = base_zip();
  Bytes bytes = zip.build();
  const std::uint64_t local = zip.place("data/0").local;
  put<std::uint8_t>(bytes, local + 2, 0x13);
  const std::string said = "ambig ZIP-LOCAL-SIGNATURE base/data/0 at " + hex(local) +
                           ": no local header where the central directory says one is";
  expect_refused_on_touch(bytes, said);
}

TEST(ZipLocal, AUnicodePathFieldOfALocalHeaderMayOnlyRepeatTheName) {
  TorchZip zip = base_zip();
  Bytes field = repeated(5, 1);
  const Bytes name = to_bytes("base/data/0");
  field.insert(field.end(), name.begin(), name.end());
  zip.record("data/0").local_extra = extra_field(zip::kExtraUnicodePath, field);
  EXPECT_EQ(judge(zip.build()).text(), "");
  field.back() = std::byte{'1'};
  zip.record("data/0").local_extra = extra_field(zip::kExtraUnicodePath, field);
  const Bytes bytes = zip.build();
  expect_refused_on_touch(bytes, "ambig ZIP-NAME-UNICODE base/data/0 at " + hex(zip.place("data/0").local + 30 + 11) +
                                     ": Unicode path extra field names another record, expected 'base/data/0', found "
                                     "'base/data/1'");
}

TEST(ZipLocal, AnExtraFieldLongerThanTheFirstReadIsReadWhole) {
  TorchZip zip = base_zip();
  zip.alignment = 4096;
  zip.record("data/0").local_extra = extra_field(zip::kExtraPadding, repeated(65000, 'Z'));
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(), "");
  EXPECT_EQ(use(zip.build(), kRecord), "ok");
}

}  // namespace
}  // namespace rushlight::test
