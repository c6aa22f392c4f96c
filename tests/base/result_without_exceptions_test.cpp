// Compiled with -fno-exceptions -fno-rtti: the public headers hold there, and value() of a failure ends the program.
#include <gtest/gtest.h>

#include <memory>

#include "rushlight/error.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"
#include "rushlight/text.hpp"
#include "rushlight/version.hpp"

#if defined(__cpp_exceptions) || defined(__cpp_rtti)
#error "this file is about builds without exceptions and run-time type information"
#endif

namespace rushlight {
namespace {

TEST(ResultWithoutExceptions, CarriesValuesAndErrors) {
  Result<std::unique_ptr<int>> value = std::make_unique<int>(4);
  EXPECT_EQ(*value.value(), 4);
  const Result<int> error = Error::of({.category = Category::pkl, .code = "PKL-X", .message = "wrong"});
  EXPECT_FALSE(error);
  EXPECT_EQ(to_string(error.error()), "wrong");
}

TEST(ResultWithoutExceptionsDeathTest, ValueOfAFailureAborts) {
  const Result<int> error = Error::of({.category = Category::pkl, .code = "PKL-X", .message = "wrong"});
  EXPECT_DEATH(static_cast<void>(error.value()), "");
  const Status status = error.error();
  EXPECT_DEATH(status.value(), "");
}

TEST(ResultWithoutExceptions, ThePoolRuns) {
  const std::unique_ptr<Executor> pool = make_thread_pool(2);
  std::array<int, 16> seen{};
  pool->for_each_index(seen.size(), [&](std::size_t i) { seen[i] = 1; });
  for (const int one : seen) EXPECT_EQ(one, 1);
}

}  // namespace
}  // namespace rushlight
