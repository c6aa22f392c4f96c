// S rows of the catalogue of hostile inputs: which record a tensor's bytes come from, and whether it may.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "opened_bytes.hpp"

namespace rushlight::test {
namespace {

const std::vector<std::int64_t> kEight{8};

// The records of base_zip(), to be put into another archive.
std::vector<RecordPlan> base_records() {
  TorchZip zip = base_zip();
  return zip.records();
}

// {"w": a tensor over the storage that `key`, class and numel name}, and where its BINPERSID stands in data.pkl.
struct Named {
  PickleBuilder pickle;
  std::uint64_t persistent_id = 0;
};
Named tensor_over(std::string_view storage_class, std::string_view key, std::int64_t numel) {
  Named named;
  named.pickle.proto(2).empty_dict().text("w").global("torch._utils", "_rebuild_tensor").mark();
  named.pickle.storage(storage_class, key, numel);
  named.persistent_id = named.pickle.size() - 1;
  named.pickle.integer(0).integers(std::vector<std::int64_t>{1}).integers(std::vector<std::int64_t>{1}).tuple();
  named.pickle.reduce().setitem().stop();
  return named;
}

// Offsets in a message are those in the file: of data.pkl, plus that in the pickle.
std::uint64_t in_file(const PickleBuilder& pickle, std::uint64_t offset) {
  TorchZip zip = zip_with(pickle);
  (void)zip.build();
  return zip.place("data.pkl").data + offset;
}

std::string refused(const Named& named) {
  const Result<Checkpoint> checkpoint = open_pickle(named.pickle);
  if (checkpoint) return "ok";
  EXPECT_EQ(checkpoint.error().finding.tensors, std::vector<std::string>{"w"});
  EXPECT_EQ(checkpoint.error().finding.record_offset, named.persistent_id);
  const std::string at = " data.pkl at " + hex(in_file(named.pickle, named.persistent_id)) + ": tensor 'w': ";
  const std::string said = line_of(checkpoint.error().finding);
  const std::size_t where = said.find(at);
  EXPECT_NE(where, std::string::npos) << said;
  return where == std::string::npos ? said : said.substr(0, where) + ": " + said.substr(where + at.size());
}

TEST(HostileStorages, S01_AKeyIsFoundExactlyOrNotAtAll) {
  for (const char* key : {"7", "", "00", "+0", "0x0", "0 ", " 0", "0/", "../data/0"}) {
    EXPECT_EQ(refused(tensor_over("FloatStorage", key, 8)),
              "store STORE-MISSING: storage '" + std::string(key) + "' has no record 'data/" + key + "'");
  }
  const Result<Checkpoint> missing = open_pickle(tensor_over("FloatStorage", "2", 8).pickle);
  ASSERT_FALSE(missing);
  EXPECT_TRUE(missing.error().finding.hint == "the nearest records are data/0, data/1" ||
              missing.error().finding.hint == "the nearest records are data/1, data/0")
      << missing.error().finding.hint;
  // Of keys with letters the case counts.
  const Named upper = tensor_over("FloatStorage", "A", 8);
  TorchZip zip = zip_with(upper.pickle);
  zip.add("data/a", repeated(32, 0));
  EXPECT_EQ(open_bytes(zip.build()).error().finding.code, "STORE-MISSING");
}

TEST(HostileStorages, T09_ARecordIsAsLongAsItsStorageSays) {
  EXPECT_EQ(refused(tensor_over("FloatStorage", "0", 7)),
            "store STORE-SIZE: record 'data/0' does not fit its storage, expected 28 bytes, found 32");
  EXPECT_EQ(refused(tensor_over("FloatStorage", "0", 9)),
            "store STORE-SIZE: record 'data/0' does not fit its storage, expected 36 bytes, found 32");
  EXPECT_EQ(refused(tensor_over("ComplexDoubleStorage", "0", 3)),
            "store STORE-SIZE: record 'data/0' does not fit its storage, expected 48 bytes, found 32");
  EXPECT_EQ(refused(tensor_over("FloatStorage", "0", INT64_MAX)),
            "store STORE-OVERFLOW: storage '0' of 9223372036854775807 of float32 on 'cpu' overflows 64 bits");
  // A record that is no whole number of elements.
  const Named odd = tensor_over("FloatStorage", "2", 8);
  TorchZip zip = zip_with(odd.pickle);
  zip.add("data/2", repeated(33, 0));
  EXPECT_EQ(open_bytes(zip.build()).error().finding.message,
            "tensor 'w': record 'data/2' does not fit its storage, expected 32 bytes, found 33");
}

TEST(HostileStorages, S04_OneKeyUnderTwoDescriptionsNamesBoth) {
  struct Case {
    const char* storage_class;
    std::int64_t numel;
    const char* location;
    const char* shown;
  };
  for (const Case& second :
       {Case{"LongStorage", 4, "cpu", "4 of int64 on 'cpu'"}, Case{"FloatStorage", 4, "cpu", "4 of float32 on 'cpu'"},
        Case{"FloatStorage", 8, "cuda:0", "8 of float32 on 'cuda:0'"}}) {
    PickleBuilder pickle;
    pickle.proto(2).empty_dict().text("v").tensor("FloatStorage", "0", kEight).setitem();
    pickle.text("w").global("torch._utils", "_rebuild_tensor").mark();
    pickle.storage(second.storage_class, "0", second.numel, second.location);
    const std::uint64_t at = pickle.size() - 1;
    pickle.integer(0).integers(std::vector<std::int64_t>{1}).integers(std::vector<std::int64_t>{1}).tuple().reduce();
    pickle.setitem().stop();
    EXPECT_EQ(verdict_of(zip_with(pickle).build()),
              "store STORE-CONFLICT data.pkl at " + hex(in_file(pickle, at)) +
                  ": tensor 'w': storage '0' is named twice as different things, first as 8 of float32 on 'cpu', then "
                  "as " +
                  second.shown);
  }
}

TEST(HostileStorages, S07_ARecordThatNothingRefersToIsNotedAndRefusedWhenStrict) {
  TorchZip zip = base_zip();
  zip.add("data/99", "payload");
  const Bytes bytes = zip.build();
  const std::string said = "ambig ZIP-UNUSED-RECORD data/99 at " + hex(zip.place("data/99").central) +
                           ": 1 record belongs to no tensor: 'data/99' (7 bytes)";
  const Result<Checkpoint> checkpoint = open_bytes(bytes);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  ASSERT_EQ(checkpoint->findings().size(), 1u);
  EXPECT_EQ(checkpoint->findings()[0].severity, Severity::note);
  EXPECT_EQ(line_of(checkpoint->findings()[0]), said);
  LoadOptions strict;
  strict.strict = true;
  EXPECT_EQ(verdict_of(bytes, strict), said);
}

TEST(HostileStorages, S08_AStorageThatClaimsFortyGigabytes) {
  constexpr std::uint64_t kClaimed = 40'000'000'000;
  PickleBuilder pickle;
  pickle.proto(2).empty_dict().text("w");
  pickle.tensor("ByteStorage", "2", std::vector<std::int64_t>{static_cast<std::int64_t>(kClaimed)}).setitem().stop();
  for (const bool deflate : {true, false}) {
    TorchZip zip = zip_with(pickle);
    zip.add("data/2", repeated(1 << 16, 0));
    RecordPlan& record = zip.record("data/2");
    record.deflate = deflate;
    record.central = [=](zip::CentralEntry& entry) {
      entry.size_bytes = 0xFFFFFFFF;
      if (!deflate) entry.compressed_bytes = 0xFFFFFFFF;
    };
    const std::vector<std::uint64_t> sizes = deflate ? std::vector{kClaimed} : std::vector{kClaimed, kClaimed};
    record.central_extra = extra_field(zip::kExtraZip64, bytes_of(sizes));
    const std::string said = verdict_of(zip.build());
    const std::uint64_t central = zip.place("data/2").central;
    const std::string compressed = std::to_string(zip.place("data/2").data_end - zip.place("data/2").data);
    EXPECT_EQ(said, deflate ? "zip ZIP-DEFLATE-SIZE base/data/2 at " + hex(central + 24) + ": " + compressed +
                                  " deflated bytes cannot become 40000000000, at most 1032 times as many"
                            : "zip ZIP-RECORD-RANGE base/data/2 at " + hex(central + 42) +
                                  ": record of 40000000000 bytes at offset " + hex(zip.place("data/2").local) +
                                  " does not end before the central directory at " + hex(zip.places().directory));
  }
}

TEST(HostileStorages, S09_ManyTensorsOverOneStorageShareOneCopy) {
  constexpr std::size_t kTensors = 100'000;
  PickleBuilder pickle;
  pickle.proto(2).empty_list().mark();
  pickle.tensor("FloatStorage", "0", kEight);
  for (std::size_t i = 1; i < kTensors; ++i) pickle.tensor("FloatStorage", "0", kEight);
  pickle.appends().stop();
  const auto source = std::make_shared<TestSource>(zip_with(pickle).build(), TestSource::Access::read_only);
  const Result<Checkpoint> checkpoint = Checkpoint::open(source);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const std::byte* const first = checkpoint->root()[0].as_tensor()->bytes().value().data();
  const std::uint64_t reads = source->reads();
  for (std::size_t i = 0; i < kTensors; ++i) {
    ASSERT_EQ(checkpoint->root()[i].as_tensor()->bytes().value().data(), first);
  }
  EXPECT_EQ(source->reads(), reads);
  LoadOptions options;
  options.limits.tensors = kTensors - 1;
  const Result<Checkpoint> refused = open_pickle(pickle, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().finding.code, "LIMIT-TENSORS");
  EXPECT_EQ(refused.error().finding.message,
            "there are more tensors than the limit tensors, expected at most " + std::to_string(kTensors - 1));
}

TEST(HostileStorages, S10_StoragesAtAnyOffsetAreRead) {
  int odd = 0;
  for (const char* name : {"b", "ba", "bas", "base", "base5", "base56", "base567", "base5678"}) {
    TorchZip zip(name);
    zip.alignment = 0;
    for (const RecordPlan& plan : base_records()) zip.add(plan.name.substr(5), plan.data);
    const Bytes bytes = zip.build();
    odd += zip.place("data/0").data % 4 == 0 ? 0 : 1;
    for (const auto access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
      const Result<Checkpoint> checkpoint = Checkpoint::open(std::make_shared<TestSource>(bytes, access));
      ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
      EXPECT_TRUE(checkpoint->findings().empty());
      const auto a = checkpoint->root()["a"].as_tensor()->values<float>().value();
      for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(a[i], static_cast<float>(i));
      EXPECT_EQ(checkpoint->root()["b"].as_tensor()->values<std::int64_t>().value()[3], 3);
    }
  }
  EXPECT_GT(odd, 0);
}

TEST(HostileStorages, S12_AForgedDataStartIsRefusedAlikeMappedAndRead) {
  // torch's mapped and unmapped readers give different values for such a file.
  TorchZip zip = base_zip();
  Bytes bytes = zip.build();
  const RecordPlace place = zip.place("data/0");
  put<std::uint16_t>(bytes, place.local + 28,
                     static_cast<std::uint16_t>(get<std::uint16_t>(bytes, place.local + 28) + 4));
  const std::string said = "ambig ZIP-DESCRIPTOR data/0 at " + hex(place.data_end + 4) +
                           ": data start not explained: no data descriptor behind the data, which would end at " +
                           hex(place.data_end + 4);
  for (const auto access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
    const Result<Checkpoint> checkpoint = Checkpoint::open(std::make_shared<TestSource>(bytes, access));
    ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
    for (int i = 0; i < 2; ++i) {
      const Result<ByteSpan> touched = checkpoint->root()["a"].as_tensor()->bytes();
      ASSERT_FALSE(touched);
      EXPECT_EQ(touched.error().code, ErrorCode::ambiguous);
      EXPECT_EQ(line_of(touched.error().finding), said);
    }
    EXPECT_TRUE(checkpoint->root()["b"].as_tensor()->bytes());
  }
  EXPECT_EQ(lines_of(verified(bytes)), said);
}

TEST(HostileStorages, T23_FloatsOfAnyPatternAreGivenBitForBit) {
  const std::vector<std::uint32_t> patterns = {0x7FC00000, 0xFFC00001, 0x7F800001, 0xFFFFFFFF,
                                               0x7F800000, 0x00000001, 0x807FFFFF, 0x80000000};
  TorchZip zip = base_zip();
  zip.record("data/0").data = bytes_of(patterns);
  const Result<Checkpoint> checkpoint = open_bytes(zip.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const Result<ByteSpan> bytes = checkpoint->root()["a"].as_tensor()->bytes();
  ASSERT_TRUE(bytes);
  ASSERT_EQ(bytes->size(), 32u);
  EXPECT_EQ(std::memcmp(bytes->data(), patterns.data(), 32), 0);
}

}  // namespace
}  // namespace rushlight::test
