// Whole files, cut at every byte and with every bit flipped: no crash, no silence, and never damaged data given out as
// verified (Z01, Z50 and issue 4 point 6).
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/fail.hpp"
#include "support/test_source.hpp"
#include "support/zip_builder.hpp"
#include "zip/verdict.hpp"

namespace rushlight::test {
namespace {

// What a file cut after `size` bytes is called, told from where its parts lie.
std::string expected_for_cut(const TorchZip& zip, std::uint64_t size) {
  const ArchivePlaces& places = zip.places();
  const std::string bytes = std::to_string(size) + " bytes";
  if (size == 0) return "kind ZIP-NONE at 0x0: file is empty\n";
  if (size < 22) {
    return "kind ZIP-NONE at 0x0: file is too short for a zip archive, expected at least 22 bytes, found " +
           std::to_string(size) + "\n";
  }
  const std::string start = "trunc ZIP-TRUNCATED at " + hex(size) + ": ";
  if (size >= places.directory + 4) {
    return start + "end record missing: the file ends after " + bytes + ", " +
           (size >= places.directory_end ? "behind" : "in") + " the central directory, all " +
           std::to_string(places.records.size()) + " records before it are complete\n";
  }
  std::string last, in_record;
  std::size_t complete = 0;
  for (const RecordPlace& record : places.records) {
    if (record.descriptor_end <= size) {
      last = record.name;
      complete += 1;
    } else if (record.local + 30 + record.name.size() <= size) {
      in_record = ", in record '" + record.name + "'";
    }
  }
  return start + "central directory missing: the file ends after " + bytes + in_record +
         (complete == 0 ? ", no record is complete"
                        : ", the last complete record is '" + last + "' (" + std::to_string(complete) +
                              (complete == 1 ? " record" : " records") + " in all)") +
         "\n";
}

TEST(ZipDamage, Z01_AFileCutAtAnyByteSaysHowFarItGot) {
  TorchZip zip = base_zip();
  zip.add("empty", "").add("data/2", "wide");
  zip.record("data/2").local_extra = extra_field(zip::kExtraZip64, bytes_of(std::vector<std::uint64_t>{4, 0}));
  zip.record("data/2").descriptor_form = DescriptorForm::signed_64;
  const Bytes good = zip.build();
  ASSERT_EQ(judge(good).text(), "");
  for (std::size_t size = 0; size < good.size(); ++size) {
    const Verdict verdict = judge(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)));
    ASSERT_EQ(verdict.text(), expected_for_cut(zip, size));
    ASSERT_EQ(verdict.code, size < 22 ? ErrorCode::not_a_checkpoint : ErrorCode::truncated);
  }
}

TEST(ZipDamage, Z01_ALargeFileCutAnywhereIsTruncated) {
  TorchZip zip("base");
  std::minstd_rand random(1);
  for (int i = 0; i < 40; ++i) {
    Bytes data(random() % 60000);
    for (std::byte& byte : data) byte = std::byte(random() & 0xFF);
    zip.add("data/" + std::to_string(i), data);
  }
  const Bytes good = zip.build();
  for (int i = 0; i < 40; ++i) {
    const std::size_t size = 22 + random() % (good.size() - 22);
    const Verdict verdict = judge(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)));
    ASSERT_EQ(verdict.text(), expected_for_cut(zip, size));
  }
}

TEST(ZipDamage, Z01_AFileCutBeforeItsFirstHeaderIsCompleteIsTruncatedStill) {
  TorchZip zip("base");
  zip.add("a-record-with-a-name", "x");
  Bytes bytes = zip.build();
  for (const std::size_t size : {22u, 29u, 30u, 35u}) {
    bytes.resize(size);
    EXPECT_EQ(judge(bytes).text(), "trunc ZIP-TRUNCATED at " + hex(size) +
                                       ": central directory missing: the file ends after " + std::to_string(size) +
                                       " bytes, no record is complete\n");
    bytes = zip.build();
  }
}

TEST(ZipDamage, Z01_ATruncatedFileIsWalkedAsFarAsTheSearchMayGo) {
  // A first record of 70 MiB: its end is beyond what is searched, and the message does without.
  TorchZip zip("base");
  zip.add("data/0", repeated(std::size_t{70} << 20, 1));
  Bytes bytes = zip.build();
  bytes.resize(zip.place("data/0").data_end);
  EXPECT_EQ(judge(bytes).text(), "trunc ZIP-TRUNCATED at " + hex(bytes.size()) +
                                     ": central directory missing: the file ends after " +
                                     std::to_string(bytes.size()) + " bytes\n");
}

