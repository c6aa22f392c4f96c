#include "interchange/npz.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "interchange/expected_tensors.hpp"
#include "interchange/npy_header.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_source.hpp"
#include "support/zip_builder.hpp"

namespace rushlight::interchange {
namespace {

namespace fs = std::filesystem;
using test::Bytes;
using test::TestSource;
using test::TorchZip;
using Access = TestSource::Access;

fs::path golden(const char* name) {
  return fs::path(RUSHLIGHT_GOLDEN_DIR) / "format" / "container" / name;
}

// As numpy.savez writes: no descriptors, no zip64 records, no padding.
TorchZip numpy_zip() {
  TorchZip zip("");
  zip.alignment = 0;
  zip.descriptors = false;
  zip.zip64_end = false;
  return zip;
}

// A file of format 1.0 with the given description.
std::string npy_of(const std::string& descr, const std::string& order, const std::string& shape,
                   const std::string& data) {
  std::string dict = "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
  dict.resize(118 - 1, ' ');
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(118);
  file += '\0';
  return file + dict + "\n" + data;
}
std::string bytes_npy(const std::string& data) {
  return npy_of("|u1", "False", "(" + std::to_string(data.size()) + ",)", data);
}

TorchZip two_arrays(bool deflate) {
  TorchZip zip = numpy_zip();
  zip.add_full_name("b.npy", as_byte_span(bytes_npy("some bytes")));
  zip.add_full_name("a.npy", as_byte_span(npy_of("<i2", "False", "(2, 1)", std::string("\1\0\2\0", 4))));
  for (test::RecordPlan& record : zip.records()) record.deflate = deflate;
  return zip;
}

Result<Npz> read(const Bytes& file, Access access = Access::read_only, const Limits& limits = {},
                 Checksums checksums = Checksums::on_first_read) {
  return read_npz(std::make_shared<TestSource>(file, access), limits, checksums);
}
std::string refusal(TorchZip& zip) {
  const auto result = read(zip.build());
  return result ? "accepted" : result.error().finding.code + ": " + to_string(result.error());
}
std::string text_of(const Tensor& tensor) {
  const auto bytes = tensor.bytes();
  EXPECT_TRUE(bytes) << to_string(bytes.error());
  return bytes ? std::string(as_text(*bytes)) : std::string();
}

constexpr Access kBoth[] = {Access::mapped, Access::read_only};

// --- what is read
// ---------------------------------------------------------------------------------------------------------

TEST(Npz, GoldenFilesHaveTheArraysThatTorchFound) {
  for (const char* name : {"state.npz", "state_compressed.npz"}) {
    SCOPED_TRACE(name);
    const test::ExpectedFile expected = test::read_expectation(golden(name));
    for (const FileAccess access : {FileAccess::mapped, FileAccess::pread}) {
      const auto read = read_npz(open_file(golden(name), access).value(), {});
      ASSERT_TRUE(read) << to_string(read.error());
      EXPECT_TRUE(read->findings.empty());
      ASSERT_EQ(read->arrays.size(), expected.tensors.size());
      for (std::size_t i = 0; i < expected.tensors.size(); ++i) {
        EXPECT_EQ(read->arrays[i].name, expected.tensors[i].name);
        const Tensor& tensor = *read->arrays[i].tensor;
        EXPECT_EQ(tensor.storage().integrity(), Integrity::not_checked);
        test::expect_tensor(tensor, expected.tensors[i]);
        // Empty arrays are not read.
        EXPECT_EQ(tensor.storage().integrity(), tensor.numel() > 0 ? Integrity::verified : Integrity::not_checked);
      }
    }
  }
}

TEST(Npz, ArraysStandInTheOrderOfTheDirectory) {
  for (const bool deflate : {false, true}) {
    for (const Access access : kBoth) {
      const Npz npz = read(two_arrays(deflate).build(), access).value();
      ASSERT_EQ(npz.arrays.size(), 2U);
      EXPECT_EQ(npz.arrays[0].name, "b");
      EXPECT_EQ(text_of(*npz.arrays[0].tensor), "some bytes");
      EXPECT_EQ(npz.arrays[0].tensor->storage().record(), "b.npy");
      EXPECT_EQ(npz.arrays[1].name, "a");
      EXPECT_EQ(npz.arrays[1].tensor->values<std::int16_t>().value()[1], 2);
    }
  }
}

TEST(Npz, AnArchiveOfNothingHasNoArrays) {
  TorchZip zip = numpy_zip();
  const auto result = read(zip.build());
  ASSERT_TRUE(result) << to_string(result.error());
  EXPECT_TRUE(result->arrays.empty());
}

TEST(Npz, FortranOrderBecomesStridesAndBigEndianIsSwapped) {
  TorchZip zip = numpy_zip();
  zip.add_full_name("f.npy",
                    as_byte_span(npy_of(">i2", "True", "(2, 3)", std::string("\0\1\0\2\0\3\0\4\0\5\0\6", 12))));
  for (const bool deflate : {false, true}) {
    zip.record("f.npy").deflate = deflate;
    const Npz npz = read(zip.build()).value();
    const Tensor& tensor = *npz.arrays[0].tensor;
    EXPECT_EQ(Strides(tensor.strides().begin(), tensor.strides().end()), (Strides{1, 2}));
    const Tensor dense = tensor.contiguous().value();
    const auto values = dense.values<std::int16_t>().value();
    EXPECT_EQ(std::vector<std::int16_t>(values.begin(), values.end()), (std::vector<std::int16_t>{1, 3, 5, 2, 4, 6}));
    EXPECT_EQ(tensor.storage().integrity(), Integrity::verified);
  }
}

TEST(Npz, ElementsOfStoredMembersAreReadWhenTheyAreAskedFor) {
  TorchZip zip = numpy_zip();
  zip.add_full_name("first.npy", as_byte_span(bytes_npy(std::string(200000, 'x'))));
  zip.add_full_name("second.npy", as_byte_span(bytes_npy(std::string(200000, 'y'))));
  const auto source = std::make_shared<TestSource>(zip.build(), Access::read_only);
  const Npz npz = read_npz(source, {}).value();
  const std::uint64_t before = source->bytes_read();
  EXPECT_LT(before, 150000U);
  EXPECT_EQ(text_of(*npz.arrays[0].tensor), std::string(200000, 'x'));
  EXPECT_LT(source->bytes_read() - before, 250000U);
}

TEST(Npz, BytesAreAlignedWhereverTheyLie) {
  for (std::size_t shift = 0; shift < 16; ++shift) {
    TorchZip zip = numpy_zip();
    zip.add_full_name("a.npy", as_byte_span(bytes_npy("0123456789")));
    zip.record("a.npy").local_extra = test::extra_field(0xCAFE, test::repeated(shift, 0));
    for (const Access access : kBoth) {
      const auto result = read(zip.build(), access);
      ASSERT_TRUE(result) << to_string(result.error());
      const auto bytes = result->arrays[0].tensor->bytes().value();
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes.data()) % 16, 0U);
      EXPECT_EQ(as_text(bytes), "0123456789");
    }
  }
}

