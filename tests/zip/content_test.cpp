// What read() gives, what it refuses to inflate (Z38 to Z40), and how much it asks of a Source.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include "base/fail.hpp"
#include "support/test_source.hpp"
#include "support/zip_builder.hpp"
#include "zip/verdict.hpp"

namespace rushlight::test {
namespace {

std::shared_ptr<const zip::Archive> open_archive(const std::shared_ptr<const Source>& source,
                                                 const zip::OpenOptions& options = {}) {
  std::vector<Finding> oddities;
  auto archive = zip::Archive::open(source, options, oddities);
  EXPECT_TRUE(archive) << line(archive.error());
  return archive ? *archive : nullptr;
}

// base_zip() with a record `text` of `data`, deflated, or with `stored` in its place.
TorchZip with_deflated(Bytes data, std::optional<Bytes> stored = std::nullopt) {
  TorchZip zip = base_zip();
  zip.add("text", data);
  zip.record("text").deflate = true;
  zip.record("text").stored = std::move(stored);
  return zip;
}

TEST(ZipContent, MappedRecordsAreViewsAndOutliveTheArchive) {
  const auto source = std::make_shared<TestSource>(base_zip().build(), TestSource::Access::mapped);
  auto archive = open_archive(source);
  auto record = archive->read(*archive->find("base/data/0"), 32);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->span().data(),
            source->mapping().data() + archive->data_extent(*archive->find("base/data/0"))->begin);
  EXPECT_EQ(source.use_count(), 3);
  archive.reset();
  EXPECT_EQ(source.use_count(), 2);  // the record's
  EXPECT_EQ(source->reads(), 0);
}

TEST(ZipContent, ReadRecordsAreOwnedAndAligned) {
  const auto source = std::make_shared<TestSource>(base_zip().build(), TestSource::Access::read_only);
  auto archive = open_archive(source);
  for (const char* name : {"base/data/0", "base/data/1", "base/version"}) {
    auto record = archive->read(*archive->find(name), 1000);
    ASSERT_TRUE(record);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(record->span().data()) % 64, 0);
    EXPECT_EQ(source.use_count(), 2);  // not the record's: it is a copy
  }
  auto record = archive->read(*archive->find("base/data/1"), 1000);
  archive.reset();
  EXPECT_EQ(load_le<std::int64_t>(record->span().data() + 24), 3);
}

TEST(ZipContent, OpeningReadsTheTailAndTheDirectoryOnce) {
  // Small: everything lies in the tail.
  auto source = std::make_shared<TestSource>(base_zip().build(), TestSource::Access::read_only);
  (void)open_archive(source);
  EXPECT_EQ(source->reads(), 1);
  EXPECT_EQ(source->bytes_read(), source->size_bytes());

  // 5,000 records of 256 bytes: the directory is longer than the tail.
  TorchZip zip("base");
  for (int i = 0; i < 5000; ++i) zip.add("data/" + std::to_string(i), repeated(256, static_cast<std::uint8_t>(i)));
  source = std::make_shared<TestSource>(zip.build(), TestSource::Access::read_only);
  auto archive = open_archive(source);
  EXPECT_EQ(source->reads(), 2);
  EXPECT_EQ(source->bytes_read(), 65557 + zip.places().directory_end - zip.places().directory);

  // A record: its header, its descriptor, its data; once touched, its data alone.
  const zip::Entry& entry = *archive->find("base/data/77");
  ASSERT_TRUE(archive->read(entry, 256));
  EXPECT_EQ(source->reads(), 5);
  ASSERT_TRUE(archive->read(entry, 256));
  EXPECT_EQ(source->reads(), 6);
}

TEST(ZipContent, OpeningReadsUnderOnePercentOfAFileOfManyTensors) {
  TorchZip zip("base");
  for (int i = 0; i < 200; ++i) zip.add("data/" + std::to_string(i), repeated(65536, static_cast<std::uint8_t>(i)));
  const auto source = std::make_shared<TestSource>(zip.build(), TestSource::Access::read_only);
  (void)open_archive(source);
  EXPECT_LT(source->bytes_read() * 100, source->size_bytes());
}

TEST(ZipContent, A08_DeflatedRecordsAreInflated) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "line " + std::to_string(i) + "\n";
  for (const std::string& data : {text, std::string("x"), std::string()}) {
    TorchZip zip = with_deflated(to_bytes(data));
    for (const bool descriptors : {true, false}) {
      zip.descriptors = descriptors;
      const Verdict verdict = judge(zip.build());
      EXPECT_EQ(verdict.text(), "");
      EXPECT_TRUE(verdict.fully_explained());
      EXPECT_EQ(content(verdict, "base/text"), data);
    }
  }
}

