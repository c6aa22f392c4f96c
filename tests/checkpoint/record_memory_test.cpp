#include "checkpoint/record_memory.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/test_source.hpp"
#include "support/zip_builder.hpp"

namespace rushlight::checkpoint {
namespace {

using test::TestSource;

struct Opened {
  std::shared_ptr<TestSource> source;
  std::shared_ptr<RecordContext> context;
  const zip::Entry* entry = nullptr;

  [[nodiscard]] std::shared_ptr<RecordMemory> memory() const {
    return std::make_shared<RecordMemory>(context, *entry, context->interned("cuda:1"));
  }
};

Opened open(const test::Bytes& bytes, TestSource::Access access, Checksums checksums = Checksums::on_first_read) {
  Opened opened;
  opened.source = std::make_shared<TestSource>(bytes, access);
  std::vector<Finding> oddities;
  opened.context = std::make_shared<RecordContext>();
  opened.context->archive = zip::Archive::open(opened.source, {}, oddities).value();
  opened.context->file = "test.pt";
  opened.context->root = "base/";
  opened.context->checksums = checksums;
  opened.entry = opened.context->archive->find("base/data/0");
  return opened;
}

test::Bytes flipped(test::TorchZip& zip, std::uint64_t byte) {
  test::Bytes bytes = zip.build();
  bytes[zip.place("data/0").data + byte] ^= std::byte{0x10};
  return bytes;
}

// The end of a file is read when the archive is opened; this puts the first records out of its reach.
test::TorchZip long_zip() {
  test::TorchZip zip = test::base_zip();
  zip.add("data/2", test::repeated(200000, 1));
  return zip;
}

constexpr TestSource::Access kBoth[] = {TestSource::Access::mapped, TestSource::Access::read_only};

TEST(RecordMemory, NothingIsReadBeforeTheFirstUse) {
  test::TorchZip zip = long_zip();
  const Opened opened = open(zip.build(), TestSource::Access::read_only);
  const std::uint64_t before = opened.source->bytes_read();
  const auto memory = opened.memory();
  EXPECT_EQ(memory->size_bytes(), 32u);
  EXPECT_EQ(memory->record(), "data/0");
  EXPECT_EQ(memory->recorded_device(), "cuda:1");
  EXPECT_EQ(memory->device(), Device::cpu());
  EXPECT_EQ(memory->integrity(), Integrity::not_checked);
  EXPECT_EQ(opened.source->bytes_read(), before);
  ASSERT_TRUE(memory->bytes());
  EXPECT_GT(opened.source->bytes_read(), before);
  EXPECT_EQ(memory->integrity(), Integrity::verified);
}

TEST(RecordMemory, TheBytesAreThoseOfTheRecordAndStay) {
  test::TorchZip zip = test::base_zip();
  for (const TestSource::Access access : kBoth) {
    const auto memory = open(zip.build(), access).memory();
    const ByteSpan first = memory->bytes().value();
    ASSERT_EQ(first.size(), 32u);
    float value = 0;
    std::memcpy(&value, first.data() + 28, sizeof value);
    EXPECT_EQ(value, 7.0f);
    EXPECT_EQ(memory->bytes().value().data(), first.data());
  }
}

TEST(RecordMemory, AMappedRecordIsNotCopied) {
  test::TorchZip zip = test::base_zip();
  const Opened opened = open(zip.build(), TestSource::Access::mapped);
  const std::byte* begin = opened.source->mapping().data();
  const std::byte* data = opened.memory()->bytes().value().data();
  EXPECT_GE(data, begin);
  EXPECT_LT(data, begin + opened.source->size_bytes());
}

TEST(RecordMemory, S10_AMisalignedRecordIsCopiedToAnAlignedPlace) {
  for (const std::uint64_t alignment : {std::uint64_t{1}, std::uint64_t{0}}) {
    test::TorchZip zip = test::base_zip();
    zip.alignment = alignment;
    for (const TestSource::Access access : kBoth) {
      const ByteSpan bytes = open(zip.build(), access).memory()->bytes().value();
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes.data()) % 16, 0u);
      EXPECT_EQ(bytes.size(), 32u);
    }
  }
}