// An archive with one of everything: about 4 KB.
TorchZip varied_zip() {
  TorchZip zip("base");
  zip.add("data.pkl", base_pickle());
  zip.add("byteorder", "little");
  zip.add("data/0", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  zip.add("empty", "");
  zip.add("data/1", bytes_of(std::vector<std::int64_t>{0, 1, 2, 3}));
  zip.add("code/x.py", std::string(500, '#'));
  zip.record("code/x.py").deflate = true;
  zip.add("data/2", Bytes(1200, std::byte{0x3F}));
  zip.record("data/2").local_extra = [] {
    Bytes extra = extra_field(zip::kExtraZip64, bytes_of(std::vector<std::uint64_t>{1200, 0}));
    const Bytes padding = extra_field(zip::kExtraPadding, repeated(3, 'Z'));
    extra.insert(extra.end(), padding.begin(), padding.end());
    return extra;
  }();
  zip.record("data/2").descriptor_form = DescriptorForm::signed_64;
  zip.add("notes", std::string(1000, 'n'));
  zip.add("version", "3\n");
  return zip;
}

struct Answer {
  bool silent = false;  // nothing was said at all
  std::uint64_t explained = 0;
  std::string text;
};

// Opens, audits, reads everything; whatever is called verified must be what `zip` put in.
Answer ask(const TorchZip& built, const Bytes& bytes, TestSource::Access access) {
  TorchZip zip = built;
  Answer answer;
  std::vector<Finding> said;
  auto archive = zip::Archive::open(std::make_shared<TestSource>(bytes, access), {}, said);
  if (!archive) {
    answer.text = line(archive.error());
    return answer;
  }
  auto audit = (*archive)->audit(nullptr, nullptr);
  if (!audit) {
    ADD_FAILURE() << line(audit.error());
    return answer;
  }
  said.insert(said.end(), audit->findings.begin(), audit->findings.end());
  for (const Finding& finding : said) answer.text += line(finding) + "\n";
  answer.silent = said.empty();
  answer.explained = audit->explained_bytes;
  std::map<std::string_view, const RecordPlan*> originals;
  for (const RecordPlan& plan : zip.records()) originals[plan.name] = &plan;
  for (const zip::RecordAudit& record : audit->records) {
    auto read = (*archive)->read(*record.entry, 1 << 20);
    const bool verified = record.crc && record.crc->state == zip::CrcState::verified;
    EXPECT_TRUE(!verified || read);  // what the audit verified can be read
    if (!read) continue;
    EXPECT_EQ(verified, zip::Archive::check_crc(*record.entry, read->span(), nullptr).state == zip::CrcState::verified);
    const auto original = originals.find(record.entry->name);
    if (verified && original != originals.end()) {
      EXPECT_EQ(as_text(read->span()), as_text(original->second->data));
    }
  }
  return answer;
}

// Flips every bit; gives the byte offsets at which some flip went unnoticed.
std::map<std::uint64_t, int> silent_flips(TorchZip& zip) {
  const Bytes good = zip.build();
  EXPECT_EQ(judge(good).text(), "");
  std::map<std::uint64_t, int> silent;
  Bytes bytes = good;
  for (std::uint64_t offset = 0; offset < good.size(); ++offset) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[offset] = good[offset] ^ std::byte(1 << bit);
      const Answer mapped = ask(zip, bytes, TestSource::Access::mapped);
      if (mapped.silent) silent[offset] += 1;
      const Answer read = ask(zip, bytes, TestSource::Access::read_only);
      EXPECT_EQ(mapped.text, read.text) << offset;
      EXPECT_EQ(mapped.explained, read.explained) << offset;
      if (testing::Test::HasFailure()) return silent;
    }
    bytes[offset] = good[offset];
  }
  return silent;
}

TEST(ZipDamage, NoSingleBitOfATorchFileFlipsSilently) {
  TorchZip zip = varied_zip();
  EXPECT_GT(zip.build().size(), 3800);
  // Deflated data may spell one content in several ways (unused bits behind the last block, matches of equal effect).
  // Such flips change nothing that anyone reads: silent_flips() has compared the content.
  const RecordPlace deflated_record = zip.place("code/x.py");
  for (const auto& [offset, count] : silent_flips(zip)) {
    EXPECT_GE(offset, deflated_record.data) << count << " flips of the byte at " << hex(offset);
    EXPECT_LT(offset, deflated_record.data_end) << count << " flips of the byte at " << hex(offset);
  }
  // All stored, as torch writes its files: none at all.
  TorchZip stored = varied_zip();
  stored.record("code/x.py").deflate = false;
  EXPECT_EQ(silent_flips(stored), (std::map<std::uint64_t, int>{}));
}