TEST(ZipContent, ADeflatedRecordOfNothingAtAllIsEmpty) {
  TorchZip zip = with_deflated({}, Bytes());
  const Verdict verdict = judge(zip.build());
  EXPECT_EQ(verdict.text(), "");
  EXPECT_EQ(content(verdict, "base/text"), "");
}

TEST(ZipContent, Z40_DeflatedDataThatDoNotFitTheirSizeAreRefused) {
  const Bytes data = to_bytes("one two three four five one two three four five");
  const Bytes whole = deflated(data);
  const auto expect = [&](const TorchZip& built, const std::string& what, std::uint64_t skip = 0) {
    TorchZip zip = built;
    const Bytes bytes = zip.build();
    const std::string said = "zip ZIP-INFLATE base/text at " + hex(zip.place("text").data + skip) + ": " + what;
    EXPECT_EQ(use(bytes, "base/text"), said);
    EXPECT_EQ(judge(bytes).text(), said + "\n");
  };
  // Shorter and longer than declared.
  TorchZip zip = with_deflated(data);
  const auto declare = [&](std::uint32_t size) {
    zip.record("text").central = [=](zip::CentralEntry& entry) { entry.size_bytes = size; };
    zip.record("text").descriptor = [=](zip::Descriptor64& descriptor) { descriptor.size_bytes = size; };
  };
  declare(48);
  expect(zip, "deflated data become fewer bytes than declared, expected 48, found 47");
  declare(46);
  expect(zip, "deflated data become more than the declared 46 bytes");
  declare(1);
  expect(zip, "deflated data become more than the declared 1 byte");
  // Bytes behind the last block, within the compressed size.
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  longer.push_back(std::byte{0});
  expect(with_deflated(data, longer), "deflated data end early, 2 bytes of the record are left over", whole.size());
  // Cut.
  expect(with_deflated(data, Bytes(whole.begin(), whole.end() - 3)), "deflated data are damaged or end too early");
  // Block type 3; a distance beyond the start; a stored block whose length and its complement disagree.
  expect(with_deflated(data, repeated(10, 0x07)), "deflated data are damaged or end too early");
  expect(with_deflated(data, to_bytes(std::string_view("\x03\x02\x01\x00", 4))),
         "deflated data are damaged or end too early");
  expect(with_deflated(data, to_bytes(std::string_view("\x01\x2f\x00\x00\x00", 5))),
         "deflated data are damaged or end too early");
  // Empty stored blocks without end: work is bounded by the compressed bytes.
  Bytes blocks;
  for (int i = 0; i < 100000; ++i) {
    for (const int byte : {0x00, 0x00, 0x00, 0xFF, 0xFF}) blocks.push_back(std::byte(byte));
  }
  expect(with_deflated(data, blocks), "deflated data are damaged or end too early");
}

TEST(ZipContent, Z38_ADeflateBombIsRefusedBeforeItIsInflated) {
  // 1 MiB that claims to become 1 GiB: DEFLATE could, the budget does not let it. The data are not even looked at.
  const std::uint64_t size_bytes = std::uint64_t{1} << 30;
  const Bytes small = deflated(repeated(1 << 20, 0));
  const Bytes bomb = repeated(std::size_t{1} << 20, 0xAA);
  TorchZip zip = with_deflated({}, bomb);
  zip.record("text").central = [=](zip::CentralEntry& entry) {
    entry.size_bytes = static_cast<std::uint32_t>(size_bytes);
    entry.flags = 0x0808;
  };
  zip.record("text").local = [](zip::LocalHeader& header) {
    header.flags = 0x0808;
    header.compressed_bytes = header.size_bytes = 0;
    header.crc = 0;
  };
  zip.record("text").descriptor_form = DescriptorForm::signed_32;
  zip.record("text").descriptor = [=](zip::Descriptor64& descriptor) { descriptor.size_bytes = size_bytes; };
  const Bytes bytes = zip.build();
  const std::string said = "limit LIMIT-INFLATED-BYTES base/text at " + hex(zip.place("text").local) +
                           ": 1048576 deflated bytes become more than limits.inflated_bytes allows, expected at most " +
                           std::to_string((16ull << 20) + (64ull << 20)) + ", found 1073741824";
  EXPECT_EQ(use(bytes, "base/text"), said);
  EXPECT_EQ(judge(bytes).text(), said + "\n");
  // The budget is the caller's.
  zip::OpenOptions options;
  options.limits = Limits::off();
  TorchZip honest = with_deflated(repeated(1 << 20, 0));
  EXPECT_EQ(judge(honest.build()).text(), "");
  options.limits.inflated_bytes = 1000;
  const std::string refused = judge(honest.build(), options).text();
  EXPECT_EQ(refused, "limit LIMIT-INFLATED-BYTES base/text at " + hex(honest.place("text").local) + ": " +
                         std::to_string(small.size()) +
                         " deflated bytes become more than limits.inflated_bytes allows, expected at most " +
                         std::to_string(16 * small.size() + 1000) + ", found 1048576\n");
}

