#include "interchange/safetensors.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "interchange/expected_tensors.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_source.hpp"

namespace rushlight::interchange {
namespace {

namespace fs = std::filesystem;
using test::TestSource;
using Access = TestSource::Access;

fs::path golden(const char* name) {
  return fs::path(RUSHLIGHT_GOLDEN_DIR) / "format" / "container" / name;
}

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string file(8, '\0');
  store_le(reinterpret_cast<std::byte*>(file.data()), length);
  return file + rest;
}
std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string data(data_bytes, '\0');
  for (std::size_t i = 0; i < data_bytes; ++i) data[i] = static_cast<char>(i + 1);
  return with_length(header.size(), header + data);
}

Result<Safetensors> read(const std::string& file, const Limits& limits = {}) {
  return read_safetensors(TestSource::of(file, Access::read_only), limits);
}
// "CODE at 0x8: message".
std::string refusal(const std::string& file, const Limits& limits = {}) {
  const auto result = read(file, limits);
  if (result) return "accepted";
  const std::string text = to_string(result.error());
  EXPECT_TRUE(text.starts_with("test.pt at ")) << text;
  return result.error().finding.code + text.substr(7);
}
ErrorCode code(const std::string& file) {
  const auto result = read(file);
  EXPECT_FALSE(result);
  return result ? ErrorCode::io : result.error().code;
}

// --- what is read
// ---------------------------------------------------------------------------------------------------------

TEST(Safetensors, GoldenFilesHaveTheTensorsThatTorchFound) {
  for (const char* name : {"state.safetensors", "dtypes.safetensors"}) {
    SCOPED_TRACE(name);
    const test::ExpectedFile expected = test::read_expectation(golden(name));
    for (const FileAccess access : {FileAccess::mapped, FileAccess::pread}) {
      const auto read = read_safetensors(open_file(golden(name), access).value(), {});
      ASSERT_TRUE(read) << to_string(read.error());
      std::map<std::string, Tensor> tensors;
      for (const NamedTensor& tensor : read->tensors) {
        EXPECT_TRUE(tensors.emplace(tensor.name, tensor.tensor).second);
        EXPECT_EQ(tensor.tensor.storage().integrity(), Integrity::none);
      }
      ASSERT_EQ(tensors.size(), expected.tensors.size());
      for (const test::ExpectedTensor& tensor : expected.tensors) {
        ASSERT_EQ(tensors.count(tensor.name), 1U) << tensor.name;
        test::expect_tensor(tensors.at(tensor.name), tensor);
      }
      EXPECT_EQ(read->metadata, expected.metadata);
    }
  }
}

TEST(Safetensors, TensorsAndMetadataStandInTheOrderOfTheHeader) {
  const Safetensors read = interchange::read(file_of(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},)"
                                                     R"("__metadata__":{"z":"1","a":"2"},)"
                                                     R"("a":{"shape":[],"data_offsets":[0,1],"dtype":"I8"}})",
                                                     3))
                               .value();
  ASSERT_EQ(read.tensors.size(), 2U);
  EXPECT_EQ(read.tensors[0].name, "b");
  EXPECT_EQ(std::to_integer<int>(read.tensors[0].tensor.bytes().value()[0]), 2);
  EXPECT_EQ(read.tensors[1].name, "a");
  EXPECT_EQ(read.tensors[1].tensor.dim(), 0);
  const std::vector<std::pair<std::string, std::string>> metadata = {{"z", "1"}, {"a", "2"}};
  EXPECT_EQ(read.metadata, metadata);
}

TEST(Safetensors, EmptyFilesPaddingAndTensorsWithoutElementsAreFine) {
  EXPECT_TRUE(read(file_of("{}", 0))->tensors.empty());
  EXPECT_TRUE(read(file_of("{}      ", 0)));
  EXPECT_TRUE(read(file_of("{\n} \t\r\n", 0)));
  const Safetensors read = interchange::read(file_of(R"({"x":{"dtype":"F32","shape":[0,5],"data_offsets":[4,4]},)"
                                                     R"("y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                                                     R"("z":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}  )",
                                                     4))
                               .value();
  EXPECT_EQ(read.tensors[0].tensor.numel(), 0);
  EXPECT_TRUE(read.tensors[0].tensor.bytes().value().empty());
}

