// Sparse, nested and quantised tensors, big-endian archives and files inside pickles, from the bytes of a file.
#include <gtest/gtest.h>

#include <complex>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fail.hpp"
#include "opened_bytes.hpp"
#include "rushlight/digest.hpp"
#include "support/legacy_builder.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using Ints = std::vector<std::int64_t>;

PickleBuilder start() {
  PickleBuilder pickle;
  pickle.proto(2);
  return pickle;
}

// A tensor on a storage of `numel` elements, from its first one.
void tensor(PickleBuilder& p, std::string_view storage_class, std::string_view key, std::int64_t numel,
            const Ints& shape) {
  p.global("torch._utils", "_rebuild_tensor_v2").mark().storage(storage_class, key, numel);
  rest_of_tensor(p, shape).tuple().reduce();
}

void sparse_coo(PickleBuilder& p, std::string_view indices, std::string_view values, const Ints& size) {
  p.global("torch._utils", "_rebuild_sparse_tensor");
  p.global("torch.serialization", "_get_layout").text("torch.sparse_coo").tuple1().reduce().mark();
  tensor(p, "LongStorage", indices, 4, {2, 2});
  tensor(p, "FloatStorage", values, 2, {2});
  p.integers(size).tuple().tuple2().reduce();
}

TorchZip zip_of(const PickleBuilder& pickle, const Ints& indices) {
  TorchZip zip("base");
  zip.add("data.pkl", pickle.bytes()).add("data/0", bytes_of(indices));
  zip.add("data/1", bytes_of(std::vector<float>{1, 2})).add("byteorder", "little").add("version", "3\n");
  return zip;
}

// --- verify
// ---------------------------------------------------------------------------------------------------------

TEST(VerifyComposites, T16_IndicesOutsideOfTheTensorAreAnError) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("s");
  sparse_coo(pickle, "0", "1", {2, 3});
  pickle.put(0).setitem().text("again").get(0).setitem().stop();
  TorchZip good = zip_of(pickle, {0, 1, 2, 0});
  EXPECT_TRUE(verified(good.build()).ok) << lines_of(verified(good.build()));
  TorchZip wrong = zip_of(pickle, {0, 1, 2, 3});
  const Bytes bytes = wrong.build();
  // Opening leaves the indices alone.
  EXPECT_EQ(verdict_of(bytes), "ok");
  const VerifyReport report = verified(bytes);
  EXPECT_FALSE(report.ok);
  EXPECT_TRUE(report.structure_ok);
  // Once, though it has two names.
  EXPECT_EQ(lines_of(report), "tensor TENSOR-SPARSE-INDEX: tensor 's': indices 3, expected from 0 to 2, found 3");
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_EQ(report.findings[0].tensors, std::vector<std::string>{"s"});
  EXPECT_EQ(report.findings[0].file, "test.pt");
  EXPECT_EQ(report.findings[0].severity, Severity::error);
  ASSERT_EQ(report.tensors.size(), 4u);
  EXPECT_EQ(report.tensors[0].name, "s.indices");
  EXPECT_EQ(report.tensors[0].state, TensorState::intact);
}

TEST(VerifyComposites, DamagedIndicesAreOneFindingNotTwo) {
  PickleBuilder pickle = start();
  sparse_coo(pickle, "0", "1", {2, 3});
  pickle.stop();
  TorchZip zip = zip_of(pickle, {0, 1, 2, 0});
  Bytes bytes = zip.build();
  put<std::uint8_t>(bytes, zip.place("data/0").data + 7, 0x40);
  const VerifyReport report = verified(bytes);
  ASSERT_EQ(report.findings.size(), 1u) << lines_of(report);
  EXPECT_EQ(report.findings[0].code, "CRC-MISMATCH");
}

TEST(VerifyComposites, T18_NestedTensorsInFilesWithoutChecksumsAreCheckedToo) {
  const auto with = [](const Ints& offsets) {
    LegacyFile file;
    file.object.empty_dict().text("n").global("torch.nested._internal.nested_tensor", "_rebuild_njt").empty_dict();
    file.object.text("values");
    legacy_tensor(file.object, {.key = "0", .numel = 6}, {6});
    file.object.setitem().text("offsets");
    legacy_tensor(file.object, {.storage_class = "LongStorage", .key = "1", .numel = 3}, {3});
    file.object.setitem().text("_ragged_idx").integer(1).setitem().tuple1().reduce().setitem().stop();
    file.add("0", bytes_of(std::vector<float>(6)), 4).add("1", bytes_of(offsets), 8);
    return lines_of(verified(file.build()));
  };
  EXPECT_EQ(with({0, 2, 6}), "");
  EXPECT_EQ(with({0, 2, 7}), "tensor TENSOR-SPARSE-INDEX: tensor 'n': offsets 2, expected from 2 to 6, found 7");
}

