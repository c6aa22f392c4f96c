// Budgets, and the bombs they are for.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "pickle/machine.hpp"
#include "pickle/read.hpp"

namespace rushlight::pickle {
namespace {

using test::expect_refused;
using test::PickleBuilder;
using test::read;

TEST(PickleLimits, PickleBytesBoundsWhatIsRead) {
  Limits limits;
  limits.pickle_bytes = 4;
  EXPECT_TRUE(read(PickleBuilder().proto(2).none().stop().raw(std::string(100, 'x')), limits));
  expect_refused(
      PickleBuilder().proto(2).none().none().stop(),
      {Category::limit, "LIMIT-PICKLE-BYTES", 4,
       "opcode 3 NONE: the pickle is longer than limits.pickle_bytes allows, expected at most 4, found more"},
      limits);
  expect_refused(
      PickleBuilder().proto(2).text("abc").stop(),
      {Category::limit, "LIMIT-PICKLE-BYTES", 2,
       "opcode 2 BINUNICODE: the pickle is longer than limits.pickle_bytes allows, expected at most 4, found more"},
      limits);
  expect_refused(PickleBuilder().proto(2).line('I', "12345").stop(),
                 {Category::limit, "LIMIT-PICKLE-BYTES", 2,
                  "opcode 2 INT: the pickle is longer than limits.pickle_bytes allows, expected at most 4, found more"},
                 limits);
  // A length that the file cannot hold either is a lie, whatever the budget.
  limits.pickle_bytes = 8;
  expect_refused(PickleBuilder().proto(2).counted4('X', 1000, "abc").stop(),
                 {Category::pkl, "PKL-TRUNCATED", 2,
                  "opcode 2 BINUNICODE: the pickle ends inside the argument, expected 1000 bytes, found 4"},
                 limits);
}

TEST(PickleLimits, PickleNodesBoundsTheObjects) {
  Limits limits;
  limits.pickle_nodes = 2;
  EXPECT_TRUE(read(PickleBuilder().none().tuple1().stop(), limits));
  expect_refused(
      PickleBuilder().none().tuple1().tuple1().stop(),
      {Category::limit, "LIMIT-PICKLE-NODES", 2,
       "opcode 3 TUPLE1: the pickle makes more objects than limits.pickle_nodes allows, expected at most 2, found 3"},
      limits);
}

TEST(PickleLimits, PickleDepthBoundsNestingAndMarks) {
  Limits limits;
  limits.pickle_depth = 2;
  EXPECT_TRUE(read(PickleBuilder().none().tuple1().tuple1().stop(), limits));
  expect_refused(
      PickleBuilder().none().tuple1().tuple1().tuple1().stop(),
      {Category::limit, "LIMIT-PICKLE-DEPTH", 3,
       "opcode 4 TUPLE1: values are nested deeper than limits.pickle_depth allows, expected at most 2, found 3"},
      limits);
  EXPECT_TRUE(read(PickleBuilder().mark().mark().tuple().tuple().stop(), limits));
  expect_refused(PickleBuilder().mark().mark().mark().stop(),
                 {Category::limit, "LIMIT-PICKLE-DEPTH", 2,
                  "opcode 3 MARK: more marks are open than limits.pickle_depth allows, expected at most 2, found 3"},
                 limits);
}

TEST(PickleLimits, EveryWayOfNestingCounts) {
  Limits limits;
  limits.pickle_depth = 1;
  const PickleBuilder streams[] = {
      PickleBuilder().empty_list().empty_list().append().stop(),
      PickleBuilder().empty_list().mark().empty_list().appends().stop(),
      PickleBuilder().mark().empty_list().list().stop(),
      PickleBuilder().mark().empty_list().tuple().stop(),
      PickleBuilder().mark().empty_list().frozenset().stop(),
      PickleBuilder().mark().none().empty_list().dict().stop(),
      PickleBuilder().empty_dict().none().empty_dict().setitem().stop(),
      PickleBuilder().empty_dict().mark().empty_tuple().none().setitems().stop(),
      PickleBuilder().empty_set().mark().empty_tuple().additems().stop(),
      PickleBuilder().empty_tuple().binpersid().stop(),
      PickleBuilder().global("m", "C").empty_tuple().reduce().stop(),
      PickleBuilder().global("m", "C").empty_tuple().newobj().stop(),
      PickleBuilder().mark().inst("m", "C").stop(),
      PickleBuilder().mark().global("m", "C").obj().stop(),
      PickleBuilder().line('P', "id").empty_dict().build().stop(),
  };
  for (const PickleBuilder& stream : streams) {
    const auto pickle = read(stream, limits);
    ASSERT_FALSE(pickle) << test::describe(pickle->graph);
    EXPECT_EQ(pickle.error().finding.code, "LIMIT-PICKLE-DEPTH");
    EXPECT_TRUE(read(stream)) << to_string(read(stream).error());
  }
}

TEST(PickleLimits, A11_CyclesHaveNoInfiniteDepth) {
  Limits limits;
  limits.pickle_depth = 4;
  PickleBuilder itself;
  itself.empty_list().put(0);
  for (int i = 0; i < 100; ++i) itself.get(0).append();
  EXPECT_TRUE(read(itself.stop(), limits));
  PickleBuilder two;  // a = [b], b = [a]
  two.empty_list().put(0).empty_list().put(1).get(0).append().append();
  EXPECT_TRUE(read(two.stop(), limits));
}

TEST(PickleLimits, PickleMemoBoundsTheEntries) {
  Limits limits;
  limits.pickle_memo = 2;
  EXPECT_TRUE(read(PickleBuilder().none().put(0).put(1).put(0).put(1).stop(), limits));
  expect_refused(
      PickleBuilder().none().put(0).put(1).memoize().stop(),
      {Category::limit, "LIMIT-PICKLE-MEMO", 5,
       "opcode 4 MEMOIZE: the memo has more entries than limits.pickle_memo allows, expected at most 2, found 3"},
      limits);
}

TEST(PickleLimits, PickleStringBytesBoundsEveryText) {
  Limits limits;
  limits.pickle_string_bytes = 3;
  const std::string four = "abcd";
  const PickleBuilder streams[] = {PickleBuilder().text(four),
                                   PickleBuilder().short_text(four),
                                   PickleBuilder().counted8('\x8d', 4, four),
                                   PickleBuilder().bytes_value(four),
                                   PickleBuilder().counted4('B', 4, four),
                                   PickleBuilder().counted8('\x8e', 4, four),
                                   PickleBuilder().byte_string(four),
                                   PickleBuilder().counted4('T', 4, four),
                                   PickleBuilder().bytearray_value(four),
                                   PickleBuilder().line('S', "'abcd'"),
                                   PickleBuilder().line('S', R"('\x4142')"),
                                   PickleBuilder().line('V', four),
                                   PickleBuilder().line('V', "\xe9\xe9"),  // 2 bytes that become 4
                                   PickleBuilder().line('P', four)};
  for (PickleBuilder stream : streams) {
    const auto pickle = read(stream.stop(), limits);
    ASSERT_FALSE(pickle) << test::describe(pickle->graph);
    EXPECT_EQ(pickle.error().finding.code, "LIMIT-PICKLE-STRING-BYTES") << to_string(pickle.error());
    EXPECT_TRUE(read(stream));
  }
  expect_refused(PickleBuilder().text(four).stop(),
                 {Category::limit, "LIMIT-PICKLE-STRING-BYTES", 0,
                  "opcode 1 BINUNICODE: the text is longer than limits.pickle_string_bytes allows, expected at most 3, "
                  "found 4 bytes"},
                 limits);
}

TEST(PickleLimits, PickleIntegerBytesBoundsLongs) {
  Limits limits;
  limits.pickle_integer_bytes = 9;
  EXPECT_TRUE(read(PickleBuilder().long1(std::string(9, '\x11')).stop(), limits));
  EXPECT_TRUE(read(PickleBuilder().line('L', "1234567890123456789012").stop(), limits));
  for (PickleBuilder stream :
       {PickleBuilder().long1(std::string(10, '\x11')), PickleBuilder().long4(10, std::string(10, '\x11')),
        PickleBuilder().line('L', "123456789012345678901234")}) {
    const auto pickle = read(stream.stop(), limits);
    ASSERT_FALSE(pickle);
    EXPECT_EQ(pickle.error().finding.code, "LIMIT-PICKLE-INTEGER-BYTES");
  }
  expect_refused(PickleBuilder().long4(10, std::string(10, '\x11')).stop(),
                 {Category::limit, "LIMIT-PICKLE-INTEGER-BYTES", 0,
                  "opcode 1 LONG4: the integer is longer than limits.pickle_integer_bytes allows, expected at most 9, "
                  "found 10 bytes"},
                 limits);
}

TEST(PickleLimits, BudgetErrorsAreOfTheirClass) {
  Limits limits;
  limits.pickle_nodes = 0;
  const auto pickle = read(PickleBuilder().none().stop(), limits);
  ASSERT_FALSE(pickle);
  EXPECT_EQ(pickle.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(pickle.error().finding.hint, "raise the limit if the file is yours");
}

// --- bombs -----------------------------------------------------------------------------------------------------------

constexpr int kMany = 1'000'000;

TEST(PickleLimits, P16_AMillionMarks) {
  PickleBuilder stream;
  for (int i = 0; i < kMany; ++i) stream.mark();
  const auto pickle = read(stream);
  ASSERT_FALSE(pickle);
  EXPECT_EQ(pickle.error().finding.code, "LIMIT-PICKLE-DEPTH");
  EXPECT_EQ(pickle.error().finding.record_offset, 512u);
}

struct DepthBomb {
  const char* name;
  std::function<void(PickleBuilder&)> before, inside, after;
};

TEST(PickleLimits, P27_DepthBombsMeetTheLimitOrEndWithoutRecursion) {
  const auto nothing = [](PickleBuilder&) {};
  const DepthBomb bombs[] = {
      {"tuples", [](PickleBuilder& s) { s.none(); }, [](PickleBuilder& s) { s.tuple1(); }, nothing},
      {"lists",
       [](PickleBuilder& s) {
         for (int i = 0; i < kMany; ++i) s.empty_list();
       },
       nothing,
       [](PickleBuilder& s) {
         for (int i = 1; i < kMany; ++i) s.append();
       }},
      {"dicts",
       [](PickleBuilder& s) {
         for (int i = 0; i < kMany; ++i) s.empty_dict().none();
         s.none();
       },
       nothing,
       [](PickleBuilder& s) {
         for (int i = 0; i < kMany; ++i) s.setitem();
       }},
      {"persistent ids", [](PickleBuilder& s) { s.none(); }, [](PickleBuilder& s) { s.binpersid(); }, nothing},
      {"marked tuples",
       [](PickleBuilder& s) {
         for (int i = 0; i < kMany; ++i) s.mark();
       },
       [](PickleBuilder& s) { s.tuple(); }, nothing},
      {"through the memo", [](PickleBuilder& s) { s.none().put(0); },
       [](PickleBuilder& s) { s.pop().get(0).tuple1().put(0); }, nothing},
  };
  for (const DepthBomb& bomb : bombs) {
    PickleBuilder stream;
    bomb.before(stream);
    for (int i = 0; i < kMany; ++i) bomb.inside(stream);
    bomb.after(stream);
    stream.stop();
    const auto refused = read(stream);
    ASSERT_FALSE(refused) << bomb.name;
    EXPECT_EQ(refused.error().finding.code, "LIMIT-PICKLE-DEPTH") << bomb.name;
    const auto pickle = read(stream, Limits::off());
    ASSERT_TRUE(pickle) << bomb.name << " " << to_string(pickle.error());
    EXPECT_GE(pickle->graph.size(), static_cast<std::size_t>(kMany)) << bomb.name;
  }
}

TEST(PickleLimits, P25_MemoBombsStayAsLargeAsTheirStream) {
  PickleBuilder tuples;
  tuples.none().put(0).pop();
  for (std::uint32_t i = 0; i < 60; ++i) tuples.get(i).get(i).tuple2().put(i + 1).pop();
  const auto by_tuples = read(tuples.get(60).stop());
  ASSERT_TRUE(by_tuples) << to_string(by_tuples.error());
  EXPECT_EQ(by_tuples->graph.size(), 61u);  // 2^60 to whoever walks it without a memory

  PickleBuilder dup;
  dup.none();
  for (int i = 0; i < 60; ++i) dup.dup().tuple2();
  const auto by_dup = read(dup.stop());
  ASSERT_TRUE(by_dup) << to_string(by_dup.error());
  EXPECT_EQ(by_dup->graph.size(), 61u);

  PickleBuilder dicts;
  dicts.none().put(0).pop();
  for (std::uint32_t i = 0; i < 60; ++i) {
    dicts.empty_dict().integer(1).get(i).setitem().integer(2).get(i).setitem().put(i + 1).pop();
  }
  const auto by_dicts = read(dicts.get(60).stop());
  ASSERT_TRUE(by_dicts) << to_string(by_dicts.error());
  EXPECT_EQ(by_dicts->graph.size(), 181u);
}

TEST(PickleLimits, P26_ABillionLaughsOfLists) {
  PickleBuilder stream;
  stream.text("ha").put(0).pop();
  for (std::uint32_t level = 0; level < 10; ++level) {
    stream.empty_list().mark();
    for (int i = 0; i < 10; ++i) stream.get(level);
    stream.appends().put(level + 1).pop();
  }
  const auto pickle = read(stream.get(10).stop());
  ASSERT_TRUE(pickle) << to_string(pickle.error());
  EXPECT_EQ(pickle->graph.size(), 11u);
  EXPECT_LT(stream.size(), 320u);
}

TEST(PickleLimits, AMillionSparseMemoEntriesTakeTimeInProportion) {
  // Multiples of a large power of two: what would collide in a hash table of that size.
  PickleBuilder stream;
  stream.none();
  for (std::uint32_t i = 1; i <= 300'000; ++i) stream.put(i << 13);
  const auto pickle = read(stream.stop());
  EXPECT_TRUE(pickle) << to_string(pickle.error());
}

TEST(PickleLimits, AMillionMentionsOfOneLongNameAreComparedOnce) {
  PickleBuilder stream;
  stream.text(std::string(60'000, 'm')).put(0).pop();
  stream.text(std::string(60'000, 'm') + "x").put(1).pop();
  for (int i = 0; i < 300'000; ++i) stream.get(static_cast<std::uint32_t>(i % 2)).get(0).stack_global().pop();
  const auto pickle = read(stream.none().stop());
  ASSERT_TRUE(pickle) << to_string(pickle.error());
  EXPECT_EQ(pickle->globals.size(), 2u);
  EXPECT_EQ(list_globals(stream.bytes()).size(), 2u);
}

}  // namespace
}  // namespace rushlight::pickle