TEST(Safetensors, NamesMayBeAnyText) {
  const Safetensors read =
      interchange::read(file_of("{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                                "\"\\u00e9\\n\\\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                                2))
          .value();
  EXPECT_EQ(read.tensors[0].name, "");
  EXPECT_EQ(read.tensors[1].name, "\xc3\xa9\n\"");
}

TEST(Safetensors, F4CountsTwoValuesAByte) {
  const Safetensors read =
      interchange::read(file_of(R"({"x":{"dtype":"F4","shape":[3,4],"data_offsets":[0,6]}})", 6)).value();
  const Tensor& tensor = read.tensors[0].tensor;
  EXPECT_EQ(tensor.dtype(), DType::f4_e2m1fn_x2);
  EXPECT_EQ(Shape(tensor.shape().begin(), tensor.shape().end()), (Shape{3, 2}));
  const std::string no = "SAFETENSORS-SHAPE at 0x9: tensor 'x': rows of ";
  EXPECT_EQ(refusal(file_of(R"({"x":{"dtype":"F4","shape":[4,3],"data_offsets":[0,6]}})", 6)),
            no + "[4, 3] F4 end within a byte");
  EXPECT_EQ(refusal(file_of(R"({"x":{"dtype":"F4","shape":[],"data_offsets":[0,1]}})", 1)),
            no + "[] F4 end within a byte");
}

TEST(Safetensors, AlignedDataOfAMappingIsNotCopied) {
  const test::TemporaryFolder folder;
  std::string header = R"({"x":{"dtype":"U8","shape":[16],"data_offsets":[0,16]},)"
                       R"("y":{"dtype":"U8","shape":[4],"data_offsets":[16,20]}})";
  header.resize(120, ' ');  // data begin at 128
  test::write_file(folder / "a.safetensors", file_of(header, 20));
  const auto source = open_file(folder / "a.safetensors", FileAccess::mapped).value();
  const Safetensors read = read_safetensors(source, {}).value();
  EXPECT_EQ(read.tensors[0].tensor.bytes().value().data(), source->mapping().data() + 128);
  EXPECT_EQ(read.tensors[1].tensor.bytes().value().data(), source->mapping().data() + 144);
}

TEST(Safetensors, OnlyTheHeaderIsReadAtFirst) {
  const auto source = TestSource::of(file_of(R"({"x":{"dtype":"U8","shape":[9000],"data_offsets":[0,9000]}})", 9000),
                                     Access::read_only);
  const Safetensors read = read_safetensors(source, {}).value();
  EXPECT_LT(source->bytes_read(), 100U);
  ASSERT_TRUE(read.tensors[0].tensor.bytes());
  EXPECT_GT(source->bytes_read(), 9000U);
}

// --- the length
// -----------------------------------------------------------------------------------------------------------

TEST(Safetensors, TheLengthOfTheHeaderIsBounded) {
  EXPECT_EQ(refusal(""), "SAFETENSORS-TRUNCATED at 0x0: the file ends within the 8 bytes of the header's length");
  EXPECT_EQ(refusal("1234567"),
            "SAFETENSORS-TRUNCATED at 0x7: the file ends within the 8 bytes of the header's length");
  EXPECT_EQ(refusal(with_length(3, "{}")),
            "SAFETENSORS-TRUNCATED at 0x0: the header takes 3 bytes, 2 are left in the file");
  EXPECT_EQ(refusal(with_length(~std::uint64_t{0}, "{}")),
            "SAFETENSORS-HEADER-SIZE at 0x0: the header takes 18446744073709551615 bytes, expected at most 67108864");
  EXPECT_EQ(refusal(with_length(100'000'001, "{}"), Limits::off()),
            "SAFETENSORS-HEADER-SIZE at 0x0: the header takes 100000001 bytes, expected at most 100000000");
  Limits limits;
  limits.json_bytes = 7;
  EXPECT_EQ(refusal(file_of("{}      ", 0), limits),
            "SAFETENSORS-HEADER-SIZE at 0x0: the header takes 8 bytes, expected at most 7");
  EXPECT_EQ(read(with_length(100'000'001, "{}")).error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(code(with_length(3, "{}")), ErrorCode::truncated);
}

// --- the JSON
// -------------------------------------------------------------------------------------------------------------

TEST(Safetensors, TheHeaderBeginsWithABrace) {
  EXPECT_EQ(refusal(with_length(0, "")), "SAFETENSORS-HEADER at 0x8: the header does not begin with '{'");
  EXPECT_EQ(refusal(file_of(" {}", 0)), "SAFETENSORS-HEADER at 0x8: the header does not begin with '{'");
  EXPECT_EQ(refusal(file_of("[]", 0)), "SAFETENSORS-HEADER at 0x8: the header does not begin with '{'");
  EXPECT_EQ(refusal(file_of("\xef\xbb\xbf{}", 0)), "SAFETENSORS-HEADER at 0x8: the header does not begin with '{'");
}

TEST(Safetensors, TheHeaderIsJson) {
  EXPECT_EQ(refusal(file_of("{", 0)), "SAFETENSORS-JSON at 0x8: the header is no valid JSON");
  EXPECT_EQ(refusal(file_of("{}x", 0)), "SAFETENSORS-JSON at 0x8: the header is no valid JSON");
  EXPECT_EQ(refusal(file_of("{}{}", 0)), "SAFETENSORS-JSON at 0x8: the header is no valid JSON");
  EXPECT_EQ(refusal(file_of(std::string("{}\0", 3), 0)), "SAFETENSORS-JSON at 0x8: the header is no valid JSON");
  EXPECT_EQ(refusal(file_of("{\"a\":1,}", 0)), "SAFETENSORS-JSON at 0x8: the header is no valid JSON");
  EXPECT_EQ(refusal(file_of("{\"a\":\"\\ud800\"}", 0)), "SAFETENSORS-JSON at 0x8: the header is no valid JSON");
  EXPECT_EQ(refusal(file_of("{\"a\":[[[[[[[[[[1]]]]]]]]]]}", 0)),
            "SAFETENSORS-JSON at 0x8: the header nests more than 8 levels deep");
  EXPECT_EQ(refusal(file_of("{\"a\":99999999999999999999999}", 0)),
            "SAFETENSORS-JSON at 0x8: the header has a number that does not fit 64 bits or is none");
  EXPECT_EQ(refusal(file_of("{\"\xff\":1}", 0)), "SAFETENSORS-UTF8 at 0x8: the header is no valid UTF-8");
  EXPECT_EQ(refusal(file_of("{\"\xed\xa0\x80\":1}", 0)), "SAFETENSORS-UTF8 at 0x8: the header is no valid UTF-8");
  EXPECT_EQ(code(file_of("{", 0)), ErrorCode::corrupt);
}

TEST(Safetensors, KeysStandOnce) {
  const std::string x = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_EQ(refusal(file_of("{\"x\":" + x + ", \"x\":" + x + "}", 1)),
            "SAFETENSORS-DUPLICATE at 0x3e: key 'x' stands twice");
  // Escapes do not make another key.
  EXPECT_EQ(refusal(file_of("{\"x\":" + x + ", \"\\u0078\":" + x + "}", 1)),
            "SAFETENSORS-DUPLICATE at 0x3e: key 'x' stands twice");
  EXPECT_EQ(code(file_of("{\"x\":" + x + ", \"x\":" + x + "}", 1)), ErrorCode::ambiguous);
  EXPECT_EQ(refusal(file_of(R"({"__metadata__":{},"__metadata__":{}})", 0)),
            "SAFETENSORS-DUPLICATE at 0x1b: key '__metadata__' stands twice");
  EXPECT_EQ(refusal(file_of(R"({"__metadata__":{"a":"1","b":"","a":"1"}})", 0)),
            "SAFETENSORS-DUPLICATE at 0x9: key 'a' stands twice in '__metadata__'");
  EXPECT_EQ(refusal(file_of(R"({"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1)),
            "SAFETENSORS-DUPLICATE at 0x9: tensor 'x': key 'dtype' stands twice");
  EXPECT_EQ(refusal(file_of(R"({"x":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1)),
            "SAFETENSORS-DUPLICATE at 0x9: tensor 'x': key 'shape' stands twice");
  EXPECT_EQ(refusal(file_of(R"({"x":{"dtype":"U8","data_offsets":[0,1],"shape":[1],"data_offsets":[0,1]}})", 1)),
            "SAFETENSORS-DUPLICATE at 0x9: tensor 'x': key 'data_offsets' stands twice");
}

TEST(Safetensors, MetadataAreStrings) {
  EXPECT_EQ(refusal(file_of(R"({"__metadata__":null})", 0)),
            "SAFETENSORS-METADATA at 0x9: '__metadata__' is no object");
  EXPECT_EQ(refusal(file_of(R"({"__metadata__":{"a":"","b":1}})", 0)),
            "SAFETENSORS-METADATA at 0x9: the value of 'b' in '__metadata__' is no string");
}

// --- one tensor
// -----------------------------------------------------------------------------------------------------------

std::string described(const std::string& description, std::size_t data_bytes = 4) {
  return refusal(file_of("{\"x\":" + description + "}", data_bytes));
}

TEST(Safetensors, DescriptionsAreComplete) {
  const std::string x = " at 0x9: tensor 'x': ";
  EXPECT_EQ(described("[]"), "SAFETENSORS-HEADER" + x + "it is described by no object");
  EXPECT_EQ(described("{}"), "SAFETENSORS-HEADER" + x + "key 'dtype' is missing");
  EXPECT_EQ(described(R"({"dtype":"F32"})"), "SAFETENSORS-HEADER" + x + "key 'shape' is missing");
  EXPECT_EQ(described(R"({"dtype":"F32","shape":[1]})"), "SAFETENSORS-HEADER" + x + "key 'data_offsets' is missing");
  EXPECT_EQ(described(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"crc":1})"),
            "SAFETENSORS-KEY" + x + "unknown key 'crc'");
  EXPECT_EQ(described(R"({"dtype":1})"), "SAFETENSORS-HEADER" + x + "its dtype is no string");
  EXPECT_EQ(described(R"({"shape":4})"), "SAFETENSORS-HEADER" + x + "its shape is no array");
  const std::string size = "SAFETENSORS-HEADER" + x + "size 1 of its shape is no integer from 0 to 2^63 - 1";
  EXPECT_EQ(described(R"({"shape":[1,-1]})"), size);
  EXPECT_EQ(described(R"({"shape":[1,1.0]})"), size);
  EXPECT_EQ(described(R"({"shape":[1,"1"]})"), size);
  EXPECT_EQ(described(R"({"shape":[1,true]})"), size);
  EXPECT_EQ(described(R"({"shape":[1,9223372036854775808]})"), size);
  const std::string offsets = "SAFETENSORS-HEADER" + x + "its data_offsets are no pair of integers from 0 to 2^64 - 1";
  for (const char* wrong : {"4", "[]", "[0]", "[0,4,4]", "[0,-4]", "[0,4.0]", "[\"0\",4]", "null"}) {
    EXPECT_EQ(described("{\"data_offsets\":" + std::string(wrong) + "}"), offsets) << wrong;
  }
}

TEST(Safetensors, DTypesAreKnownByName) {
  const auto with = [](const std::string& dtype) {
    return described("{\"dtype\":\"" + dtype + "\",\"shape\":[1],\"data_offsets\":[0,4]}");
  };
  const std::string x = "SAFETENSORS-DTYPE at 0x9: tensor 'x': ";
  EXPECT_EQ(with("F32"), "accepted");
  EXPECT_EQ(with("f32"), x + "unknown dtype 'f32'");
  EXPECT_EQ(with("F128"), x + "unknown dtype 'F128'");
  EXPECT_EQ(with(""), x + "unknown dtype ''");
  EXPECT_EQ(with("F6_E2M3"), x + "elements of dtype F6_E2M3 are not read");
  EXPECT_EQ(with("F6_E3M2"), x + "elements of dtype F6_E3M2 are not read");
  const auto refused = read(file_of(R"({"x":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})", 3));
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_EQ(refused.error().finding.found, "F6_E2M3");
  EXPECT_EQ(refused.error().finding.tensors, std::vector<std::string>{"x"});
}

TEST(Safetensors, OffsetsFitTheShape) {
  const std::string x = "SAFETENSORS-OFFSETS at 0x9: tensor 'x': ";
  EXPECT_EQ(described(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"),
            x + "data_offsets [4, 0) end before they begin");
  EXPECT_EQ(described(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"),
            x + "data_offsets [0, 4) are 4 bytes, expected 8 for [2] F32");
  EXPECT_EQ(described(R"({"dtype":"F32","shape":[0],"data_offsets":[0,4]})"),
            x + "data_offsets [0, 4) are 4 bytes, expected 0 for [0] F32");
  EXPECT_EQ(described(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"),
            "SAFETENSORS-TRUNCATED at 0x9: tensor 'x': data_offsets [0, 8) reach beyond the 4 bytes behind the header");
  EXPECT_EQ(described(R"({"dtype":"F32","shape":[1],"data_offsets":[18446744073709551611,18446744073709551615]})"),
            "SAFETENSORS-TRUNCATED at 0x9: tensor 'x': data_offsets [18446744073709551611, 18446744073709551615) reach "
            "beyond the 4 bytes behind the header");
}

TEST(Safetensors, SizesAreMultipliedWithCare) {
  const std::string x = "SAFETENSORS-SHAPE at 0x9: tensor 'x': ";
  EXPECT_EQ(described(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})"),
            x + "sizes [4294967296, 4294967296] overflow a 64-bit count");
  EXPECT_EQ(described(R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]})"),
            x + "the bits of [4611686018427387904] F32 overflow a 64-bit count");
  EXPECT_EQ(described(R"({"dtype":"F32","shape":[4611686018427387904,0],"data_offsets":[0,0]})", 0), "accepted");
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  EXPECT_EQ(described("{\"dtype\":\"F32\",\"shape\":[" + ones + "],\"data_offsets\":[0,4]}"),
            "LIMIT-TENSOR-DIMS at 0x9: tensor 'x': it has more than 64 dimensions (tensor_dims)");
}

// --- all tensors
// ----------------------------------------------------------------------------------------------------------

std::string bytes_at(const char* name, int begin, int end) {
  return "\"" + std::string(name) + "\":{\"dtype\":\"U8\",\"shape\":[" + std::to_string(end - begin) +
         "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

TEST(Safetensors, EveryByteBelongsToOneTensor) {
  const auto header = [](std::initializer_list<std::string> members) {
    std::string text = "{";
    for (const std::string& member : members) text += (text.size() > 1 ? "," : "") + member;
    return text + "}";
  };
  EXPECT_EQ(refusal(file_of(header({bytes_at("b", 4, 8), bytes_at("a", 0, 4)}), 8)), "accepted");
  EXPECT_EQ(refusal(file_of(header({bytes_at("a", 1, 4)}), 4)),
            "SAFETENSORS-HOLE at 0x9: tensor 'a': bytes [0, 1) before it belong to no tensor");
  EXPECT_EQ(refusal(file_of(header({bytes_at("b", 6, 8), bytes_at("a", 0, 4)}), 8)),
            "SAFETENSORS-HOLE at 0x9: tensor 'b': bytes [4, 6) before it belong to no tensor");
  EXPECT_EQ(refusal(file_of(header({bytes_at("a", 0, 4), bytes_at("b", 3, 8)}), 8)),
            "SAFETENSORS-OVERLAP at 0x3d: tensor 'b': data_offsets [3, 8) overlap tensor 'a' at [0, 4)");
  EXPECT_EQ(refusal(file_of(header({bytes_at("a", 0, 8), bytes_at("b", 0, 8)}), 8)),
            "SAFETENSORS-OVERLAP at 0x3d: tensor 'b': data_offsets [0, 8) overlap tensor 'a' at [0, 8)");
  EXPECT_EQ(refusal(file_of(header({bytes_at("a", 0, 8), bytes_at("b", 3, 3)}), 8)),
            "SAFETENSORS-OVERLAP at 0x3d: tensor 'b': data_offsets [3, 3) overlap tensor 'a' at [0, 8)");
  EXPECT_EQ(refusal(file_of(header({bytes_at("a", 0, 4)}), 6)),
            "SAFETENSORS-TRAILING at 0x41: 2 bytes follow the last tensor");
  EXPECT_EQ(refusal(file_of("{}", 1)), "SAFETENSORS-TRAILING at 0xa: 1 bytes follow the last tensor");
  EXPECT_EQ(code(file_of(header({bytes_at("a", 1, 4)}), 4)), ErrorCode::corrupt);
  EXPECT_EQ(code(file_of("{}", 1)), ErrorCode::ambiguous);
}

TEST(Safetensors, TensorsHaveALimit) {
  Limits limits;
  limits.tensors = 1;
  EXPECT_EQ(refusal(file_of("{" + bytes_at("a", 0, 1) + "," + bytes_at("b", 1, 2) + "}", 2), limits),
            "LIMIT-TENSORS at 0x3d: there are more than 1 tensors (tensors)");
  EXPECT_EQ(refusal(file_of("{" + bytes_at("a", 0, 1) + "}", 1), limits), "accepted");
}

TEST(Safetensors, OffsetsOfErrorsPointAtTheKeyWhateverStandsBefore) {
  const std::string before = R"({"__metadata__":{"a\\\"{[,":"]}\"","b":""}, "[{":{"shape":[0,0,0],"dtype":"U8",)"
                             R"("data_offsets":[0,0]},)";
  EXPECT_EQ(refusal(file_of(before + "\"x\":1}", 0)),
            "SAFETENSORS-HEADER at 0x6d: tensor 'x': it is described by no "
            "object");
  EXPECT_EQ(before.size() + 8, 0x6dU);
}

// --- damage
// ---------------------------------------------------------------------------------------------------------------

TEST(Safetensors, AFileCutAtAnyByteIsRefused) {
  const std::string file = test::read_file(golden("state.safetensors"));
  for (std::size_t length = 0; length < file.size(); ++length) {
    for (const Access access : {Access::read_only, Access::mapped}) {
      const auto cut = read_safetensors(TestSource::of(file.substr(0, length), access), {});
      ASSERT_FALSE(cut) << length;
      EXPECT_EQ(cut.error().code, ErrorCode::truncated) << length;
    }
  }
}

TEST(Safetensors, EveryFlippedBitOfTheHeaderEndsInAnAnswer) {
  const std::string file = test::read_file(golden("state.safetensors"));
  const std::size_t data_begin = 8 + load_le<std::uint64_t>(reinterpret_cast<const std::byte*>(file.data()));
  int accepted = 0;
  for (std::size_t bit = 0; bit < 8 * data_begin; ++bit) {
    std::string changed = file;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    const auto result = read_safetensors(TestSource::of(changed, Access::mapped), {});
    if (!result) continue;
    ++accepted;  // a name, or a value of the metadata
    for (const NamedTensor& tensor : result->tensors) ASSERT_TRUE(tensor.tensor.bytes()) << bit;
  }
  EXPECT_GT(accepted, 100);
}

TEST(Safetensors, SourcesThatFailAreReported) {
  const std::string file = test::read_file(golden("state.safetensors"));
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{100}}) {
    const auto source = TestSource::of(file, Access::read_only);
    source->fail_within(at, at + 1);
    const auto result = read_safetensors(source, {});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::io);
    EXPECT_EQ(result.error().finding.file, "test.pt");
  }
  const auto source = TestSource::of(file, Access::read_only);
  const Safetensors read = read_safetensors(source, {}).value();
  source->fail_within(0, file.size());
  EXPECT_EQ(read.tensors[0].tensor.bytes().error().code, ErrorCode::io);
}

}  // namespace
}  // namespace rushlight::interchange