// A few hundred kilobytes of calls, each with 64 MiB of indices over one byte row.
TEST(VerifyComposites, IndicesThatRepeatTheFileAreNotCheckedForEver) {
  constexpr std::int64_t kCount = std::int64_t{1} << 22;
  PickleBuilder pickle = start();
  pickle.empty_list().mark();
  for (int i = 0; i < 64; ++i) {
    pickle.global("torch._utils", "_rebuild_sparse_tensor");
    pickle.global("torch.serialization", "_get_layout").text("torch.sparse_coo").tuple1().reduce().mark();
    for (const bool indices : {true, false}) {
      pickle.global("torch._utils", "_rebuild_tensor").mark();
      pickle.storage(indices ? "LongStorage" : "FloatStorage", indices ? "0" : "1", indices ? 4 : 2).integer(0);
      pickle.integers(indices ? Ints{1, kCount} : Ints{kCount})
          .integers(indices ? Ints{0, 0} : Ints{0})
          .tuple()
          .reduce();
    }
    pickle.integers(Ints{3}).tuple().tuple2().reduce();
  }
  pickle.appends().stop();
  TorchZip zip = zip_of(pickle, {0, 1, 2, 0});
  const VerifyReport report = verify(std::make_shared<TestSource>(zip.build())).value();
  ASSERT_EQ(report.findings.size(), 1u) << lines_of(report);
  EXPECT_EQ(report.findings[0].code, "LIMIT-INDICES");
  EXPECT_EQ(report.findings[0].category, Category::limit);
  EXPECT_FALSE(report.ok);
}

// --- digests
// --------------------------------------------------------------------------------------------------------

void expanded(PickleBuilder& p, std::int64_t numel) {
  p.global("torch._utils", "_rebuild_tensor").mark().storage("FloatStorage", "0", 8).integer(0);
  p.integers(Ints{numel}).integers(Ints{0}).tuple().reduce();
}

TEST(Digest, T11_ViewsThatRepeatTheFileForEverAreRefusedBeforeTheyAreHashed) {
  // 100,000 views of 60 MiB each over 32 bytes: six petabytes.
  PickleBuilder pickle = start();
  pickle.empty_list().mark();
  for (int i = 0; i < 100'000; ++i) expanded(pickle, 15 << 20);
  pickle.appends().stop();
  const Result<DigestReport> report = digest(open_pickle(pickle).value(), DigestAlgorithm::xxh3_128);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(line_of(report.error().finding),
            "limit LIMIT-DIGEST: the tensors repeat their 32 stored bytes too often to be hashed, expected at most "
            "68719477248 bytes in all, found 6291456000000");
  EXPECT_EQ(report.error().finding.file, "test.pt");
  // One of them is an ordinary tensor.
  PickleBuilder one = start();
  expanded(one, 1 << 10);
  EXPECT_TRUE(digest(open_pickle(one.stop()).value(), DigestAlgorithm::xxh3_128));
}

TEST(Digest, TensorsWithoutBytesHaveNone) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("w").global("torch._utils", "_rebuild_wrapper_subclass").mark().global("my", "Subclass");
  pickle.global("torch", "float32").integers(Ints{std::int64_t{1} << 50}).integers(Ints{1}).integer(0);
  pickle.global("torch.serialization", "_get_layout")
      .text("torch.strided")
      .tuple1()
      .reduce()
      .text("cpu")
      .boolean(false);
  pickle.tuple().reduce().setitem().text("m").global("torch._utils", "_rebuild_meta_tensor_no_storage").mark();
  pickle.global("torch", "float64").integers(Ints{std::int64_t{1} << 50}).integers(Ints{1}).boolean(false).tuple();
  pickle.reduce().setitem().text("t").tensor("FloatStorage", "0", Ints{8}).setitem().stop();
  const Checkpoint checkpoint = open_pickle(pickle).value();
  const Result<DigestReport> report = digest(checkpoint, DigestAlgorithm::xxh3_128);
  ASSERT_TRUE(report) << to_string(report.error());
  ASSERT_EQ(report->tensors.size(), 3u);
  EXPECT_EQ(report->tensors[0].digest, "");
  EXPECT_EQ(report->tensors[0].shape, Shape{std::int64_t{1} << 50});
  EXPECT_EQ(report->tensors[1].digest, "");
  EXPECT_EQ(report->tensors[2].digest.size(), 32u);
  EXPECT_EQ(report->content_digest.size(), 32u);
}

