#include "interchange/npy_header.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace rushlight::interchange {
namespace {

constexpr std::uint64_t kOffset = 10;

Result<NpyHeader> parse(std::string_view text, const Limits& limits = {}) {
  return parse_npy_header(text, kOffset, limits);
}

// "NPY-HEADER at 10: message".
std::string refusal(std::string_view text) {
  const auto header = parse(text);
  if (header) return "accepted";
  const Finding& finding = header.error().finding;
  return finding.code + " at " + std::to_string(finding.offset.value_or(0)) + ": " + finding.message;
}

TEST(NpyHeader, WhatNumpyWritesIsRead) {
  const NpyHeader header = parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }           \n").value();
  EXPECT_EQ(header.dtype, DType::f32);
  EXPECT_FALSE(header.big_endian);
  EXPECT_FALSE(header.fortran_order);
  EXPECT_EQ(header.shape, (Shape{3, 4}));
}

TEST(NpyHeader, OrderSpacesAndQuotesAreFree) {
  const NpyHeader header = parse("\t{ \"shape\":(  3 ,4\n) ,'fortran_order' :True,\r'descr':\">i8\"}").value();
  EXPECT_EQ(header.dtype, DType::i64);
  EXPECT_TRUE(header.big_endian);
  EXPECT_TRUE(header.fortran_order);
  EXPECT_EQ(header.shape, (Shape{3, 4}));
  // Python 2 wrote long integers.
  EXPECT_EQ(parse("{'descr': '|u1', 'fortran_order': False, 'shape': (3L, 4L)}")->shape, (Shape{3, 4}));
  EXPECT_EQ(parse("{'descr': '|u1', 'fortran_order': False, 'shape': ()}")->shape, Shape{});
  EXPECT_EQ(parse("{'descr': '|u1', 'fortran_order': False, 'shape': (5,)}")->shape, Shape{5});
}

TEST(NpyHeader, EveryTypeOfTheTableIsReadInBothByteOrders) {
  const std::vector<std::pair<std::string, DType>> wide = {{"u2", DType::u16}, {"i2", DType::i16},  {"u4", DType::u32},
                                                           {"i4", DType::i32}, {"u8", DType::u64},  {"i8", DType::i64},
                                                           {"f2", DType::f16}, {"f4", DType::f32},  {"f8", DType::f64},
                                                           {"c8", DType::c64}, {"c16", DType::c128}};
  const auto with = [](const std::string& descr) {
    return parse("{'descr': '" + descr + "', 'fortran_order': False, 'shape': ()}");
  };
  for (const auto& [code, dtype] : wide) {
    EXPECT_EQ(with("<" + code)->dtype, dtype);
    EXPECT_FALSE(with("<" + code)->big_endian);
    EXPECT_TRUE(with(">" + code)->big_endian);
    EXPECT_EQ(with("|" + code).error().finding.message,
              "the header is no array description: the byte order of '|" + code + "' is not given");
    EXPECT_FALSE(with("=" + code));
    EXPECT_FALSE(with(code));
  }
  for (const auto& [code, dtype] :
       {std::pair<std::string, DType>{"b1", DType::boolean}, {"u1", DType::u8}, {"i1", DType::i8}}) {
    for (const char* order : {"|", "<", ">", "=", ""}) {
      EXPECT_EQ(with(order + code)->dtype, dtype);
      EXPECT_FALSE(with(order + code)->big_endian);
    }
  }
}

TEST(NpyHeader, ElementsThatAreNoNumbersAreUnsupported) {
  const auto with = [](const std::string& descr) {
    return refusal("{'descr': " + descr + ", 'fortran_order': False, 'shape': ()}");
  };
  EXPECT_EQ(with("'|O'"), "NPY-DTYPE at 20: object arrays hold pickles instead of elements and are refused");
  EXPECT_EQ(with("'O'"), "NPY-DTYPE at 20: object arrays hold pickles instead of elements and are refused");
  EXPECT_EQ(with("[('a', '<f4')]"), "NPY-DTYPE at 20: arrays of structured elements cannot be read");
  EXPECT_EQ(with("('<f4', (2,))"), "NPY-DTYPE at 20: arrays of structured elements cannot be read");
  for (const char* code : {"<U5", "|S5", "<M8[ns]", "<m8", "<f16", "<c32", "|V8", "<f3", "<", "", "<f4 ", "O8"}) {
    EXPECT_EQ(with("'" + std::string(code) + "'"),
              "NPY-DTYPE at 20: elements of type '" + std::string(code) + "' cannot be read");
  }
  EXPECT_EQ(parse("{'descr': '|O', 'fortran_order': False, 'shape': ()}").error().code, ErrorCode::unsupported);
}

