#include "interchange/expected_tensors.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "checksum/sha256.hpp"
#include "checksum/xxh3.hpp"

namespace rushlight::test {
namespace {

std::string text(simdjson::simdjson_result<simdjson::dom::element> element) {
  std::string_view value;
  EXPECT_EQ(element.get(value), simdjson::SUCCESS);
  return std::string(value);
}

}  // namespace

ExpectedFile read_expectation(const std::filesystem::path& golden) {
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  ExpectedFile file;
  if (parser.load(golden.string() + ".expect.json").get(document) != simdjson::SUCCESS) {
    ADD_FAILURE() << golden << ": no expectation";
    return file;
  }
  for (const simdjson::dom::element tensor : document["tensors"].get_array()) {
    ExpectedTensor& expected = file.tensors.emplace_back();
    expected.name = text(tensor["name"]);
    expected.dtype = text(tensor["dtype"]);
    expected.sha256 = text(tensor["sha256"]);
    for (const simdjson::dom::element size : tensor["shape"].get_array()) {
      std::int64_t value = 0;
      EXPECT_EQ(size.get(value), simdjson::SUCCESS);
      expected.shape.push_back(value);
    }
  }
  simdjson::dom::object metadata;
  if (document["metadata"].get(metadata) == simdjson::SUCCESS) {
    for (const simdjson::dom::key_value_pair pair : metadata) {
      std::string_view value;
      EXPECT_EQ(pair.value.get(value), simdjson::SUCCESS);
      file.metadata.emplace_back(pair.key, value);
    }
  }
  return file;
}

void expect_tensor(const Tensor& tensor, const ExpectedTensor& expected) {
  SCOPED_TRACE(expected.name);
  EXPECT_EQ(to_string(tensor.dtype()), expected.dtype);
  EXPECT_EQ(Shape(tensor.shape().begin(), tensor.shape().end()), expected.shape);
  const Tensor dense = tensor.contiguous().value();
  const auto bytes = dense.bytes();
  ASSERT_TRUE(bytes) << to_string(bytes.error());
  if (checksum::sha256_available()) {
    EXPECT_EQ(checksum::to_hex(checksum::sha256(*bytes).value()), expected.sha256);
  }
}

}  // namespace rushlight::test
