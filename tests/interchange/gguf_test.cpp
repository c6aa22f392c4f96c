#include "interchange/gguf.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_source.hpp"

namespace rushlight::interchange {
namespace {

using test::TestSource;
using Access = TestSource::Access;

template <class T>
std::string le(T value) {
  std::string bytes(sizeof value, '\0');
  store_le(reinterpret_cast<std::byte*>(bytes.data()), value);
  return bytes;
}
std::string text(const std::string& content) {
  return le<std::uint64_t>(content.size()) + content;
}
std::string pair(const std::string& key, std::uint32_t type, const std::string& value) {
  return text(key) + le(type) + value;
}
std::string array(std::uint32_t type, std::uint64_t count, const std::string& values) {
  return le(type) + le(count) + values;
}

// Writes GGUF, and any deviation from it.
struct GgufFile {
  std::uint32_t version = 3;
  std::vector<std::string> pairs;
  std::vector<std::string> tensors;
  std::uint64_t alignment = 32;
  std::string data;

  GgufFile& tensor(const std::string& name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                   std::uint64_t offset) {
    std::string info = text(name) + le(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t size : dims) info += le(size);
    tensors.push_back(info + le(type) + le(offset));
    return *this;
  }
  [[nodiscard]] std::string build() const {
    std::string file = "GGUF" + le(version) + le<std::uint64_t>(tensors.size()) + le<std::uint64_t>(pairs.size());
    for (const std::string& one : pairs) file += one;
    for (const std::string& one : tensors) file += one;
    if (!tensors.empty()) file.resize((file.size() + alignment - 1) / alignment * alignment, '\0');
    return file + data;
  }
};
GgufFile with_pair(const std::string& one) {
  GgufFile file;
  file.pairs.push_back(one);
  return file;
}

// A little of everything.
GgufFile small_file() {
  GgufFile file;
  file.pairs = {pair("general.architecture", 8, text("llama")), pair("general.alignment", 4, le<std::uint32_t>(64)),
                pair("tokenizer.ggml.tokens", 9, array(8, 2, text("<s>") + text("a")))};
  file.alignment = 64;
  file.tensor("weight", {3, 2}, 0, 0).tensor("blocks", {256, 2}, 12, 64).tensor("ids", {2}, 27, 384);
  for (int i = 0; i < 6; ++i) file.data += le(std::bit_cast<std::uint32_t>(static_cast<float>(i)));
  file.data.resize(384, '\0');
  file.data += le<std::int64_t>(-5) + le<std::int64_t>(7);
  return file;
}

Result<Gguf> read(const std::string& file, const Limits& limits = {}) {
  return read_gguf(TestSource::of(file, Access::read_only), limits);
}
// "CODE at 0x8: message".
std::string refusal(const std::string& file, const Limits& limits = {}) {
  const auto result = read(file, limits);
  if (result) return "accepted";
  const std::string message = to_string(result.error());
  EXPECT_TRUE(message.starts_with("test.pt at ")) << message;
  return result.error().finding.code + message.substr(7);
}
std::string refusal(const GgufFile& file, const Limits& limits = {}) {
  return refusal(file.build(), limits);
}
Value metadata_of(const std::string& one) {
  const auto result = read(with_pair(one).build());
  EXPECT_TRUE(result) << to_string(result.error());
  return result ? result->metadata["k"] : Value();
}

// --- what is read
// ---------------------------------------------------------------------------------------------------------

TEST(Gguf, TensorsMetadataAndAlignmentAreRead) {
  for (const std::uint32_t version : {2U, 3U}) {
    GgufFile file = small_file();
    file.version = version;
    for (const Access access : {Access::mapped, Access::read_only}) {
      const auto result = read_gguf(TestSource::of(file.build(), access), {});
      ASSERT_TRUE(result) << to_string(result.error());
      EXPECT_EQ(result->version, version);
      EXPECT_EQ(result->alignment, 64U);
      EXPECT_EQ(result->metadata.entry_count(), 3U);
      EXPECT_EQ(result->metadata.entry(0).first.as_string(), "general.architecture");
      EXPECT_EQ(result->metadata["general.architecture"].as_string(), "llama");
      EXPECT_EQ(result->metadata["general.alignment"].as_int(), 64);
      EXPECT_EQ(result->metadata["tokenizer.ggml.tokens"][1].as_string(), "a");
      ASSERT_EQ(result->tensors.size(), 3U);
      const Tensor weight = result->tensors[0].tensor().value();
      // The file's innermost dimension comes first, torch's last.
      EXPECT_EQ(Shape(weight.shape().begin(), weight.shape().end()), (Shape{2, 3}));
      EXPECT_EQ(weight.dtype(), DType::f32);
      EXPECT_EQ(weight.values<float>().value()[4], 4.0F);
      EXPECT_EQ(weight.storage().integrity(), Integrity::none);
      EXPECT_EQ(result->tensors[2].tensor().value().values<std::int64_t>().value()[0], -5);
    }
  }
}

TEST(Gguf, BlockTypesAreListedAndRefusedByNameWhenTheyAreRead) {
  const Gguf gguf = read(small_file().build()).value();
  const GgufTensor& blocks = gguf.tensors[1];
  EXPECT_EQ(blocks.name, "blocks");
  EXPECT_EQ(blocks.type->name, "Q4_K");
  EXPECT_EQ(blocks.shape, (Shape{2, 256}));
  EXPECT_EQ(blocks.size_bytes, 288U);
  EXPECT_EQ(blocks.offset, gguf.tensors[0].offset + 64);
  const auto refused = blocks.tensor();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_EQ(refused.error().finding.code, "GGUF-BLOCK-TYPE");
  EXPECT_EQ(refused.error().finding.message,
            "block type Q4_K is not decoded here: tensor 'blocks' can be listed, not read");
  EXPECT_EQ(refused.error().finding.file, "test.pt");
  EXPECT_EQ(refused.error().finding.offset, blocks.offset);
  EXPECT_EQ(refused.error().finding.tensors, std::vector<std::string>{"blocks"});
}

TEST(Gguf, EveryTypeOfTheTableHasItsSize) {
  std::set<std::uint32_t> ids;
  std::set<std::string_view> names;
  std::size_t plain = 0;
  for (const GgmlType& type : ggml_types()) {
    SCOPED_TRACE(type.name);
    EXPECT_TRUE(ids.insert(type.id).second);
    EXPECT_TRUE(names.insert(type.name).second);
    GgufFile file;
    file.tensor("t", {type.block_values, 3}, type.id, 0);
    const std::uint64_t width = type.dtype ? size_bytes(*type.dtype) : type.block_bytes;
    file.data.resize(3 * width, '\1');
    const auto result = read(file.build());
    ASSERT_TRUE(result) << to_string(result.error());
    const GgufTensor& tensor = result->tensors[0];
    EXPECT_EQ(tensor.size_bytes, 3 * width);
    const auto elements = tensor.tensor();
    EXPECT_EQ(elements.has_value(), type.dtype.has_value());
    if (elements) {
      EXPECT_EQ(elements->dtype(), *type.dtype);
      EXPECT_EQ(elements->bytes().value().size(), 3 * width);
      ++plain;
    }
    file.data.pop_back();
    EXPECT_EQ(read(file.build()).error().code, ErrorCode::truncated);
  }
  EXPECT_EQ(plain, 8U);
  EXPECT_EQ(ids.size(), 35U);
}

TEST(Gguf, SpecificationListsTheSameTypes) {
  const std::string page =
      test::read_file(std::filesystem::path(RUSHLIGHT_TESTS_SOURCE_DIR) / ".." / "format-spec" / "09-interchange.md");
  std::string table = "| type | name | values in a block | bytes of a block |\n|---|---|---|---|\n";
  for (const GgmlType& type : ggml_types()) {
    table += "| " + std::to_string(type.id) + " | " + std::string(type.name) + " | " +
             std::to_string(type.block_values) + " | " +
             std::to_string(type.dtype ? size_bytes(*type.dtype) : type.block_bytes) + " |\n";
  }
  EXPECT_TRUE(page.ends_with(table)) << table;
}

TEST(Gguf, AllThirteenTypesOfValuesAreRead) {
  EXPECT_EQ(metadata_of(pair("k", 0, le<std::uint8_t>(255))).as_int(), 255);
  EXPECT_EQ(metadata_of(pair("k", 1, le<std::int8_t>(-128))).as_int(), -128);
  EXPECT_EQ(metadata_of(pair("k", 2, le<std::uint16_t>(65535))).as_int(), 65535);
  EXPECT_EQ(metadata_of(pair("k", 3, le<std::int16_t>(-2))).as_int(), -2);
  EXPECT_EQ(metadata_of(pair("k", 4, le<std::uint32_t>(4294967295U))).as_int(), 4294967295);
  EXPECT_EQ(metadata_of(pair("k", 5, le<std::int32_t>(-3))).as_int(), -3);
  EXPECT_EQ(metadata_of(pair("k", 6, le(std::bit_cast<std::uint32_t>(0.1F)))).as_double(), static_cast<double>(0.1F));
  EXPECT_EQ(metadata_of(pair("k", 7, le<std::uint8_t>(1))).as_bool(), true);
  EXPECT_EQ(metadata_of(pair("k", 7, le<std::uint8_t>(0))).kind(), ValueKind::boolean);
  EXPECT_EQ(metadata_of(pair("k", 8, text("\xc3\xa9"))).as_string(), "\xc3\xa9");
  EXPECT_EQ(metadata_of(pair("k", 10, le<std::uint64_t>(7))).as_int(), 7);
  const Value huge = metadata_of(pair("k", 10, le<std::uint64_t>(18446744073709551615U)));
  EXPECT_EQ(huge.as_int(), std::nullopt);
  EXPECT_EQ(huge.as_decimal(), "18446744073709551615");
  EXPECT_EQ(metadata_of(pair("k", 10, le<std::uint64_t>(9223372036854775808U))).as_decimal(), "9223372036854775808");
  EXPECT_EQ(metadata_of(pair("k", 11, le<std::int64_t>(-9))).as_int(), -9);
  EXPECT_EQ(metadata_of(pair("k", 12, le(std::bit_cast<std::uint64_t>(0.1)))).as_double(), 0.1);
  const Value list = metadata_of(pair("k", 9, array(3, 2, le<std::int16_t>(4) + le<std::int16_t>(-4))));
  EXPECT_EQ(list.kind(), ValueKind::list);
  EXPECT_EQ(list.size(), 2U);
  EXPECT_EQ(list[1].as_int(), -4);
  EXPECT_EQ(metadata_of(pair("k", 9, array(12, 0, ""))).size(), 0U);
}

TEST(Gguf, ArraysMayHoldArrays) {
  const std::string ints = array(0, 2, "\1\2");
  const Value nested = metadata_of(pair("k", 9, array(9, 3, ints + array(9, 1, ints) + array(9, 0, ""))));
  EXPECT_EQ(nested.size(), 3U);
  EXPECT_EQ(nested[0][1].as_int(), 2);
  EXPECT_EQ(nested[1][0][0].as_int(), 1);
  EXPECT_EQ(nested[2].size(), 0U);
  std::string deep = array(0, 1, "\7");
  for (int i = 0; i < 600; ++i) deep = array(9, 1, deep);
  EXPECT_EQ(refusal(with_pair(pair("k", 9, deep))),
            "GGUF-DEPTH at 0x1825: arrays nest more than 512 deep (pickle_depth)");
  Value innermost = read(with_pair(pair("k", 9, deep)).build(), Limits::off())->metadata["k"];
  int levels = 0;
  for (; innermost.kind() == ValueKind::list; ++levels) innermost = innermost[0];
  EXPECT_EQ(levels, 601);
  EXPECT_EQ(innermost.as_int(), 7);
}

TEST(Gguf, StringsThatAreNoTextAreKeptAsBytes) {
  const Value value = metadata_of(pair("k", 9, array(8, 2, text("a") + text("\xe2\x96"))));
  EXPECT_EQ(value[0].as_string(), "a");
  ASSERT_EQ(value[1].kind(), ValueKind::bytes);
  EXPECT_EQ(as_text(*value[1].as_bytes()), "\xe2\x96");
}

TEST(Gguf, FilesOfMetadataAloneHaveNoDataSection) {
  const Gguf gguf = read(GgufFile{}.build()).value();
  EXPECT_TRUE(gguf.tensors.empty());
  EXPECT_EQ(gguf.metadata.kind(), ValueKind::dict);
  EXPECT_EQ(gguf.metadata.size(), 0U);
  EXPECT_EQ(gguf.alignment, 32U);
}

TEST(Gguf, ScalarsAndTensorsWithoutElementsAreRead) {
  GgufFile file;
  file.tensor("scalar", {}, 0, 0).tensor("none", {4, 0}, 0, 32).tensor("none too", {0}, 12, 0);
  file.data = std::string(32, '\0');
  const Gguf gguf = read(file.build()).value();
  EXPECT_EQ(gguf.tensors[0].tensor()->dim(), 0);
  EXPECT_EQ(gguf.tensors[1].shape, (Shape{0, 4}));
  EXPECT_TRUE(gguf.tensors[1].tensor()->bytes()->empty());
  EXPECT_EQ(gguf.tensors[2].size_bytes, 0U);
}

TEST(Gguf, AlignedDataOfAMappingIsNotCopied) {
  const test::TemporaryFolder folder;
  test::write_file(folder / "a.gguf", small_file().build());
  const auto source = open_file(folder / "a.gguf", FileAccess::mapped).value();
  const Gguf gguf = read_gguf(source, {}).value();
  EXPECT_EQ(gguf.tensors[0].tensor()->bytes().value().data(), source->mapping().data() + gguf.tensors[0].offset);
}

TEST(Gguf, ElementsAreReadWhenTheyAreAskedFor) {
  GgufFile file;
  file.tensor("t", {1000000}, 24, 0);
  file.data.resize(1000000, '\3');
  const auto source = TestSource::of(file.build(), Access::read_only);
  const Gguf gguf = read_gguf(source, {}).value();
  EXPECT_LE(source->bytes_read(), 65536U);
  EXPECT_EQ(std::to_integer<int>(gguf.tensors[0].tensor()->bytes().value()[999999]), 3);
}

// --- the header
// -----------------------------------------------------------------------------------------------------------

TEST(Gguf, OtherVersionsAndByteOrdersAreNamed) {
  EXPECT_EQ(refusal(""), "GGUF-MAGIC at 0x0: the file is empty, expected a GGUF model");
  EXPECT_EQ(refusal("GGML...."), "GGUF-MAGIC at 0x0: no GGUF model: the file does not begin with 'GGUF'");
  EXPECT_EQ(refusal("GGU"), "GGUF-TRUNCATED at 0x3: the file ends within the magic");
  EXPECT_EQ(refusal("GGUF"), "GGUF-TRUNCATED at 0x4: the file ends within the version");
  GgufFile file;
  for (const std::uint32_t version : {0U, 1U, 4U, 65536U}) {
    file.version = version;
    EXPECT_EQ(refusal(file), "GGUF-VERSION at 0x4: version " + std::to_string(version) + " of GGUF, expected 2 or 3");
    EXPECT_EQ(read(file.build()).error().code, ErrorCode::unsupported);
  }
  file.version = 0x03000000;
  EXPECT_EQ(refusal(file), "GGUF-VERSION at 0x4: a big-endian file, expected little-endian numbers");
}

TEST(Gguf, CountsMeetTheBytesThatAreLeftAndTheLimits) {
  const auto counts = [](std::uint64_t tensors, std::uint64_t pairs) {
    return "GGUF" + le<std::uint32_t>(3) + le(tensors) + le(pairs);
  };
  EXPECT_EQ(refusal(counts(1, 0)),
            "GGUF-TRUNCATED at 0x8: the file claims 1 tensors, which do not fit the 0 bytes that are left");
  EXPECT_EQ(refusal(counts(0, 1) + std::string(12, ' ')),
            "GGUF-TRUNCATED at 0x10: the file claims 1 metadata pairs, which do not fit the 12 bytes that are left");
  EXPECT_EQ(refusal(counts(~std::uint64_t{0}, 0)),
            "GGUF-COUNT at 0x8: the file claims 18446744073709551615 tensors, expected at most 4194304 (tensors)");
  EXPECT_EQ(refusal(counts(0, ~std::uint64_t{0})),
            "GGUF-COUNT at 0x10: the file claims 18446744073709551615 metadata pairs, expected at most 16777216 "
            "(pickle_nodes)");
  EXPECT_EQ(refusal(counts(std::uint64_t{1} << 61, 0), Limits::off()),
            "GGUF-TRUNCATED at 0x8: the file claims 2305843009213693952 tensors, which do not fit the 0 bytes that "
            "are left");
}

// --- the metadata
// ---------------------------------------------------------------------------------------------------------

TEST(Gguf, KeysAreTextsThatStandOnce) {
  EXPECT_EQ(refusal(with_pair(pair("", 0, "\1"))), "GGUF-KEY at 0x18: a metadata key is empty");
  EXPECT_EQ(refusal(with_pair(pair("\xff", 0, "\1"))), "GGUF-UTF8 at 0x18: metadata key '\\xff' is no valid UTF-8");
  GgufFile twice;
  twice.pairs = {pair("a", 0, "\1"), pair("b", 0, "\1"), pair("a", 0, "\1")};
  EXPECT_EQ(refusal(twice), "GGUF-DUPLICATE at 0x34: metadata key 'a' stands twice");
  EXPECT_EQ(read(twice.build()).error().code, ErrorCode::ambiguous);
  EXPECT_EQ(refusal(with_pair(pair(std::string(65536, 'k'), 0, "\1"))),
            "GGUF-STRING-SIZE at 0x18: a metadata key takes 65536 bytes, expected at most 65535");
  EXPECT_EQ(refusal(with_pair(pair(std::string(65535, 'k'), 0, "\1"))), "accepted");
}

TEST(Gguf, ValuesMeetTheBytesThatAreLeftAndTheLimits) {
  EXPECT_EQ(refusal(with_pair(pair("k", 13, "\1"))),
            "GGUF-VALUE-TYPE at 0x21: a metadata value of type 13, expected 0 to 12");
  EXPECT_EQ(refusal(with_pair(pair("k", 9, array(13, 1, "\1")))),
            "GGUF-VALUE-TYPE at 0x25: a metadata value of type 13, expected 0 to 12");
  EXPECT_EQ(refusal(with_pair(pair("k", 7, "\2"))), "GGUF-BOOL at 0x25: a bool is stored as 2, expected 0 or 1");
  EXPECT_EQ(refusal(with_pair(pair("k", 8, le(~std::uint64_t{0})))),
            "GGUF-STRING-SIZE at 0x25: a string takes 18446744073709551615 bytes, expected at most 16777216 "
            "(pickle_string_bytes)");
  EXPECT_EQ(refusal(with_pair(pair("k", 8, le<std::uint64_t>(5) + "four"))),
            "GGUF-TRUNCATED at 0x25: a string takes 5 bytes, 4 are left in the file");
  EXPECT_EQ(refusal(with_pair(pair("k", 11, "1234567"))),
            "GGUF-TRUNCATED at 0x25: the file ends within a metadata "
            "value");
  EXPECT_EQ(refusal(with_pair(pair("k", 9, array(10, 2, std::string(15, ' '))))),
            "GGUF-TRUNCATED at 0x29: an array of 2 values does not fit the 15 bytes that are left");
  EXPECT_EQ(refusal(with_pair(pair("k", 9, array(9, ~std::uint64_t{0}, std::string(15, ' '))))),
            "GGUF-TRUNCATED at 0x29: an array of 18446744073709551615 values does not fit the 15 bytes that are left");
  Limits limits;
  limits.pickle_nodes = 5;
  EXPECT_EQ(refusal(with_pair(pair("k", 9, array(0, 3, "\1\2\3"))), limits), "accepted");
  EXPECT_EQ(refusal(with_pair(pair("k", 9, array(0, 4, "\1\2\3\4"))), limits),
            "GGUF-COUNT at 0x29: the metadata hold more than 5 values (pickle_nodes)");
}

TEST(Gguf, TheAlignmentIsAPowerOfTwo) {
  EXPECT_EQ(refusal(with_pair(pair("general.alignment", 10, le<std::uint64_t>(32)))),
            "GGUF-ALIGNMENT at 0x31: 'general.alignment' has type 10, expected 4 (uint32)");
  for (const std::uint32_t wrong : {0U, 3U, 48U, 4294967295U}) {
    EXPECT_EQ(refusal(with_pair(pair("general.alignment", 4, le(wrong)))),
              "GGUF-ALIGNMENT at 0x35: 'general.alignment' is " + std::to_string(wrong) + ", expected a power of two");
  }
  EXPECT_EQ(refusal(with_pair(pair("general.alignment", 4, le<std::uint32_t>(1)))), "accepted");
  EXPECT_EQ(refusal(with_pair(pair("general.alignment", 4, le<std::uint32_t>(2147483648U)))), "accepted");
}

// --- the tensors
// ----------------------------------------------------------------------------------------------------------

TEST(Gguf, NamesOfTensorsAreTextsThatStandOnce) {
  EXPECT_EQ(refusal(GgufFile{}.tensor("\xff", {1}, 0, 0)),
            "GGUF-UTF8 at 0x18: the name of tensor '\\xff' is no valid UTF-8");
  EXPECT_EQ(refusal(GgufFile{}.tensor(std::string(512, 'n'), {1}, 0, 0)),
            "GGUF-STRING-SIZE at 0x18: the name of a tensor takes 512 bytes, expected at most 511 "
            "(record_name_bytes)");
  EXPECT_EQ(refusal(GgufFile{}.tensor("t", {1}, 0, 0).tensor("t", {1}, 0, 32)),
            "GGUF-DUPLICATE at 0x39: tensor 't' stands twice");
}

TEST(Gguf, ShapesAndTypesAreChecked) {
  const std::string t = " tensor 't': ";
  EXPECT_EQ(refusal(GgufFile{}.tensor("t", std::vector<std::uint64_t>(65, 1), 0, 0)),
            "LIMIT-TENSOR-DIMS at 0x21:" + t + "it has 65 dimensions, expected at most 64 (tensor_dims)");
  EXPECT_EQ(refusal(GgufFile{}.tensor("t", {1, std::uint64_t{1} << 63}, 0, 0)),
            "GGUF-SHAPE at 0x2d:" + t + "dimension 1 is 9223372036854775808, expected at most 2^63 - 1");
  EXPECT_EQ(refusal(GgufFile{}.tensor("t", {std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0, 0)),
            "GGUF-SHAPE at 0x21:" + t + "sizes [4294967296, 4294967296] overflow a 64-bit count");
  EXPECT_EQ(refusal(GgufFile{}.tensor("t", {std::uint64_t{1} << 62}, 0, 0)),
            "GGUF-SHAPE at 0x21:" + t + "the bytes of [4611686018427387904] F32 overflow a 64-bit count");
  EXPECT_EQ(refusal(GgufFile{}.tensor("t", {128, 2}, 12, 0)),
            "GGUF-SHAPE at 0x21:" + t + "rows of 128 values are no whole blocks of 256 (Q4_K)");
  EXPECT_EQ(refusal(GgufFile{}.tensor("t", {}, 2, 0)),
            "GGUF-SHAPE at 0x21:" + t + "rows of 1 values are no whole blocks of 32 (Q4_0)");
  for (const std::uint32_t type : {4U, 5U, 31U, 38U, 43U, 4294967295U}) {
    EXPECT_EQ(refusal(GgufFile{}.tensor("t", {1}, type, 0)), "GGUF-TYPE at 0x2d:" + t + "unknown element type " +
                                                                 std::to_string(type) + ": its length cannot be known");
  }
  EXPECT_EQ(read(GgufFile{}.tensor("t", {1}, 31, 0).build()).error().code, ErrorCode::unsupported);
}

TEST(Gguf, OffsetsAreAlignedAndWithinTheFile) {
  const auto with_offset = [](std::uint64_t offset, std::size_t data_bytes) {
    GgufFile file;
    file.tensor("t", {2}, 0, offset);
    file.data.resize(data_bytes, '\0');
    return refusal(file);
  };
  const std::string t = " tensor 't': ";
  EXPECT_EQ(with_offset(32, 40), "accepted");
  EXPECT_EQ(with_offset(16, 64), "GGUF-OFFSET at 0x31:" + t + "its offset 16 is no multiple of the alignment 32");
  EXPECT_EQ(with_offset(32, 39),
            "GGUF-TRUNCATED at 0x31:" + t + "its 8 bytes at offset 32 reach beyond the 39 bytes of the data section");
  EXPECT_EQ(with_offset(~std::uint64_t{31}, 64),
            "GGUF-TRUNCATED at 0x31:" + t +
                "its 8 bytes at offset 18446744073709551584 reach beyond the 64 bytes of the data section");
  GgufFile far;
  far.pairs = {pair("general.alignment", 4, le<std::uint32_t>(2147483648U))};
  far.tensor("t", {2}, 0, 0);
  EXPECT_EQ(refusal(far),
            "GGUF-TRUNCATED at 0x52:" + t + "its 8 bytes at offset 0 reach beyond the 0 bytes of the data section");
}

TEST(Gguf, TensorsDoNotShareBytes) {
  GgufFile file;
  file.data.resize(128, '\0');
  file.tensor("a", {16}, 0, 64).tensor("b", {9}, 0, 32);
  EXPECT_EQ(refusal(file),
            "GGUF-OVERLAP at 0x31: tensor 'a': its bytes at offset 64 overlap tensor 'b', 36 bytes at offset 32");
  file.tensors.clear();
  file.tensor("a", {4}, 0, 32).tensor("b", {4}, 0, 32);
  EXPECT_EQ(refusal(file),
            "GGUF-OVERLAP at 0x52: tensor 'b': its bytes at offset 32 overlap tensor 'a', 16 bytes at offset 32");
  EXPECT_EQ(read(file.build()).error().code, ErrorCode::corrupt);
  file.tensors.clear();
  file.tensor("a", {8}, 0, 32).tensor("none", {0}, 0, 32).tensor("b", {8}, 0, 64);
  EXPECT_EQ(refusal(file), "accepted");
}

TEST(Gguf, TensorsHaveALimit) {
  Limits limits;
  limits.tensors = 2;
  EXPECT_EQ(refusal(small_file(), limits),
            "GGUF-COUNT at 0x8: the file claims 3 tensors, expected at most 2 (tensors)");
}

// --- damage
// ---------------------------------------------------------------------------------------------------------------

TEST(Gguf, AFileCutAtAnyByteIsRefused) {
  const std::string file = small_file().build();
  for (std::size_t length = 0; length < file.size(); ++length) {
    for (const Access access : {Access::read_only, Access::mapped}) {
      const auto cut = read_gguf(TestSource::of(file.substr(0, length), access), {});
      ASSERT_FALSE(cut) << length;
      EXPECT_EQ(cut.error().code, length == 0 ? ErrorCode::not_a_checkpoint : ErrorCode::truncated) << length;
    }
  }
}

TEST(Gguf, EveryFlippedBitEndsInAnAnswer) {
  const std::string file = small_file().build();
  const std::size_t data_begin = file.size() - small_file().data.size();
  int refused = 0;
  for (std::size_t bit = 0; bit < 8 * data_begin; ++bit) {
    std::string changed = file;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    const auto result = read_gguf(TestSource::of(changed, Access::mapped), {});
    if (!result) {
      ++refused;
      continue;
    }
    for (const GgufTensor& tensor : result->tensors) {
      const auto elements = tensor.tensor();
      ASSERT_TRUE(!elements || elements->bytes()) << bit;
    }
  }
  EXPECT_GT(refused, 500);
}

TEST(Gguf, SourcesThatFailAreReported) {
  const std::string file = small_file().build();
  const auto source = TestSource::of(file, Access::read_only);
  source->fail_within(100, 101);
  const auto result = read_gguf(source, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::io);
  EXPECT_EQ(result.error().finding.file, "test.pt");
}

}  // namespace
}  // namespace rushlight::interchange