TEST(NpyHeader, BrokenTextIsRefusedWhereItBreaks) {
  const std::string no = "the header is no array description: ";
  EXPECT_EQ(refusal(""), "NPY-HEADER at 10: " + no + "expected '{', found the end");
  EXPECT_EQ(refusal("None"), "NPY-HEADER at 10: " + no + "expected '{', found 'N'");
  EXPECT_EQ(refusal("{"), "NPY-HEADER at 11: " + no + "expected a string");
  EXPECT_EQ(refusal("{}"), "NPY-HEADER at 10: " + no + "key 'descr' is missing");
  EXPECT_EQ(refusal("{'descr': '<f4'}"), "NPY-HEADER at 10: " + no + "key 'fortran_order' is missing");
  EXPECT_EQ(refusal("{'descr': '<f4', 'fortran_order': True}"), "NPY-HEADER at 10: " + no + "key 'shape' is missing");
  EXPECT_EQ(refusal("{'descr' '<f4'}"), "NPY-HEADER at 19: " + no + "expected ':', found '\\''");
  EXPECT_EQ(refusal("{'descr': '<f4"), "NPY-HEADER at 20: " + no + "expected a string");
  EXPECT_EQ(refusal("{'descr': '<f4' 'shape': ()}"), "NPY-HEADER at 26: " + no + "expected '}', found '\\''");
  EXPECT_EQ(refusal("{'de\\x73cr': '<f4'}"), "NPY-HEADER at 11: " + no + "escapes in a string");
  EXPECT_EQ(refusal("{'more': 1}"), "NPY-HEADER at 11: " + no + "unknown key 'more'");
  EXPECT_EQ(refusal("{'descr': '<f4', 'descr': '<f4'}"), "NPY-HEADER at 27: " + no + "key 'descr' stands twice");
  EXPECT_EQ(refusal("{'fortran_order': 1}"), "NPY-HEADER at 28: " + no + "expected True or False");
  EXPECT_EQ(refusal("{'descr': '<f4', 'fortran_order': False, 'shape': ()} x"),
            "NPY-HEADER at 64: " + no + "text follows the dict");
  EXPECT_EQ(refusal("{'descr': '<f4', 'fortran_order': False, 'shape': ()"),
            "NPY-HEADER at 62: " + no + "expected '}', found the end");
}

TEST(NpyHeader, BrokenShapesAreRefused) {
  const auto with = [](const std::string& shape) {
    return refusal("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + "}");
  };
  const std::string no = "the header is no array description: ";
  EXPECT_EQ(with("3"), "NPY-HEADER at 60: " + no + "expected '(', found '3'");
  EXPECT_EQ(with("[3]"), "NPY-HEADER at 60: " + no + "expected '(', found '['");
  EXPECT_EQ(with("(3)"), "NPY-HEADER at 63: " + no + "the shape is no tuple");
  EXPECT_EQ(with("(3 4)"), "NPY-HEADER at 63: " + no + "expected ',' or ')'");
  EXPECT_EQ(with("(,)"), "NPY-HEADER at 61: " + no + "expected a size");
  EXPECT_EQ(with("(a,)"), "NPY-HEADER at 61: " + no + "expected a size");
  EXPECT_EQ(with("(True,)"), "NPY-HEADER at 61: " + no + "expected a size");
  EXPECT_EQ(with("(1.5,)"), "NPY-HEADER at 62: " + no + "expected ',' or ')'");
  EXPECT_EQ(with("(99999999999999999999,)"), "NPY-HEADER at 61: " + no + "a size does not fit 64 bits");
  EXPECT_EQ(with("(3, 4"), "NPY-HEADER at 65: " + no + "expected ',' or ')'");
  // A negative size is geometry, and refused with it.
  EXPECT_EQ(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}")->shape, Shape{-3});
}

TEST(NpyHeader, DimensionsHaveALimit) {
  std::string shape;
  for (int i = 0; i < 65; ++i) shape += "1, ";
  const auto refused = parse("{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + ")}");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(refused.error().finding.message, "the array has more than 64 dimensions (tensor_dims)");
  Limits limits;
  limits.tensor_dims = 1;
  EXPECT_TRUE(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", limits));
  EXPECT_FALSE(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)}", limits));
}

TEST(NpyHeader, EveryPrefixAndEveryChangedByteEndsInAnAnswer) {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n";
  for (std::size_t length = 0; length < good.find('}') + 1; ++length) {
    EXPECT_FALSE(parse(std::string_view(good).substr(0, length))) << length;
  }
  int accepted = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = good;
      changed[i] = static_cast<char>(byte);
      accepted += parse(changed) ? 1 : 0;
    }
  }
  EXPECT_GT(accepted, 64);
}

TEST(NpyHeader, WrittenHeadersAreAlignedAndReadBack) {
  for (const Shape& shape :
       {Shape{}, Shape{5}, Shape{3, 4}, Shape{0, 7}, Shape(64, 1), Shape{std::int64_t{1} << 62, 1}}) {
    const std::string header = format_npy_header(DType::c128, shape).value();
    EXPECT_EQ(header.size() % 64, 0U);
    EXPECT_EQ(header.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
    const std::size_t length = static_cast<unsigned char>(header[8]) + 256U * static_cast<unsigned char>(header[9]);
    EXPECT_EQ(length, header.size() - 10);
    EXPECT_EQ(header.back(), '\n');
    const NpyHeader parsed = parse(std::string_view(header).substr(10)).value();
    EXPECT_EQ(parsed.dtype, DType::c128);
    EXPECT_EQ(parsed.shape, shape);
    EXPECT_FALSE(parsed.fortran_order);
  }
}

TEST(NpyHeader, TypesThatNumpyLacksAreNotWritten) {
  for (const DType dtype : {DType::bf16, DType::f8_e4m3fn, DType::c32, DType::qi8, DType::bits8}) {
    const auto refused = format_npy_header(dtype, Shape{2});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
    EXPECT_EQ(refused.error().finding.message, "NumPy has no dtype for " + std::string(to_string(dtype)));
  }
}

}  // namespace
}  // namespace rushlight::interchange
