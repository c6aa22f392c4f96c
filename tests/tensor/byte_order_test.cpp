#include "tensor/byte_order.hpp"

#include <gtest/gtest.h>

#include <string>

#include "base/bytes.hpp"

namespace rushlight {
namespace {

std::string swapped(std::string bytes, std::uint32_t unit) {
  swap_units(std::as_writable_bytes(std::span(bytes)), unit);
  return bytes;
}

TEST(ByteOrder, EveryUnitIsReversedByItself) {
  EXPECT_EQ(swapped("abcdefghABCDEFGH", 1), "abcdefghABCDEFGH");
  EXPECT_EQ(swapped("abcdefghABCDEFGH", 2), "badcfehgBADCFEHG");
  EXPECT_EQ(swapped("abcdefghABCDEFGH", 4), "dcbahgfeDCBAHGFE");
  EXPECT_EQ(swapped("abcdefghABCDEFGH", 8), "hgfedcbaHGFEDCBA");
  EXPECT_EQ(swapped("", 8), "");
}

TEST(ByteOrder, BytesBehindTheLastWholeUnitStay) {
  EXPECT_EQ(swapped("abc", 2), "bac");
  EXPECT_EQ(swapped("abcdefg", 4), "dcbaefg");
  EXPECT_EQ(swapped("abcdefg", 8), "abcdefg");
}

TEST(ByteOrder, HalvesOfComplexNumbersAreSwappedByThemselves) {
  EXPECT_EQ(swap_unit(DType::c128), 8U);
  EXPECT_EQ(swap_unit(DType::c64), 4U);
  EXPECT_EQ(swap_unit(DType::c32), 2U);
  EXPECT_EQ(swap_unit(DType::f64), 8U);
  EXPECT_EQ(swap_unit(DType::bf16), 2U);
  EXPECT_EQ(swap_unit(DType::boolean), 1U);
}

}  // namespace
}  // namespace rushlight