TEST(ZipDamage, InAForeignFileOnlyTheWritersOwnFieldsFlipSilently) {
  // No padding, no descriptors, no zip64 end record: as a zip tool writes. Nothing in the format says twice, or
  // restricts, who made an entry and which attributes the file had there.
  TorchZip zip = base_zip();
  zip.alignment = 0;
  zip.descriptors = false;
  zip.zip64_end = false;
  const auto silent = silent_flips(zip);
  std::map<std::uint64_t, int> expected;
  for (const RecordPlace& place : zip.places().records) {
    // made-by, internal and external attributes of each central entry
    for (const std::uint64_t field : {4u, 5u, 36u, 37u, 38u, 39u, 40u, 41u}) expected[place.central + field] = 8;
  }
  EXPECT_EQ(silent, expected);
}

TEST(ZipDamage, RandomDamageIsNeverGivenOutAsVerified) {
  TorchZip zip = varied_zip();
  const Bytes good = zip.build();
  std::minstd_rand random(7);
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = good;
    const int changes = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < changes; ++i) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = std::byte(random() & 0xFF);
          break;
        case 1: {  // a run of one value
          const std::size_t length = std::min<std::size_t>(random() % 64, bytes.size() - at);
          const std::byte value = (random() & 1) != 0 ? std::byte{0} : std::byte{0xFF};
          std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), length, value);
          break;
        }
        case 2: {  // a copy of something else
          const std::size_t from = random() % bytes.size();
          const std::size_t length = std::min({std::size_t{random() % 128}, bytes.size() - at, bytes.size() - from});
          const Bytes copy(bytes.begin() + static_cast<std::ptrdiff_t>(from),
                           bytes.begin() + static_cast<std::ptrdiff_t>(from + length));
          std::copy(copy.begin(), copy.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
          break;
        }
        default: {  // bytes lost or gained
          const std::size_t length = std::min<std::size_t>(random() % 16, bytes.size() - at - 1);
          const auto where = bytes.begin() + static_cast<std::ptrdiff_t>(at);
          if ((random() & 1) != 0) {
            bytes.erase(where, where + static_cast<std::ptrdiff_t>(length));
          } else {
            bytes.insert(where, length, std::byte{0});
          }
        }
      }
    }
    const Answer mapped = ask(zip, bytes, TestSource::Access::mapped);
    const Answer read = ask(zip, bytes, TestSource::Access::read_only);
    ASSERT_EQ(mapped.text, read.text) << "round " << round;
    ASSERT_EQ(mapped.silent, bytes == good && mapped.text.empty()) << "round " << round;
  }
}

TEST(ZipDamage, RecordsPutInEachOthersPlaceAreFound) {
  // data/0 and data/1 have the same size and name length: whole records change places, headers and all.
  TorchZip zip = base_zip();
  Bytes bytes = zip.build();
  const RecordPlace a = zip.place("data/0");
  const RecordPlace b = zip.place("data/1");
  ASSERT_EQ(a.data_end - a.data, b.data_end - b.data);
  std::swap_ranges(bytes.begin() + static_cast<std::ptrdiff_t>(a.data),
                   bytes.begin() + static_cast<std::ptrdiff_t>(a.data_end),
                   bytes.begin() + static_cast<std::ptrdiff_t>(b.data));
  const std::string crc_a = hex8(plain_crc32(zip.record("data/0").data));
  const std::string crc_b = hex8(plain_crc32(zip.record("data/1").data));
  EXPECT_EQ(judge(bytes).text(), "crc CRC-MISMATCH base/data/0 at " + hex(a.data) + ": crc-32 mismatch, stored " +
                                     crc_a + ", computed " + crc_b + "\n" + "crc CRC-MISMATCH base/data/1 at " +
                                     hex(b.data) + ": crc-32 mismatch, stored " + crc_b + ", computed " + crc_a + "\n");
}

TEST(ZipDamage, Z50_AZeroedPageIsFoundWhereItBegins) {
  TorchZip zip("base");
  zip.add("data.pkl", std::string(100, 'p')).add("data/0", repeated(20000, 1)).add("version", "3\n");
  const Bytes good = zip.build();
  Bytes bytes = good;
  std::fill_n(bytes.begin(), 512, std::byte{0});
  EXPECT_EQ(judge(bytes).text().substr(0, 47), "ambig ZIP-LOCAL-SIGNATURE base/data.pkl at 0x0:");
  bytes = good;
  std::fill_n(bytes.begin() + 4096, 4096, std::byte{0});
  EXPECT_EQ(judge(bytes).text().substr(0, 32), "crc CRC-MISMATCH base/data/0 at ");
}

}  // namespace
}  // namespace rushlight::test
