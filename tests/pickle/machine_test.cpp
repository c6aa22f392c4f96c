// What each opcode means, in streams that are right.
#include "pickle/machine.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "pickle/read.hpp"

namespace rushlight::pickle {
namespace {

using namespace std::string_literals;
using test::describe;
using test::outcome;
using test::PickleBuilder;
using test::read;

TEST(PickleMachine, NoneAndBooleansAreLeaves) {
  EXPECT_EQ(outcome(PickleBuilder().none().stop()), "None");
  EXPECT_EQ(outcome(PickleBuilder().boolean(true).stop()), "True");
  EXPECT_EQ(outcome(PickleBuilder().boolean(false).stop()), "False");
}

TEST(PickleMachine, BinaryIntegersHaveTheirSigns) {
  EXPECT_EQ(outcome(PickleBuilder().raw("K\xff.")), "255");
  EXPECT_EQ(outcome(PickleBuilder().raw("M\xff\xff.")), "65535");
  EXPECT_EQ(outcome(PickleBuilder().raw("J\xff\xff\xff\xff.")), "-1");
  EXPECT_EQ(outcome(PickleBuilder().raw("J\x00\x00\x00\x80."s)), "-2147483648");
}

TEST(PickleMachine, LongsAreTwosComplementOfAnyLength) {
  EXPECT_EQ(outcome(PickleBuilder().long1("").stop()), "0");
  EXPECT_EQ(outcome(PickleBuilder().long1("\xff").stop()), "-1");
  EXPECT_EQ(outcome(PickleBuilder().long1("\x00\x80"s).stop()), "-32768");
  EXPECT_EQ(outcome(PickleBuilder().long1("\xff\xff\xff\xff\xff\xff\xff\x7f").stop()), "9223372036854775807");
  EXPECT_EQ(outcome(PickleBuilder().long1("\x00\x00\x00\x00\x00\x00\x00\x80"s).stop()), "-9223372036854775808");
  EXPECT_EQ(outcome(PickleBuilder().long1("\x00\x00\x00\x00\x00\x00\x00\x80\x00"s).stop()), "big(000000000000008000)");
  EXPECT_EQ(outcome(PickleBuilder().long1("\xff\xff\xff\xff\xff\xff\xff\x7f\xff").stop()), "big(ffffffffffffff7fff)");
  EXPECT_EQ(outcome(PickleBuilder().long4(2, "\x01\x01").stop()), "257");
}

TEST(PickleMachine, LongsWithRepeatedSignBytesAreSmallIntegers) {
  EXPECT_EQ(outcome(PickleBuilder().long1(std::string(12, '\xff')).stop()), "-1");
  EXPECT_EQ(outcome(PickleBuilder().long1("\x07" + std::string(20, '\0')).stop()), "7");
  EXPECT_EQ(outcome(PickleBuilder().long4(11, std::string(8, '\x55') + "\x01\x00\x00"s).stop()),
            "big(555555555555555501)");
}

TEST(PickleMachine, IntegersInTextAreDecimal) {
  EXPECT_EQ(outcome(PickleBuilder().line('I', "-42").stop()), "-42");
  EXPECT_EQ(outcome(PickleBuilder().line('I', "0").stop()), "0");
  EXPECT_EQ(outcome(PickleBuilder().line('L', "7L").stop()), "7");
  EXPECT_EQ(outcome(PickleBuilder().line('L', "7").stop()), "7");
  EXPECT_EQ(outcome(PickleBuilder().line('I', "9223372036854775808").stop()), "big(000000000000008000)");
  EXPECT_EQ(outcome(PickleBuilder().line('L', "-18446744073709551616L").stop()), "big(0000000000000000ff)");
}

TEST(PickleMachine, IntWritesBooleansAs00And01) {
  EXPECT_EQ(outcome(PickleBuilder().line('I', "00").stop()), "False");
  EXPECT_EQ(outcome(PickleBuilder().line('I', "01").stop()), "True");
}

TEST(PickleMachine, FloatsAreBigEndianOrText) {
  EXPECT_EQ(outcome(PickleBuilder().raw("G\x3f\xf8\x00\x00\x00\x00\x00\x00."s)), "1.5");
  EXPECT_EQ(outcome(PickleBuilder().real(-0.0).stop()), "-0.0");
  EXPECT_EQ(outcome(PickleBuilder().line('F', "2.5e-07").stop()), "2.5e-07");
  EXPECT_EQ(outcome(PickleBuilder().line('F', "inf").stop()), "inf");
  EXPECT_EQ(outcome(PickleBuilder().line('F', "-inf").stop()), "-inf");
  EXPECT_EQ(outcome(PickleBuilder().line('F', "nan").stop()), "nan");
}

TEST(PickleMachine, TextsOfAllLengthsAreViewsIntoTheStream) {
  const PickleBuilder stream =
      PickleBuilder().mark().text("ab").short_text("cd").counted8('\x8d', 2, "ef").tuple().stop();
  const auto pickle = read(stream);
  ASSERT_TRUE(pickle) << to_string(pickle.error());
  EXPECT_EQ(describe(pickle->graph), "('ab', 'cd', 'ef')");
  const char* const begin = stream.str().data();
  const std::size_t positions[] = {6, 10, 21};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(pickle->graph.text(pickle->graph.items(pickle->graph.root())[i]).data(), begin + positions[i]);
  }
}

TEST(PickleMachine, BytesAndBytearraysAreTheirOwnKinds) {
  const PickleBuilder stream = PickleBuilder()
                                   .mark()
                                   .bytes_value("\x00\xff"s)
                                   .counted4('B', 1, "b")
                                   .counted8('\x8e', 1, "c")
                                   .bytearray_value("d")
                                   .tuple()
                                   .stop();
  EXPECT_EQ(outcome(stream), "(b'\\x00\\xff', b'b', b'c', bytearray(b'd'))");
}

TEST(PickleMachine, Python2StringsStayUndecided) {
  EXPECT_EQ(outcome(PickleBuilder().byte_string("caf\xe9").stop()), "s'caf\\xe9'");
  EXPECT_EQ(outcome(PickleBuilder().counted4('T', 2, "hi").stop()), "s'hi'");
  EXPECT_EQ(outcome(PickleBuilder().line('S', "'plain'").stop()), "s'plain'");
  EXPECT_EQ(outcome(PickleBuilder().line('S', "\"it's\"").stop()), "s\"it's\"");
  EXPECT_EQ(outcome(PickleBuilder().line('S', R"('a\x41\101\n\\\'\q')").stop()), R"(s"aAA\n\\'\\q")");
}

TEST(PickleMachine, UnicodeLinesAreRawUnicodeEscape) {
  EXPECT_EQ(outcome(PickleBuilder().line('V', "plain").stop()), "'plain'");
  EXPECT_EQ(outcome(PickleBuilder().line('V', "caf\xe9").stop()), "'caf\u00e9'");
  EXPECT_EQ(outcome(PickleBuilder().line('V', R"(\u2192\U0001f600\x41\\u0041)").stop()),
            "'\u2192\U0001f600\\\\x41\\\\\\\\u0041'");
}

TEST(PickleMachine, A11_LoneSurrogatesPass) {
  EXPECT_EQ(outcome(PickleBuilder().text("\xed\xa0\x80").stop()), "'\\ud800'");
  EXPECT_EQ(outcome(PickleBuilder().line('V', R"(\ud800)").stop()), "'\\ud800'");
}

TEST(PickleMachine, TuplesOfEveryForm) {
  EXPECT_EQ(outcome(PickleBuilder().empty_tuple().stop()), "()");
  EXPECT_EQ(outcome(PickleBuilder().none().tuple1().stop()), "(None,)");
  EXPECT_EQ(outcome(PickleBuilder().integer(1).integer(2).tuple2().stop()), "(1, 2)");
  EXPECT_EQ(outcome(PickleBuilder().integer(1).integer(2).integer(3).tuple3().stop()), "(1, 2, 3)");
  EXPECT_EQ(outcome(PickleBuilder().mark().tuple().stop()), "()");
  EXPECT_EQ(outcome(PickleBuilder().mark().integer(1).integer(2).integer(3).integer(4).tuple().stop()), "(1, 2, 3, 4)");
}

TEST(PickleMachine, ListsGrowByOneAndByMany) {
  PickleBuilder stream;
  stream.empty_list().integer(1).append().mark().integer(2).integer(3).appends().mark().appends().integer(4).append();
  EXPECT_EQ(outcome(stream.stop()), "[1, 2, 3, 4]");
  EXPECT_EQ(outcome(PickleBuilder().mark().integer(1).integer(2).list().integer(3).append().stop()), "[1, 2, 3]");
}

TEST(PickleMachine, DictsKeepTheOrderAndEveryPair) {
  PickleBuilder stream;
  stream.empty_dict().text("b").integer(1).setitem();
  stream.mark().text("a").integer(2).text("b").integer(3).setitems();
  EXPECT_EQ(outcome(stream.stop()), "{'b': 1, 'a': 2, 'b': 3}");
  EXPECT_EQ(outcome(PickleBuilder().mark().integer(1).none().dict().stop()), "{1: None}");
}

TEST(PickleMachine, SetsAndFrozensets) {
  EXPECT_EQ(outcome(PickleBuilder().empty_set().mark().integer(1).integer(2).additems().stop()), "set(1, 2)");
  EXPECT_EQ(outcome(PickleBuilder().mark().integer(1).integer(2).frozenset().stop()), "frozenset(1, 2)");
}

TEST(PickleMachine, ListsThatGrowInTurnDoNotMix) {
  // Two lists and a dict grow through the memo, one value at a time: each moves in the pool when it runs out of room.
  PickleBuilder stream;
  stream.empty_list().put(0).pop().empty_list().put(1).pop().empty_dict().put(2).pop();
  std::string first, second, third;
  for (int i = 0; i < 100; ++i) {
    stream.get(0).integer(i).append().pop();
    stream.get(1).integer(-i).append().pop();
    stream.get(2).integer(i).integer(i * i).setitem().pop();
    const std::string comma = i > 0 ? ", " : "";
    first += comma + std::to_string(i);
    second += comma + std::to_string(-i);
    third += comma + std::to_string(i) + ": " + std::to_string(i * i);
  }
  EXPECT_EQ(outcome(stream.get(0).get(1).get(2).tuple3().stop()),
            "([" + first + "], [" + second + "], {" + third + "})");
}

TEST(PickleMachine, GlobalsAreNamesOnly) {
  const PickleBuilder stream = PickleBuilder().proto(2).global("os", "system").stop();
  const auto pickle = read(stream);
  ASSERT_TRUE(pickle) << to_string(pickle.error());
  const ObjectGraph& graph = pickle->graph;
  EXPECT_EQ(graph.kind(graph.root()), ObjectKind::global);
  EXPECT_EQ(graph.module(graph.root()), "os");
  EXPECT_EQ(graph.name(graph.root()), "system");
  EXPECT_EQ(graph.offset(graph.root()), 2u);
}

TEST(PickleMachine, StackGlobalTakesNamesFromTheStack) {
  EXPECT_EQ(outcome(PickleBuilder().short_text("torch").short_text("Size").stack_global().stop()), "torch.Size");
  EXPECT_EQ(outcome(PickleBuilder().line('V', R"(\u0074orch)").byte_string("Size").stack_global().stop()),
            "torch.Size");
}

TEST(PickleMachine, CallsOfEveryKindKeepTheirParts) {
  EXPECT_EQ(outcome(PickleBuilder().global("m", "f").integer(1).tuple1().reduce().stop()), "reduce(m.f, (1,))");
  EXPECT_EQ(outcome(PickleBuilder().global("m", "C").empty_tuple().newobj().stop()), "newobj(m.C, ())");
  EXPECT_EQ(outcome(PickleBuilder().global("m", "C").empty_tuple().empty_dict().newobj_ex().stop()),
            "newobj_ex(m.C, (), **{})");
  EXPECT_EQ(outcome(PickleBuilder().mark().integer(1).integer(2).inst("m", "C").stop()), "inst(m.C, (1, 2))");
  EXPECT_EQ(outcome(PickleBuilder().mark().global("m", "C").integer(1).obj().stop()), "obj(m.C, (1,))");
}

TEST(PickleMachine, ObjectsCollectItemsPairsAndStates) {
  PickleBuilder stream;
  stream.global("m", "C").empty_tuple().reduce();
  stream.integer(1).append().mark().integer(2).integer(3).appends().mark().integer(4).additems();
  stream.text("k").integer(5).setitem().mark().text("l").integer(6).setitems();
  stream.empty_dict().build().none().build();
  EXPECT_EQ(outcome(stream.stop()), "reduce(m.C, ()) [1, 2, 3, 4] {'k': 5, 'l': 6} <- {} <- None");
}

TEST(PickleMachine, ResultsOfCallsCanBeCalled) {
  // torch.relu: getattr(torch._C._VariableFunctionsClass, "relu")
  PickleBuilder stream;
  stream.global("__builtin__", "getattr").global("torch._C", "_VariableFunctionsClass").text("relu").tuple2().reduce();
  EXPECT_EQ(outcome(stream.empty_tuple().reduce().stop()),
            "reduce(reduce(__builtin__.getattr, (torch._C._VariableFunctionsClass, 'relu')), ())");
}

TEST(PickleMachine, PersistentIdsAreAnyValueOrALine) {
  EXPECT_EQ(outcome(PickleBuilder().storage("FloatStorage", "0", 4).stop()),
            "persistent(('storage', torch.FloatStorage, '0', 'cpu', 4))");
  EXPECT_EQ(outcome(PickleBuilder().none().binpersid().stop()), "persistent(None)");
  EXPECT_EQ(outcome(PickleBuilder().line('P', "94081729898320").stop()), "persistent('94081729898320')");
  EXPECT_EQ(outcome(PickleBuilder().line('P', "").none().build().stop()), "persistent('') <- None");
}

TEST(PickleMachine, PersistentObjectsCanBeClasses) {
  // The legacy format keeps module classes as ("module", class, source file, source).
  PickleBuilder stream;
  stream.mark().text("module").global("net", "Net").none().none().tuple().binpersid().empty_tuple().newobj();
  EXPECT_EQ(outcome(stream.stop()), "newobj(persistent(('module', net.Net, None, None)), ())");
}

TEST(PickleMachine, DupPushesTheSameObject) {
  const auto pickle = read(PickleBuilder().empty_list().dup().tuple2().stop());
  ASSERT_TRUE(pickle) << to_string(pickle.error());
  const auto items = pickle->graph.items(pickle->graph.root());
  EXPECT_EQ(items[0], items[1]);
}

TEST(PickleMachine, PopTakesAValueOrAMark) {
  EXPECT_EQ(outcome(PickleBuilder().none().integer(1).pop().stop()), "None");
  EXPECT_EQ(outcome(PickleBuilder().none().mark().pop().stop()), "None");
  EXPECT_EQ(outcome(PickleBuilder().none().mark().integer(1).pop().pop().stop()), "None");
  EXPECT_EQ(outcome(PickleBuilder().none().mark().integer(1).integer(2).pop_mark().stop()), "None");
}

TEST(PickleMachine, TheMemoReturnsTheSameObjectByEveryForm) {
  PickleBuilder stream;
  stream.empty_list().put(3).pop().empty_dict().put(70000).pop().line('V', "t").line('p', "5").pop();
  stream.mark().get(3).line('g', "3").raw({'j', 3, 0, 0, 0}).get(70000).line('g', "5").tuple();
  const auto pickle = read(stream.stop());
  ASSERT_TRUE(pickle) << to_string(pickle.error());
  EXPECT_EQ(describe(pickle->graph), "([], [], [], {}, 't')");
  const auto items = pickle->graph.items(pickle->graph.root());
  EXPECT_EQ(items[0], items[1]);
  EXPECT_EQ(items[0], items[2]);
}

TEST(PickleMachine, MemoizeCountsEntries) {
  PickleBuilder stream;
  stream.integer(10).memoize().pop().integer(11).put(7).pop().integer(12).memoize().pop();  // entries 0, 7 and 2
  EXPECT_EQ(outcome(stream.get(0).get(7).get(2).tuple3().stop()), "(10, 11, 12)");
}

TEST(PickleMachine, AMemoEntryMayBeReplaced) {
  EXPECT_EQ(outcome(PickleBuilder().integer(1).put(0).pop().integer(2).put(0).pop().get(0).stop()), "2");
}

TEST(PickleMachine, EqualTextsAreDifferentObjectsUnlessTheMemoSaysSo) {
  const auto pickle = read(PickleBuilder().text("a").put(0).text("a").get(0).tuple3().stop());
  ASSERT_TRUE(pickle) << to_string(pickle.error());
  const auto items = pickle->graph.items(pickle->graph.root());
  EXPECT_NE(items[0], items[1]);
  EXPECT_EQ(items[0], items[2]);
}

TEST(PickleMachine, A11_ContainersMayContainThemselves) {
  EXPECT_EQ(outcome(PickleBuilder().empty_list().put(0).get(0).append().stop()), "[^1]");
  EXPECT_EQ(outcome(PickleBuilder().empty_dict().put(0).integer(1).get(0).setitem().stop()), "{1: ^1}");
  EXPECT_EQ(outcome(PickleBuilder().empty_set().put(0).mark().get(0).additems().stop()), "set(^1)");
}

TEST(PickleMachine, P28_CyclesThroughStateAreKept) {
  PickleBuilder stream;
  stream.global("m", "C").empty_tuple().newobj().put(0).empty_dict().text("self").get(0).setitem().build();
  EXPECT_EQ(outcome(stream.stop()), "newobj(m.C, ()) <- {'self': ^2}");
}

TEST(PickleMachine, P28_RecursiveTuplesAreBuiltByPopping) {
  // t = ([],); t[0].append(t): the tuple is finished inside the list, then the half-built outer one is dropped.
  PickleBuilder one;
  one.empty_list().put(0).get(0).tuple1().put(1).append().pop().get(1);
  EXPECT_EQ(outcome(one.stop()), "([^2],)");
  PickleBuilder many;  // four values: MARK, and POP_MARK instead of TUPLE
  many.mark().integer(1).integer(2).integer(3).empty_list().put(0);
  many.mark().integer(1).integer(2).integer(3).get(0).tuple().put(1).append().pop_mark().get(1);
  EXPECT_EQ(outcome(many.stop()), "(1, 2, 3, [^2])");
}

TEST(PickleMachine, A09_FramesAreChecked) {
  PickleBuilder body;
  body.short_text("torch").memoize().short_text("Size").memoize().stack_global().memoize().stop();
  PickleBuilder stream;
  stream.proto(4).frame(body.size()).raw(body.str());
  EXPECT_EQ(outcome(stream), "torch.Size");
}

TEST(PickleMachine, FramesMayFollowEachOtherAndLeaveGaps) {
  PickleBuilder stream;
  stream.proto(4).frame(3).mark().integer(1).frame(0).text("between frames").frame(2).tuple().stop();
  EXPECT_EQ(outcome(stream), "(1, 'between frames')");
}

TEST(PickleMachine, P13_ProtocolsUpTo5MayBeRepeatedLateOrMissing) {
  const auto none = read(PickleBuilder().none().stop());
  ASSERT_TRUE(none);
  EXPECT_EQ(none->protocol, 0);
  for (unsigned version = 0; version <= 5; ++version) {
    const auto pickle = read(PickleBuilder().none().proto(version).proto(1).stop());
    ASSERT_TRUE(pickle) << to_string(pickle.error());
    EXPECT_EQ(pickle->protocol, static_cast<int>(version < 1 ? 1 : version));
  }
}

TEST(PickleMachine, BytesBehindStopAreLeftToTheCaller) {
  const auto pickle = read(PickleBuilder().proto(2).none().stop().raw("whatever follows"));
  ASSERT_TRUE(pickle) << to_string(pickle.error());
  EXPECT_EQ(pickle->bytes_used, 4u);
  EXPECT_EQ(pickle->opcode_count, 3u);
}

TEST(PickleMachine, P05_GlobalsAreListedThoughTheyAreDropped) {
  PickleBuilder stream;
  stream.global("os", "system").pop().global("torch", "Size").pop().global("os", "system").pop();
  stream.text("os").text("popen").stack_global().pop().mark().inst("posix", "nice").pop().none().stop();
  const auto pickle = read(stream);
  ASSERT_TRUE(pickle) << to_string(pickle.error());
  std::string names;
  for (const NamedGlobal& global : pickle->globals) {
    names += global.module + "." + global.name + "@" + std::to_string(global.offset) + " ";
  }
  EXPECT_EQ(names, "os.system@0 torch.Size@12 os.popen@54 posix.nice@57 ");
}

TEST(PickleMachine, ObjectsKnowTheirOffsets) {
  const auto pickle = read(PickleBuilder().proto(2).empty_list().integer(7).append().stop());
  ASSERT_TRUE(pickle) << to_string(pickle.error());
  EXPECT_EQ(pickle->graph.size(), 2u);
  EXPECT_EQ(pickle->graph.offset(pickle->graph.root()), 2u);
  EXPECT_EQ(pickle->graph.offset(pickle->graph.items(pickle->graph.root())[0]), 3u);
}

TEST(PickleMachine, TheResultCanBeMoved) {
  const PickleBuilder stream =
      PickleBuilder().line('V', R"(\u00e9)").mark().text("a").integer(1).dict().tuple2().stop();
  auto pickle = read(stream);
  ASSERT_TRUE(pickle) << to_string(pickle.error());
  const Pickle moved = std::move(*pickle);
  EXPECT_EQ(describe(moved.graph), "('\u00e9', {'a': 1})");
}

TEST(PickleMachine, ATorchTensorIsACallOnAPersistentObject) {
  const std::int64_t shape[] = {2, 3};
  EXPECT_EQ(outcome(PickleBuilder().proto(2).tensor("FloatStorage", "0", shape).stop()),
            "reduce(torch._utils._rebuild_tensor_v2, (persistent(('storage', torch.FloatStorage, '0', 'cpu', 6)), 0, "
            "(2, 3), (3, 1), False, reduce(collections.OrderedDict, ())))");
}

}  // namespace
}  // namespace rushlight::pickle
