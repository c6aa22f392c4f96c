// Names in streams that cannot be read.
#include <gtest/gtest.h>

#include <string>

#include "pickle/machine.hpp"
#include "pickle/read.hpp"

namespace rushlight::pickle {
namespace {

using test::PickleBuilder;

std::string names(const PickleBuilder& stream) {
  std::string out;
  for (const NamedGlobal& global : list_globals(stream.bytes())) {
    out += (out.empty() ? "" : " ") + global.module + "." + global.name + "@" + std::to_string(global.offset);
  }
  return out;
}

TEST(PickleListGlobals, EachNameOnceInStreamOrder) {
  EXPECT_EQ(names(PickleBuilder().global("b", "x").global("a", "x").global("b", "x").inst("a", "y").stop()),
            "b.x@0 a.x@5 a.y@15");
}

TEST(PickleListGlobals, DamageToTheStackIsPassedOver) {
  EXPECT_EQ(names(PickleBuilder().pop().reduce().tuple().get(99).setitems().global("os", "system").stop()),
            "os.system@6");
}

TEST(PickleListGlobals, BehindStopTheNextPickleIsRead) {
  EXPECT_EQ(names(PickleBuilder().none().stop().text("os").text("system").stack_global().stop()), "os.system@20");
}

TEST(PickleListGlobals, NamesEndWithTheFirstByteThatIsNoOpcode) {
  EXPECT_EQ(names(PickleBuilder().global("a", "x").raw("\xff").global("b", "y")), "a.x@0");
  EXPECT_EQ(names(PickleBuilder().global("a", "x").counted4('X', 1000, "").global("b", "y")), "a.x@0");
  EXPECT_EQ(names(PickleBuilder().global("a", "x").global("b", "\xff").global("c", "z")), "a.x@0");
  EXPECT_EQ(names(PickleBuilder().global("a", "x").raw("cos\nsystem")), "a.x@0");
}

TEST(PickleListGlobals, NamesThroughMemoAndDup) {
  PickleBuilder stream;
  stream.text("os").put(5).pop().line('V', R"(s\u0079stem)").line('p', "77").pop();
  stream.get(5).line('g', "77").stack_global().get(5).dup().stack_global();
  EXPECT_EQ(names(stream), "os.system@34 os.os@38");
}

TEST(PickleListGlobals, MarksKeepTheStackInOrder) {
  PickleBuilder stream;
  stream.text("os")
      .mark()
      .none()
      .none()
      .tuple()
      .pop()
      .mark()
      .none()
      .pop_mark()
      .mark()
      .pop()
      .text("nice")
      .stack_global();
  EXPECT_EQ(names(stream), "os.nice@26");
}

TEST(PickleListGlobals, UnknownNamesOfStackGlobalAreEmpty) {
  EXPECT_EQ(names(PickleBuilder().text("os").none().stack_global()), "os.@8");
  EXPECT_EQ(names(PickleBuilder().stack_global().stack_global().stack_global()), ".@0");
  EXPECT_EQ(names(PickleBuilder().line('S', R"('\x')").line('V', R"(\u)").stack_global()), ".@10");
  EXPECT_EQ(names(PickleBuilder().line('S', "'").text("f").stack_global()), ".f@9");
}

TEST(PickleListGlobals, EmptyInputHasNoNames) {
  EXPECT_EQ(names(PickleBuilder()), "");
}

TEST(PickleListGlobals, AMillionUnknownNamesAreOne) {
  PickleBuilder stream;
  stream.raw(std::string(1'000'000, '\x93'));
  EXPECT_EQ(list_globals(stream.bytes()).size(), 1u);
}

TEST(PickleListGlobals, ManyDistinctNamesAreAllKept) {
  PickleBuilder stream;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 20'000; ++i) stream.global("m" + std::to_string(i % 200), "n" + std::to_string(i / 200)).pop();
  }
  const auto globals = list_globals(stream.bytes());
  ASSERT_EQ(globals.size(), 20'000u);
  for (std::size_t i = 0; i < globals.size(); ++i) {
    ASSERT_EQ(globals[i].module, "m" + std::to_string(i % 200));
    ASSERT_EQ(globals[i].name, "n" + std::to_string(i / 200));
  }
}

}  // namespace
}  // namespace rushlight::pickle