// --- members that are no arrays, arrays that are no tensors
// ---------------------------------------------------------------

TEST(Npz, OtherMembersAreLeftOutWithAWarning) {
  TorchZip zip = two_arrays(false);
  zip.add_full_name("readme.txt", as_byte_span("text"));
  const Npz npz = read(zip.build()).value();
  EXPECT_EQ(npz.arrays.size(), 2U);
  ASSERT_EQ(npz.findings.size(), 1U);
  EXPECT_EQ(npz.findings[0].code, "NPZ-MEMBER");
  EXPECT_EQ(npz.findings[0].severity, Severity::warning);
  EXPECT_EQ(npz.findings[0].record, "readme.txt");
  EXPECT_EQ(npz.findings[0].file, "test.pt");
  EXPECT_EQ(npz.findings[0].message, "its name does not end with '.npy': it is no array and is left out");
}

TEST(Npz, OdditiesOfTheContainerAreHandedOn) {
  TorchZip zip = two_arrays(false);
  zip.trailing = test::to_bytes("more");
  const Npz npz = read(zip.build()).value();
  ASSERT_EQ(npz.findings.size(), 1U);
  EXPECT_EQ(npz.findings[0].severity, Severity::warning);
  EXPECT_EQ(npz.findings[0].file, "test.pt");
}

