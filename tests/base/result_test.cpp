#include "rushlight/result.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "base/fail.hpp"

namespace rushlight {
namespace {

Error failure(std::string message = "wrong") {
  return Error::of({.category = Category::zip, .code = "ZIP-X", .message = std::move(message)});
}

// A function that returns a Result cannot forget the value: `return {}` does not compile.
static_assert(!std::is_default_constructible_v<Result<int>>);
static_assert(!std::is_default_constructible_v<Result<std::string>>);
static_assert(std::is_default_constructible_v<Status>);
// Values that fit convert, others do not.
static_assert(std::is_convertible_v<const char*, Result<std::string>>);
static_assert(std::is_convertible_v<std::shared_ptr<int>, Result<std::shared_ptr<const int>>>);
static_assert(!std::is_convertible_v<std::string, Result<int>>);
static_assert(!std::is_convertible_v<std::shared_ptr<const int>, Result<std::shared_ptr<int>>>);
static_assert(std::is_nothrow_move_constructible_v<Result<std::string>>);
static_assert(std::is_nothrow_move_constructible_v<Status>);

TEST(Result, HoldsAValue) {
  Result<int> result = 7;
  EXPECT_TRUE(result.has_value());
  EXPECT_TRUE(static_cast<bool>(result));
  EXPECT_EQ(*result, 7);
  EXPECT_EQ(result.value(), 7);
  *result = 8;
  EXPECT_EQ(std::move(result).value_or(0), 8);
}

TEST(Result, HoldsAnError) {
  Result<int> result = failure();
  EXPECT_FALSE(result.has_value());
  EXPECT_EQ(result.error().finding.message, "wrong");
  EXPECT_EQ(result.error().code, ErrorCode::corrupt);
  EXPECT_EQ(std::move(result).value_or(5), 5);
}

TEST(Result, HoldsAValueThatOnlyMoves) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(3);
  static_assert(!std::is_copy_constructible_v<std::unique_ptr<int>>);
  ASSERT_TRUE(result);
  Result<std::unique_ptr<int>> moved = std::move(result);
  const std::unique_ptr<int> taken = *std::move(moved);
  EXPECT_EQ(*taken, 3);
}

TEST(Result, CopiesAndMovesBetweenValueAndErrorInEveryCombination) {
  const Result<std::string> value = std::string(100, 'v');
  const Result<std::string> error = failure(std::string(100, 'e'));
  for (const Result<std::string>* from : {&value, &error}) {
    for (const Result<std::string>* to : {&value, &error}) {
      Result<std::string> copied = *to;
      copied = *from;
      EXPECT_EQ(copied.has_value(), from->has_value());
      Result<std::string> source = *from;
      Result<std::string> moved = *to;
      moved = std::move(source);
      ASSERT_EQ(moved.has_value(), from->has_value());
      if (moved) {
        EXPECT_EQ(*moved, **from);
        EXPECT_EQ(*copied, **from);
      } else {
        EXPECT_EQ(moved.error().finding.message, from->error().finding.message);
        EXPECT_EQ(copied.error().finding.message, from->error().finding.message);
      }
    }
  }
}

TEST(Result, AssignmentToItselfChangesNothing) {
  Result<std::string> value = std::string(100, 'v');
  Result<std::string>& same = value;
  value = same;
  EXPECT_EQ(*value, std::string(100, 'v'));
  value = std::move(same);
  EXPECT_EQ(*value, std::string(100, 'v'));
}

TEST(Result, DestroysWhatItHoldsExactlyOnce) {
  const auto counted = std::make_shared<int>(1);
  {
    Result<std::shared_ptr<int>> a = counted;
    Result<std::shared_ptr<int>> b = a;
    EXPECT_EQ(counted.use_count(), 3);
    b = failure();
    EXPECT_EQ(counted.use_count(), 2);
    b = a;
    EXPECT_EQ(counted.use_count(), 3);
  }
  EXPECT_EQ(counted.use_count(), 1);
}

TEST(Result, ReachesMembersThroughTheArrow) {
  Result<std::vector<int>> result = std::vector<int>{1, 2, 3};
  EXPECT_EQ(result->size(), 3U);
  const Result<std::vector<int>>& view = result;
  EXPECT_EQ(view->front(), 1);
}

#if defined(__cpp_exceptions)
TEST(Result, ValueOfAFailureThrowsTheWholeError) {
  Error error = failure("local header says 8, central directory says 4");
  error.finding.file = "m.pt";
  const Result<int> result = error;
  try {
    static_cast<void>(result.value());
    FAIL() << "no exception";
  } catch (const Exception& exception) {
    EXPECT_STREQ(exception.what(), "m.pt: local header says 8, central directory says 4");
    EXPECT_EQ(exception.error().code, ErrorCode::corrupt);
  }
  const Status status = error;
  EXPECT_THROW(status.value(), Exception);
}
#endif

TEST(Status, IsSuccessUnlessMadeFromAnError) {
  const Status good;
  EXPECT_TRUE(good);
  good.value();
  const Status bad = failure();
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.error().finding.code, "ZIP-X");
}

TEST(Status, CopiesAndMovesInEveryCombination) {
  const Status good;
  const Status bad = failure(std::string(100, 'e'));
  for (const Status* from : {&good, &bad}) {
    for (const Status* to : {&good, &bad}) {
      Status copied = *to;
      copied = *from;
      Status source = *from;
      Status moved = *to;
      moved = std::move(source);
      ASSERT_EQ(copied.has_value(), from->has_value());
      ASSERT_EQ(moved.has_value(), from->has_value());
      if (!moved) {
        EXPECT_EQ(copied.error().finding.message, std::string(100, 'e'));
        EXPECT_EQ(moved.error().finding.message, std::string(100, 'e'));
      }
    }
  }
}

Result<int> half_of(int value) {
  if (value % 2 != 0) return failure("odd");
  return value / 2;
}

Result<int> quarter_of(int value) {
  RUSHLIGHT_TRY_ASSIGN(const int half, half_of(value));
  RUSHLIGHT_TRY_ASSIGN(int quarter, half_of(half));
  return quarter;
}

Status check_even(int value, int& checks) {
  RUSHLIGHT_TRY(half_of(value));
  ++checks;
  return {};
}

TEST(Try, ReturnsTheErrorOfTheInnerFunctionAndGoesOnOtherwise) {
  EXPECT_EQ(*quarter_of(12), 3);
  EXPECT_EQ(quarter_of(6).error().finding.message, "odd");
  EXPECT_EQ(quarter_of(3).error().finding.message, "odd");
  int checks = 0;
  EXPECT_TRUE(check_even(2, checks));
  EXPECT_FALSE(check_even(1, checks));
  EXPECT_EQ(checks, 1);
}

}  // namespace
}  // namespace rushlight
