#include "tensor/derived_memory.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/bytes.hpp"
#include "counting_memory.hpp"

namespace rushlight::test {
namespace {

TEST(DerivedMemory, AWindowIsPartOfTheWhole) {
  const auto whole = std::make_shared<CountingMemory>(8);
  const auto window = make_window_memory(whole, 2, 3);
  EXPECT_EQ(window->size_bytes(), 3u);
  EXPECT_EQ(window->record(), "data/7");
  EXPECT_EQ(window->recorded_device(), "cuda:3");
  EXPECT_EQ(window->integrity(), Integrity::verified);
  EXPECT_EQ(whole->asked, 0);  // nothing is read to make it
  EXPECT_EQ(window->bytes().value().data(), whole->bytes().value().data() + 2);
  EXPECT_EQ(numbers(window->bytes().value()), (std::vector<int>{2, 3, 4}));
  EXPECT_TRUE(make_window_memory(whole, 8, 0)->bytes().value().empty());
}

TEST(DerivedMemory, ErrorsOfTheOriginalAreTheirs) {
  const auto damaged = std::make_shared<CountingMemory>(8, true);
  EXPECT_EQ(make_window_memory(damaged, 0, 4)->bytes().error().code, ErrorCode::checksum_mismatch);
}

}  // namespace
}  // namespace rushlight::test