// --- big-endian archives
// --------------------------------------------------------------------------------------------------

TEST(BigEndian, Z46_EveryKindOfElementIsSwappedByItsUnit) {
  struct Row {
    const char* storage_class;
    std::int64_t numel;
    std::string_view stored;  // as a big-endian machine writes it
    std::string_view read;    // little-endian
  };
  // Complex numbers are two units each; bytes and halves of bytes have none.
  const Row rows[] = {
      {"FloatStorage", 2, "\x3f\x80\0\0\xc0\x20\0\0"sv, "\0\0\x80\x3f\0\0\x20\xc0"sv},
      {"DoubleStorage", 1, "\x3f\xf0\0\0\0\0\0\1"sv, "\1\0\0\0\0\0\xf0\x3f"sv},
      {"HalfStorage", 2, "\x3c\1\xbc\2"sv, "\1\x3c\2\xbc"sv},
      {"BFloat16Storage", 2, "\x3f\x81\xbf\x82"sv, "\x81\x3f\x82\xbf"sv},
      {"LongStorage", 1, "\1\2\3\4\5\6\7\x08"sv, "\x08\7\6\5\4\3\2\1"sv},
      {"IntStorage", 2, "\1\2\3\4\5\6\7\x08"sv, "\4\3\2\1\x08\7\6\5"sv},
      {"ShortStorage", 2, "\1\2\3\4"sv, "\2\1\4\3"sv},
      {"CharStorage", 3, "\1\2\3"sv, "\1\2\3"sv},
      {"ByteStorage", 3, "\1\2\3"sv, "\1\2\3"sv},
      {"BoolStorage", 3, "\1\0\1"sv, "\1\0\1"sv},
      {"ComplexFloatStorage", 1, "\x3f\x80\0\0\xc0\x20\0\0"sv, "\0\0\x80\x3f\0\0\x20\xc0"sv},
      {"ComplexDoubleStorage", 1, "\x3f\xf0\0\0\0\0\0\1\1\2\3\4\5\6\7\x08"sv,
       "\1\0\0\0\0\0\xf0\x3f\x08\7\6\5\4\3\2\1"sv},
  };
  for (const Row& row : rows) {
    PickleBuilder pickle = start();
    pickle.mark();
    tensor(pickle, row.storage_class, "0", row.numel, {row.numel});
    tensor(pickle, row.storage_class, "0", row.numel, {1});
    pickle.tuple().stop();
    TorchZip zip("base");
    zip.add("data.pkl", pickle.bytes()).add("data/0", row.stored).add("byteorder", "big").add("version", "3\n");
    const Bytes bytes = zip.build();
    const Result<Checkpoint> checkpoint = open_bytes(bytes, {.strict = true});
    ASSERT_TRUE(checkpoint) << row.storage_class << ": " << to_string(checkpoint.error());
    EXPECT_EQ(checkpoint->format().byteorder, "big");
    const Tensor whole = checkpoint->root()[0].as_tensor().value();
    EXPECT_EQ(as_text(whole.bytes().value()), row.read) << row.storage_class;
    // Two tensors on one storage still share it.
    EXPECT_TRUE(whole.shares_storage_with(checkpoint->root()[1].as_tensor().value())) << row.storage_class;
    EXPECT_EQ(whole.storage().record(), "data/0");
    EXPECT_TRUE(verified(bytes).ok);
  }
}