TEST(RecordMemory, ADeflatedRecordIsInflated) {
  test::TorchZip zip = test::base_zip();
  zip.record("data/0").deflate = true;
  for (const TestSource::Access access : kBoth) {
    const auto memory = open(zip.build(), access).memory();
    EXPECT_EQ(memory->bytes().value().size(), 32u);
    EXPECT_EQ(memory->integrity(), Integrity::verified);
  }
}

TEST(RecordMemory, Z42_AFlippedBitIsAMismatchEveryTimeItIsAskedFor) {
  test::TorchZip zip = test::base_zip();
  const test::Bytes bytes = flipped(zip, 5);
  for (const TestSource::Access access : kBoth) {
    const auto memory = open(bytes, access).memory();
    for (int i = 0; i < 2; ++i) {
      const auto answer = memory->bytes();
      ASSERT_FALSE(answer);
      EXPECT_EQ(answer.error().code, ErrorCode::checksum_mismatch);
      const Finding& finding = answer.error().finding;
      EXPECT_EQ(finding.code, "CRC-MISMATCH");
      EXPECT_EQ(finding.record, "data/0");
      EXPECT_EQ(finding.offset, zip.place("data/0").data);
      EXPECT_EQ(finding.message, "crc-32 mismatch, stored " + finding.expected + ", computed " + finding.found);
      EXPECT_EQ(finding.file, "test.pt");
    }
    EXPECT_EQ(memory->integrity(), Integrity::mismatch);
  }
}

TEST(RecordMemory, IgnoringChecksumsGivesTheBytesAsTheyAre) {
  test::TorchZip zip = test::base_zip();
  const auto memory = open(flipped(zip, 5), TestSource::Access::mapped, Checksums::ignore).memory();
  ASSERT_TRUE(memory->bytes());
  EXPECT_EQ(memory->integrity(), Integrity::not_checked);
}

TEST(RecordMemory, A07_ARecordWithoutACrcSaysSo) {
  test::TorchZip zip = test::base_zip();
  zip.crc = false;
  const auto memory = open(zip.build(), TestSource::Access::mapped).memory();
  ASSERT_TRUE(memory->bytes());
  EXPECT_EQ(memory->integrity(), Integrity::not_computed);
}

TEST(RecordMemory, Z20_AMovedDataStartIsRefusedWhenTheRecordIsUsed) {
  test::TorchZip zip = test::base_zip();
  test::Bytes bytes = zip.build();
  const std::uint64_t field = zip.place("data/0").local + 28;
  test::put<std::uint16_t>(bytes, field, static_cast<std::uint16_t>(test::get<std::uint16_t>(bytes, field) + 4));
  for (const TestSource::Access access : kBoth) {
    const auto answer = open(bytes, access).memory()->bytes();
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::ambiguous);
    EXPECT_EQ(answer.error().finding.record, "data/0");
  }
}

TEST(RecordMemory, AFailedReadIsAnIoErrorOfTheRecord) {
  test::TorchZip zip = long_zip();
  const test::Bytes bytes = zip.build();
  const Opened opened = open(bytes, TestSource::Access::read_only);
  opened.source->fail_within(zip.place("data/0").data, zip.place("data/0").data_end);
  const auto answer = opened.memory()->bytes();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::io);
  EXPECT_EQ(answer.error().finding.record, "data/0");
}

TEST(RecordMemory, ManyThreadsReadItOnce) {
  test::TorchZip zip = test::base_zip();
  const Opened opened = open(zip.build(), TestSource::Access::read_only);
  const auto memory = opened.memory();
  std::atomic<const std::byte*> seen{nullptr};
  std::atomic<int> same{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const std::byte* data = memory->bytes().value().data();
      const std::byte* expected = nullptr;
      if (seen.compare_exchange_strong(expected, data) || expected == data) ++same;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(same, 8);
  const std::uint64_t reads = opened.source->reads();
  ASSERT_TRUE(memory->bytes());
  EXPECT_EQ(opened.source->reads(), reads);
}

TEST(RecordMemory, TheBytesOutliveTheArchive) {
  test::TorchZip zip = test::base_zip();
  std::shared_ptr<RecordMemory> memory;
  {
    const Opened opened = open(zip.build(), TestSource::Access::read_only);
    memory = opened.memory();
  }
  EXPECT_EQ(memory->bytes().value().size(), 32u);
  EXPECT_EQ(memory->record(), "data/0");
}

}  // namespace
}  // namespace rushlight::checkpoint