TEST(ZipContent, Z38_ManySmallBombsMeetOneBudgetInTheAudit) {
  TorchZip zip("base");
  for (int i = 0; i < 5; ++i) {
    zip.add("bomb" + std::to_string(i), repeated(30 << 20, 0));
    zip.records().back().deflate = true;
  }
  const Bytes bytes = zip.build();
  const std::uint64_t compressed = zip.place("bomb0").data_end - zip.place("bomb0").data;
  const auto line_for = [&](const std::string& name) {
    return "limit LIMIT-INFLATED-BYTES base/" + name + " at " + hex(zip.place(name).local) + ": " +
           std::to_string(3 * compressed) +
           " deflated bytes become more than limits.inflated_bytes allows, expected at most " +
           std::to_string(3 * compressed * 16 + (64 << 20)) + ", found 94371840\n";
  };
  const Verdict verdict = judge(bytes);
  EXPECT_EQ(verdict.text(), line_for("bomb2") + line_for("bomb3") + line_for("bomb4"));
  EXPECT_EQ(verdict.checked_bytes, 60 << 20);
  // Each may be asked for by itself.
  EXPECT_EQ(use(bytes, "base/bomb4"), "ok");
}

TEST(ZipContent, ARecordLargerThanTheCallerAllowsIsRefusedUntouched) {
  const auto source = std::make_shared<TestSource>(base_zip().build(), TestSource::Access::read_only);
  auto archive = open_archive(source);
  const zip::Entry& entry = *archive->find("base/data/0");
  auto record = archive->read(entry, 31);
  ASSERT_FALSE(record);
  EXPECT_EQ(line(record.error()),
            "limit LIMIT-RECORD-BYTES base/data/0 at " + hex(entry.header_offset) +
                ": record is larger than what is asked for may be, expected at most 31, found 32");
  EXPECT_TRUE(archive->read(entry, 32));
}

TEST(ZipContent, CrcStatesAreNeverConflated) {
  const Bytes data = to_bytes("123456789");
  const auto check = [&](std::uint32_t stored) {
    zip::Entry entry;
    entry.crc = stored;
    return zip::Archive::check_crc(entry, data, nullptr);
  };
  EXPECT_EQ(check(0xCBF43926).state, zip::CrcState::verified);
  EXPECT_EQ(check(0xCBF43927).state, zip::CrcState::mismatch);
  EXPECT_EQ(check(0).state, zip::CrcState::not_computed);
  EXPECT_EQ(check(0).computed, 0xCBF43926);
  EXPECT_EQ(check(1).stored, 1);
  // Nothing has a CRC of 0, and that is right.
  zip::Entry empty;
  EXPECT_EQ(zip::Archive::check_crc(empty, {}, nullptr).state, zip::CrcState::verified);
}

TEST(ZipContent, Z43_ATrueCrcOfZeroIsVerified) {
  Bytes data = bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7});
  data.resize(data.size() + 4);
  // Four more bytes make any CRC: a CRC register is run backwards from 0xFFFFFFFF, whose complement is 0, to learn what
  // the register was before four zero bytes; the difference to what it is are the bytes.
  std::uint32_t state = 0xFFFFFFFF;
  for (int bit = 0; bit < 32; ++bit) state = (state >> 31) != 0 ? (state ^ 0xEDB88320) << 1 | 1 : state << 1;
  put<std::uint32_t>(data, 32, state ^ ~plain_crc32(ByteSpan(data).first(32)));
  ASSERT_EQ(plain_crc32(data), 0);
  TorchZip zip = base_zip();
  zip.add("data/2", data);
  EXPECT_EQ(judge(zip.build()).text(), "");
}

