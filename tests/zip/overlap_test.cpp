// Z34 and Z39 of hostile-inputs 2b as attackers build them: zip bombs whose records share their bytes, refused from the
// central directory alone; and Z01 on a large file.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "base/fail.hpp"
#include "support/test_source.hpp"
#include "support/zip_builder.hpp"
#include "zip/verdict.hpp"

namespace rushlight::test {
namespace {

std::string overlap(const std::string& first, std::uint64_t begin, std::uint64_t end, const std::string& second,
                    std::uint64_t at) {
  return "ambig ZIP-OVERLAP " + second + " at " + hex(at) + ": records overlap, '" + first + "' takes at least [" +
         hex(begin) + ", " + hex(end) + ") and '" + second + "' begins at " + hex(at) + "\n";
}

TEST(ZipOverlap, Z34_ARecordThatBeginsWithinAnothersTailOverlaps) {
  // data/1 is said to begin on every byte from the header of data/0 to the end of its data.
  TorchZip zip = base_zip();
  (void)zip.build();
  const RecordPlace first = zip.place("data/0");
  const std::uint64_t taken = first.local + 30 + 11 + 32;  // header, name and data; the extra field is not read yet
  for (std::uint64_t at = first.local; at < taken; ++at) {
    zip.record("data/1").central = [=](zip::CentralEntry& entry) {
      entry.header_offset = static_cast<std::uint32_t>(at);
    };
    ASSERT_EQ(judge(zip.build()).text(), overlap("base/data/0", first.local, taken, "base/data/1", at));
  }
}

// Fifield's construction with quoted headers: each record is a stored DEFLATE block that holds the next local header,
// and goes on with that record's data, down to one kernel of zeros.
struct Bomb {
  Bytes bytes;
  std::uint64_t first_data = 0;
  std::uint64_t inflated_bytes = 0;
};
Bomb quoted_bomb(int records, std::size_t kernel_bytes) {
  const Bytes kernel = deflated(repeated(kernel_bytes, 0));
  constexpr std::size_t kBlock = 5;
  const auto name_of = [](int i) { return "bomb/" + std::to_string(1000 + i); };
  const std::size_t header = zip::LocalHeader::kBytes + name_of(0).size();
  TorchZip directory("bomb");
  directory.descriptors = false;
  directory.alignment = 0;
  Bytes body;
  for (int i = 0; i < records; ++i) {
    const std::uint64_t quotes = static_cast<std::uint64_t>(records - 1 - i);
    const std::uint64_t compressed = quotes * (kBlock + header) + kernel.size();
    const std::uint64_t size = quotes * header + kernel_bytes;
    const std::uint64_t offset = static_cast<std::uint64_t>(i) * (header + kBlock);
    if (i > 0) {
      const auto length = static_cast<std::uint16_t>(header);
      for (const unsigned byte : {0u, length & 0xFFu, static_cast<unsigned>(length >> 8), ~length & 0xFFu,
                                  static_cast<unsigned>(~length >> 8) & 0xFFu}) {
        body.push_back(static_cast<std::byte>(byte));
      }
    }
    Bytes local(zip::LocalHeader::kBytes);
    put<std::uint32_t>(local, 0, zip::LocalHeader::kSignature);
    put<std::uint16_t>(local, 8, 8);
    put<std::uint32_t>(local, 18, static_cast<std::uint32_t>(compressed));
    put<std::uint32_t>(local, 22, static_cast<std::uint32_t>(size));
    put<std::uint16_t>(local, 26, static_cast<std::uint16_t>(name_of(i).size()));
    body.insert(body.end(), local.begin(), local.end());
    const Bytes name = to_bytes(name_of(i));
    body.insert(body.end(), name.begin(), name.end());
    directory.add_full_name(name_of(i), repeated(1, 0));
    directory.records().back().in_file = false;
    directory.records().back().central = [=](zip::CentralEntry& entry) {
      entry.method = 8;
      entry.flags = 0;
      entry.crc = 0;
      entry.compressed_bytes = static_cast<std::uint32_t>(compressed);
      entry.size_bytes = static_cast<std::uint32_t>(size);
      entry.header_offset = static_cast<std::uint32_t>(offset);
    };
  }
  body.insert(body.end(), kernel.begin(), kernel.end());
  Bomb bomb;
  bomb.first_data = header;
  bomb.inflated_bytes = static_cast<std::uint64_t>(records) * kernel_bytes;
  directory.before_directory = body;
  bomb.bytes = directory.build();
  return bomb;
}

TEST(ZipOverlap, Z34_AQuotedOverlapBombIsRefusedFromItsDirectory) {
  const Bomb bomb = quoted_bomb(250, 1 << 20);
  ASSERT_LT(bomb.bytes.size(), 42000u);
  ASSERT_GE(bomb.inflated_bytes, std::uint64_t{250} << 20);
  // What makes it a bomb: without the check each record alone would inflate.
  const std::uint64_t first = get<std::uint32_t>(bomb.bytes, 18);
  const std::uint64_t second = bomb.first_data + 5;
  EXPECT_EQ(judge(bomb.bytes).text(), overlap("bomb/1000", 0, bomb.first_data + first, "bomb/1001", second));
}

TEST(ZipOverlap, Z39_AFullOverlapBombNamesBothRecords) {
  TorchZip zip("bomb");
  zip.descriptors = false;
  zip.alignment = 0;
  zip.add("kernel", repeated(1 << 20, 0));
  zip.record("kernel").deflate = true;
  for (int i = 0; i < 200; ++i) {
    zip.add("f" + std::to_string(i), repeated(1 << 20, 0));
    RecordPlan& record = zip.records().back();
    record.deflate = true;
    record.in_file = false;
    record.same_place_as = "bomb/kernel";
  }
  const Bytes bytes = zip.build();
  ASSERT_LT(bytes.size(), 42000u);
  const std::uint64_t compressed = get<std::uint32_t>(bytes, 18);
  EXPECT_EQ(judge(bytes).text(), overlap("bomb/kernel", 0, 30 + 11 + compressed, "bomb/f0", 0));
}

TEST(ZipOverlap, A06_Zip64EndRecordsOfATinyArchiveAreOrdinary) {
  TorchZip zip = base_zip();
  const Bytes bytes = zip.build();
  ASSERT_LT(bytes.size(), 2000u);
  ASSERT_EQ(get<std::uint32_t>(bytes, zip.places().end64), zip::End64Record::kSignature);
  ASSERT_EQ(get<std::uint16_t>(bytes, zip.places().end + 10), 5);  // the end record states its fields all the same
  const Verdict verdict = judge(bytes);
  EXPECT_EQ(verdict.text(), "");
  EXPECT_TRUE(verdict.fully_explained());
}

// The first bytes of a buffer, as a mapped file.
class Prefix final : public Source {
 public:
  Prefix(std::shared_ptr<const Bytes> bytes, std::size_t size) : bytes_(std::move(bytes)), size_(size) {}
  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_; }
  [[nodiscard]] std::string_view name() const noexcept override { return "test.pt"; }
  [[nodiscard]] std::span<const std::byte> mapping() const noexcept override { return std::span(*bytes_).first(size_); }
  Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    std::copy_n(bytes_->begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }

 private:
  std::shared_ptr<const Bytes> bytes_;
  std::size_t size_;
};

TEST(ZipOverlap, Z01_AThousandCutsOfALargeFileAreTruncations) {
  // 100 MiB, the small records first: most cuts fall among them, where the walk that counts them is short.
  TorchZip zip("base");
  for (int i = 0; i < 128; ++i) zip.add("data/" + std::to_string(i), repeated(std::size_t{64} << 10, 0x3F));
  for (int i = 128; i < 151; ++i) zip.add("data/" + std::to_string(i), repeated(std::size_t{4} << 20, 0x3F));
  const auto whole = std::make_shared<const Bytes>(zip.build());
  ASSERT_GT(whole->size(), std::size_t{100} << 20);
  std::minstd_rand random(11);
  for (int i = 0; i < 1000; ++i) {
    const std::size_t span = i % 50 == 0 ? zip.places().directory : std::size_t{8} << 20;
    const std::size_t size = 22 + (std::size_t{random()} << 8 ^ random()) % (span - 22);
    std::vector<Finding> oddities;
    const auto archive = zip::Archive::open(std::make_shared<Prefix>(whole, size), {}, oddities);
    ASSERT_FALSE(archive);
    ASSERT_EQ(archive.error().code, ErrorCode::truncated);
    // The walk over the records is bounded; where it comes to its end it says how far it got.
    const std::string start = "trunc ZIP-TRUNCATED at " + hex(size) +
                              ": central directory missing: the file ends after " + std::to_string(size) + " bytes";
    const std::string said = line(archive.error());
    ASSERT_EQ(said.substr(0, start.size()), start);
    if (size >= std::size_t{64} << 20) continue;
    std::size_t complete = 0;
    while (zip.places().records[complete].descriptor_end <= size) ++complete;
    const RecordPlace& next = zip.places().records[complete];
    std::string rest = next.local + 30 + next.name.size() <= size ? ", in record '" + next.name + "'" : "";
    rest += complete == 0 ? ", no record is complete"
                          : ", the last complete record is '" + zip.places().records[complete - 1].name + "' (" +
                                std::to_string(complete) + (complete == 1 ? " record" : " records") + " in all)";
    ASSERT_EQ(said.substr(start.size()), rest);
  }
}

}  // namespace
}  // namespace rushlight::test