TEST(Npz, ObjectArraysAreRefusedByNameAndTheOthersAreRead) {
  for (const bool deflate : {false, true}) {
    TorchZip zip = two_arrays(deflate);
    zip.add_full_name("labels.npy", as_byte_span(npy_of("|O", "False", "(1,)", "\x80\x04]\x94.")));
    zip.add_full_name("names.npy", as_byte_span(npy_of("<U5", "False", "(1,)", std::string(20, '\0'))));
    zip.record("labels.npy").deflate = deflate;
    const Npz npz = read(zip.build()).value();
    ASSERT_EQ(npz.arrays.size(), 4U);
    EXPECT_TRUE(npz.arrays[0].tensor);
    EXPECT_EQ(npz.arrays[2].name, "labels");
    ASSERT_FALSE(npz.arrays[2].tensor);
    const Error& object = npz.arrays[2].tensor.error();
    EXPECT_EQ(object.code, ErrorCode::unsupported);
    EXPECT_EQ(object.finding.code, "NPY-DTYPE");
    EXPECT_EQ(object.finding.message, "object arrays hold pickles instead of elements and are refused");
    EXPECT_EQ(object.finding.record, "labels.npy");
    EXPECT_EQ(object.finding.record_offset, 20U);
    EXPECT_EQ(npz.arrays[3].tensor.error().finding.message, "elements of type '<U5' cannot be read");
  }
}

// --- broken members
// -------------------------------------------------------------------------------------------------------

TEST(Npz, BrokenArraysNameTheirRecordAndBothOffsets) {
  TorchZip zip = numpy_zip();
  zip.add_full_name("a.npy", as_byte_span(npy_of("<i2", "False", "(3,)", "1234")));
  const Bytes file = zip.build();
  const auto cut = read(file);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::truncated);
  EXPECT_EQ(cut.error().finding.code, "NPY-TRUNCATED");
  EXPECT_EQ(cut.error().finding.record, "a.npy");
  EXPECT_EQ(cut.error().finding.record_offset, 128U);
  EXPECT_EQ(cut.error().finding.offset, zip.place("a.npy").data + 128);
  EXPECT_EQ(cut.error().finding.message, "an array of [3] int16 does not fit the 4 bytes behind the header");

  TorchZip more = numpy_zip();
  more.add_full_name("a.npy", as_byte_span(npy_of("<i2", "False", "(1,)", "1234")));
  EXPECT_EQ(refusal(more), "NPY-TRAILING: test.pt: a.npy at 0x82 (0xa5 in the file): 2 bytes follow the array");
  more.record("a.npy").deflate = true;
  EXPECT_EQ(refusal(more), "NPY-TRAILING: test.pt: a.npy at 0x82 (0x23 in the file): 2 bytes follow the array");

  TorchZip text = numpy_zip();
  text.add_full_name("a.npy", as_byte_span("PK"));
  EXPECT_EQ(
      refusal(text),
      "NPY-MAGIC: test.pt: a.npy at 0x0 (0x23 in the file): no NumPy array: the file does not begin with '\\x93NUMPY'");
  TorchZip empty = numpy_zip();
  empty.add_full_name("a.npy", {});
  EXPECT_EQ(refusal(empty),
            "NPY-MAGIC: test.pt: a.npy at 0x0 (0x23 in the file): the file is empty, expected a NumPy array");
}

TEST(Npz, DamageInTheHeaderIsAChecksumThatDoesNotFit) {
  for (const bool deflate : {false, true}) {
    TorchZip zip = two_arrays(deflate);
    Bytes file = zip.build();
    if (!deflate) {
      file[zip.place("b.npy").data + 13] ^= std::byte{0x20};
    } else {
      zip.record("b.npy").central = [](zip::CentralEntry& entry) { entry.crc ^= 1; };
      zip.record("b.npy").local = [](zip::LocalHeader& header) { header.crc ^= 1; };
      zip.record("b.npy").data[20] = std::byte{'?'};
      file = zip.build();
    }
    const auto damaged = read(file);
    ASSERT_FALSE(damaged);
    EXPECT_EQ(damaged.error().code, ErrorCode::checksum_mismatch);
    EXPECT_EQ(damaged.error().finding.code, "CRC-MISMATCH");
    EXPECT_EQ(damaged.error().finding.record, "b.npy");
    EXPECT_EQ(damaged.error().finding.offset, zip.place("b.npy").data);
    const auto ignored = read(file, Access::mapped, {}, Checksums::ignore);
    ASSERT_FALSE(ignored);
    EXPECT_NE(ignored.error().code, ErrorCode::checksum_mismatch);
  }
}