TEST(ZipContent, AWindowOfALargerFileIsAnArchiveWithOffsetsOfTheFile) {
  // Two archives back to back, as in a .distcp file of a distributed checkpoint.
  TorchZip first = base_zip();
  TorchZip second("archive");
  second.add("data.pkl", "second").add("data/0", "weights");
  Bytes bytes = repeated(100, 'h');
  for (TorchZip* zip : {&first, &second}) {
    const Bytes one = zip->build();
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  bytes.resize(bytes.size() + 50);
  const std::uint64_t first_bytes = first.places().size_bytes;
  const std::uint64_t second_bytes = second.places().size_bytes;
  zip::OpenOptions options;
  options.window_offset = 100 + first_bytes;
  options.window_bytes = second_bytes;
  const Verdict verdict = judge(bytes, options);
  EXPECT_EQ(verdict.text(), "");
  EXPECT_EQ(verdict.explained_bytes, second_bytes);
  EXPECT_EQ(verdict.archive->find("archive/data/0")->header_offset,
            options.window_offset + second.place("data/0").local);
  EXPECT_EQ(content(verdict, "archive/data/0"), "weights");

  options.window_offset = 100;
  options.window_bytes = first_bytes;
  EXPECT_EQ(judge(bytes, options).text(), "");
  // Damage is reported where it is in the file.
  bytes[100 + first.place("data/0").data] ^= std::byte{1};
  const std::uint64_t data = 100 + first.place("data/0").data;
  EXPECT_EQ(judge(bytes, options).text(), "crc CRC-MISMATCH base/data/0 at " + hex(data) +
                                              ": crc-32 mismatch, stored " +
                                              hex8(plain_crc32(first.record("data/0").data)) + ", computed " +
                                              hex8(plain_crc32(ByteSpan(bytes).subspan(data, 32))) + "\n");
  put<std::uint32_t>(bytes, 100 + first.places().directory, 0);
  EXPECT_EQ(judge(bytes, options).text(), "zip ZIP-CENTRAL-SIGNATURE at " + hex(100 + first.places().directory) +
                                              ": central entry 0 has no signature, " +
                                              std::to_string(first.places().directory_end - first.places().directory) +
                                              " bytes of the directory are left\n");
}

TEST(ZipContent, AWindowBeyondTheFileIsTheCallersMistake) {
  const Bytes bytes = base_zip().build();
  zip::OpenOptions options;
  options.window_offset = bytes.size() + 1;
  options.window_bytes = 0;
  Verdict verdict = judge(bytes, options);
  EXPECT_EQ(verdict.code, ErrorCode::invalid_argument);
  EXPECT_EQ(verdict.text(), "argument ZIP-WINDOW at " + hex(bytes.size() + 1) +
                                ": window of the archive does not lie within the source of " +
                                std::to_string(bytes.size()) + " bytes\n");
  options.window_offset = 10;
  options.window_bytes = bytes.size() - 9;
  EXPECT_EQ(judge(bytes, options).code, ErrorCode::invalid_argument);
  options.window_bytes = ~0ull;
  EXPECT_EQ(judge(bytes, options).code, ErrorCode::invalid_argument);
  options.window_offset = bytes.size();
  options.window_bytes = std::nullopt;
  EXPECT_EQ(judge(bytes, options).text(), "kind ZIP-NONE at " + hex(bytes.size()) + ": file is empty\n");
}

TEST(ZipContent, AFailingSourceIsAnErrorOfItsOwnKind) {
  TorchZip zip = base_zip();
  zip.add("data/9", repeated(200000, 1));
  const Bytes bytes = zip.build();
  auto source = std::make_shared<TestSource>(bytes, TestSource::Access::read_only);
  auto archive = open_archive(source);
  source->fail_within(zip.place("data/0").data, zip.place("data/0").data + 1);
  auto record = archive->read(*archive->find("base/data/0"), 1000);
  ASSERT_FALSE(record);
  EXPECT_EQ(record.error().code, ErrorCode::io);
  auto audit = archive->audit(nullptr, nullptr);
  ASSERT_FALSE(audit);
  EXPECT_EQ(audit.error().code, ErrorCode::io);
  EXPECT_TRUE(archive->read(*archive->find("base/data/1"), 1000));

  for (const std::uint64_t where : {zip.places().end, zip.places().directory}) {
    source = std::make_shared<TestSource>(bytes, TestSource::Access::read_only);
    source->fail_within(where, where + 1);
    std::vector<Finding> oddities;
    auto failed = zip::Archive::open(source, {}, oddities);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::io);
  }
}

TEST(ZipContent, OneArchiveServesManyThreads) {
  TorchZip zip("base");
  for (int i = 0; i < 64; ++i) zip.add("data/" + std::to_string(i), repeated(1000, static_cast<std::uint8_t>(i)));
  const Bytes bytes = zip.build();
  for (const auto access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
    auto archive = open_archive(std::make_shared<TestSource>(bytes, access));
    std::atomic<int> good = 0;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&] {
        for (int i = 0; i < 64; ++i) {
          const zip::Entry* entry = archive->find("base/data/" + std::to_string(i));
          auto record = archive->read(*entry, 1000);
          if (record && record->span()[999] == std::byte(i)) good += 1;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(good, 256);
  }
}

}  // namespace
}  // namespace rushlight::test