TEST(BigEndian, Z46_ADamagedRecordIsStillFound) {
  PickleBuilder pickle = start();
  tensor(pickle, "FloatStorage", "0", 2, {2});
  pickle.stop();
  TorchZip zip("base");
  zip.add("data.pkl", pickle.bytes())
      .add("data/0", "\x3f\x80\0\0\xc0\x20\0\0"sv)
      .add("byteorder", "big")
      .add("version", "3\n");
  Bytes bytes = zip.build();
  put<std::uint8_t>(bytes, zip.place("data/0").data, 0x3e);
  const Checkpoint checkpoint = open_bytes(bytes).value();
  EXPECT_EQ(checkpoint.root().as_tensor()->bytes().error().code, ErrorCode::checksum_mismatch);
  EXPECT_FALSE(verified(bytes).ok);
}

// --- files inside pickles
// -------------------------------------------------------------------------------------------------

// How pickle.dump() writes a storage: a legacy file that holds it.
std::string storage_file(const std::function<void(PickleBuilder&)>& object, const Bytes& data) {
  LegacyFile file;
  object(file.object);
  file.object.stop();
  if (!data.empty()) file.add("0", data, 4);
  return std::string(as_text(file.build()));
}
void floats(PickleBuilder& p) {
  legacy_storage(p, {.key = "0", .numel = 2});
}
void nested(PickleBuilder& p, std::string_view file) {
  p.global("torch.storage", "_load_from_bytes").bytes_value(file).tuple1().reduce();
}
PickleBuilder tensor_in_file(std::string_view file) {
  PickleBuilder pickle;
  pickle.proto(3).global("torch._utils", "_rebuild_tensor_v2").mark();
  nested(pickle, file);
  return rest_of_tensor(pickle, {2}).tuple().reduce().stop();
}

TEST(NestedFiles, AStorageMayBeAFileInsideAPickle) {
  const PickleBuilder pickle = tensor_in_file(storage_file(floats, bytes_of(std::vector<float>{1.5F, -2})));
  const Result<Checkpoint> checkpoint = open_bytes(pickle.copy());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root().as_tensor()->values<float>().value()[1], -2.0F);
}

TEST(NestedFiles, TheyNestOnceAndHoldAStorage) {
  const auto said = [](const std::string& file) {
    const std::string verdict = verdict_of(tensor_in_file(file).copy());
    return verdict.substr(0, verdict.find(" at ")) + verdict.substr(std::min(verdict.size(), verdict.find(": ")));
  };
  const std::string good = storage_file(floats, bytes_of(std::vector<float>{1, 2}));
  const std::string callee = ": tensor at the root: torch.storage._load_from_bytes: ";
  ASSERT_EQ(said(good), "ok");
  EXPECT_EQ(said(storage_file([&](PickleBuilder& p) { nested(p, good); }, {})),
            "limit LIMIT-NESTED-FILES" + callee + "files are nested deeper than torch nests them");
  EXPECT_EQ(said(storage_file([](PickleBuilder& p) { p.integer(1); }, {})),
            "type TYPE-NESTED-FILE" + callee + "the file inside the pickle holds no storage, found int");
  // Found by the checkpoint fuzzer: the name of a class reached a message as it was.
  EXPECT_EQ(said(storage_file([](PickleBuilder& p) { p.global("torch", "F\x02r"); }, {})),
            "type TYPE-NESTED-FILE" + callee + "the file inside the pickle holds no storage, found torch.F\\x02r");
  EXPECT_EQ(said("nonsense").substr(0, 4), "pkl ");
  EXPECT_EQ(said(good.substr(0, good.size() - 1)),
            "trunc LEGACY-TRUNCATED" + callee + "storage '0' (1 of 1) ends early, expected 8 bytes, found 7");
  EXPECT_EQ(said("").substr(0, 17), "pkl PKL-TRUNCATED");
}

// One file named by 50,000 calls is read and kept once.
TEST(NestedFiles, OneFileThatManyCallsNameIsReadOnce) {
  PickleBuilder pickle;
  pickle.proto(3).bytes_value(storage_file(floats, bytes_of(std::vector<float>{1, 2}))).put(0).pop();
  pickle.global("torch.storage", "_load_from_bytes").put(1).pop().empty_list().mark();
  for (int i = 0; i < 50'000; ++i) pickle.get(1).get(0).tuple1().reduce();
  pickle.appends().stop();
  const Result<Checkpoint> checkpoint = open_bytes(pickle.copy());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  ASSERT_EQ(checkpoint->root().size(), 50'000u);
  const Storage first = checkpoint->root()[0].as_storage().value();
  EXPECT_TRUE(first == checkpoint->root()[49'999].as_storage().value());
}

}  // namespace
}  // namespace rushlight::test