TEST(Npz, DamageInTheElementsIsFoundWhenTheyAreRead) {
  TorchZip zip = two_arrays(false);
  Bytes file = zip.build();
  file[zip.place("b.npy").data + 130] ^= std::byte{1};
  for (const Access access : kBoth) {
    const Npz npz = read(file, access).value();
    const Tensor& damaged = *npz.arrays[0].tensor;
    EXPECT_EQ(damaged.storage().integrity(), Integrity::not_checked);
    for (int i = 0; i < 2; ++i) {
      const auto bytes = damaged.bytes();
      ASSERT_FALSE(bytes);
      EXPECT_EQ(bytes.error().finding.code, "CRC-MISMATCH");
      EXPECT_EQ(bytes.error().finding.record, "b.npy");
      EXPECT_EQ(bytes.error().finding.file, "test.pt");
      EXPECT_EQ(bytes.error().finding.offset, zip.place("b.npy").data);
    }
    EXPECT_EQ(damaged.storage().integrity(), Integrity::mismatch);
    EXPECT_TRUE(npz.arrays[1].tensor->bytes());
    const Npz ignored = read(file, access, {}, Checksums::ignore).value();
    EXPECT_EQ(text_of(*ignored.arrays[0].tensor), "sole bytes");
    EXPECT_EQ(ignored.arrays[0].tensor->storage().integrity(), Integrity::not_checked);
  }
}

TEST(Npz, RecordsWithoutAChecksumAreNotComputed) {
  TorchZip zip = two_arrays(false);
  zip.crc = false;
  const Npz npz = read(zip.build()).value();
  EXPECT_EQ(text_of(*npz.arrays[0].tensor), "some bytes");
  EXPECT_EQ(npz.arrays[0].tensor->storage().integrity(), Integrity::not_computed);
}

// --- limits and damage anywhere
// -------------------------------------------------------------------------------------------

TEST(Npz, ArraysHaveALimit) {
  Limits limits;
  limits.tensors = 1;
  const auto refused = read(two_arrays(false).build(), Access::mapped, limits);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().finding.code, "LIMIT-TENSORS");
  EXPECT_EQ(refused.error().finding.message, "there are more than 1 tensors (tensors)");
  EXPECT_EQ(refused.error().finding.record, "a.npy");
}

TEST(Npz, WhatIsInflatedToOpenAFileHasALimitForAllMembersTogether) {
  TorchZip zip = numpy_zip();
  for (const char* name : {"a.npy", "b.npy", "c.npy"}) {
    zip.add_full_name(name, as_byte_span(bytes_npy(std::string(40000, '\0'))));
    zip.record(name).deflate = true;
  }
  Limits limits;
  limits.inflated_bytes = 100'000;
  const auto refused = read(zip.build(), Access::mapped, limits);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(refused.error().finding.code, "LIMIT-INFLATED-BYTES");
  EXPECT_EQ(refused.error().finding.record, "c.npy");
  limits.inflated_bytes = 130'000;
  EXPECT_TRUE(read(zip.build(), Access::mapped, limits));
}

TEST(Npz, AFileCutAtAnyByteIsRefused) {
  for (const char* name : {"state.npz", "state_compressed.npz"}) {
    const std::string text = test::read_file(golden(name));
    const Bytes file = test::to_bytes(text);
    for (std::size_t length = 0; length < file.size(); ++length) {
      EXPECT_FALSE(read(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length)))) << length;
    }
  }
}

TEST(Npz, EveryFlippedByteEndsInAnAnswer) {
  for (const bool deflate : {false, true}) {
    const Bytes file = two_arrays(deflate).build();
    int refused = 0;
    for (std::size_t i = 0; i < file.size(); ++i) {
      for (const int bit : {0, 5, 7}) {
        Bytes changed = file;
        changed[i] ^= static_cast<std::byte>(1 << bit);
        const auto result = read(changed, Access::mapped);
        if (!result) {
          ++refused;
          continue;
        }
        for (const NpzArray& array : result->arrays) {
          if (!array.tensor || !array.tensor->bytes()) ++refused;
        }
      }
    }
    EXPECT_GT(refused, static_cast<int>(file.size()));
  }
}

TEST(Npz, SourcesThatFailAreReported) {
  TorchZip zip = numpy_zip();
  zip.add_full_name("a.npy", as_byte_span(bytes_npy(std::string(200000, 'x'))));
  zip.add_full_name("b.npy", as_byte_span(bytes_npy(std::string(200000, 'y'))));
  const Bytes file = zip.build();
  const std::uint64_t data = zip.place("a.npy").data;
  for (const std::uint64_t at : {std::uint64_t{0}, data, data + 20}) {
    const auto source = std::make_shared<TestSource>(file, Access::read_only);
    source->fail_within(at, at + 1);
    const auto result = read_npz(source, {});
    ASSERT_FALSE(result) << at;
    EXPECT_EQ(result.error().code, ErrorCode::io);
    EXPECT_EQ(result.error().finding.file, "test.pt");
    EXPECT_EQ(result.error().finding.record, "a.npy");
  }
}

}  // namespace
}  // namespace rushlight::interchange
