#include "checkpoint/value_builder.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "built.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_view_literals;

PickleBuilder start() {
  PickleBuilder pickle;
  pickle.proto(2);
  return pickle;
}

// --- plain values
// -----------------------------------------------------------------------------------------------------

TEST(ValueBuilder, PlainValuesKeepTheirKinds) {
  PickleBuilder pickle = start();
  pickle.mark().none().boolean(true).integer(-5).real(0.5).text("caf\xC3\xA9").bytes_value("\x00\xFF"sv).empty_list();
  pickle.long1("\x00\x00\x00\x00\x00\x00\x00\x00\x01"sv).tuple().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  const Value root = built.root;
  ASSERT_EQ(root.kind(), ValueKind::tuple);
  EXPECT_TRUE(root[0].is_none());
  EXPECT_EQ(root[1].as_bool(), true);
  EXPECT_EQ(root[2].as_int(), -5);
  EXPECT_EQ(root[3].as_double(), 0.5);
  EXPECT_EQ(root[4].as_string(), "caf\xC3\xA9");
  EXPECT_EQ(root[5].as_bytes()->size(), 2u);
  EXPECT_EQ(root[6].kind(), ValueKind::list);
  EXPECT_EQ(root[7].as_decimal(), "18446744073709551616");
  EXPECT_TRUE(built.findings.empty());
}

TEST(ValueBuilder, OneObjectMetTwiceIsOneObject) {
  PickleBuilder pickle = start();
  pickle.mark().empty_list().put(0).get(0).empty_list().list().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_TRUE(built.root[0].same_object(built.root[1]));
  EXPECT_FALSE(built.root[0].same_object(built.root[2]));
}

TEST(ValueBuilder, P28_ListsDictsAndTuplesMayHoldThemselves) {
  PickleBuilder list = start();
  list.empty_list().put(0).get(0).append().stop();
  Built built = build(list);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_TRUE(built.root[0].same_object(built.root));

  PickleBuilder dict = start();
  dict.empty_dict().put(0).text("me").get(0).setitem().stop();
  built = build(dict);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_TRUE(built.root["me"].same_object(built.root));

  // As Python writes a tuple that holds a list that holds the tuple: the inner one, then POP, then GET.
  PickleBuilder tuple = start();
  tuple.empty_list().put(0).get(0).tuple1().put(1).append().pop().get(1).stop();
  built = build(tuple);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_TRUE(built.root[0][0].same_object(built.root));
}

TEST(ValueBuilder, P28_AnOpaqueObjectMayHoldItselfInItsState) {
  PickleBuilder pickle = start();
  pickle.global("my", "Class").empty_tuple().newobj().put(0).empty_dict().text("me").get(0).setitem().build().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_TRUE(built.root.attr("me").same_object(built.root));
}

TEST(ValueBuilder, P25_MemoBombsCostTheirBytes) {
  PickleBuilder pickle = start();
  pickle.text("x").put(0).pop();
  for (std::uint32_t i = 0; i < 60; ++i) pickle.get(i).get(i).tuple2().put(i + 1).pop();
  pickle.get(60).stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root[0][1][0].kind(), ValueKind::tuple);
}

TEST(ValueBuilder, Python2StringsAreTextWhereTheyAreUtf8AndBytesElsewhere) {
  PickleBuilder pickle = start();
  pickle.byte_string("caf\xC3\xA9").byte_string("caf\xE9").tuple2().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root[0].as_string(), "caf\xC3\xA9");
  ASSERT_EQ(built.root[1].kind(), ValueKind::bytes);
  EXPECT_EQ(built.root[1].as_bytes()->size(), 4u);
}

TEST(ValueBuilder, ValuesOutliveThePickle) {
  Value root;
  {
    PickleBuilder pickle = start();
    pickle.text("a text that is longer than any small buffer would hold").stop();
    root = build(pickle).root;
  }
  EXPECT_EQ(root.as_string(), "a text that is longer than any small buffer would hold");
}

// --- what protocol 2 spells as calls
// ----------------------------------------------------------------------------------

TEST(ValueBuilder, BytesAreTextEncodedAsLatin1) {
  PickleBuilder pickle = start();
  pickle.global("_codecs", "encode").text("a\xC3\xBF").text("latin1").tuple2().reduce().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  ASSERT_EQ(built.root.kind(), ValueKind::bytes);
  EXPECT_EQ(as_text(*built.root.as_bytes()), "a\xFF");
  EXPECT_TRUE(built.globals[0].allowed);

  PickleBuilder empty = start();
  empty.global("__builtin__", "bytes").empty_tuple().reduce().stop();
  EXPECT_EQ(build(empty).root.kind(), ValueKind::bytes);
}

TEST(ValueBuilder, BytearraysComeInThreeForms) {
  PickleBuilder nothing = start();
  nothing.global("__builtin__", "bytearray").empty_tuple().reduce().stop();
  EXPECT_EQ(build(nothing).root.as_bytes()->size(), 0u);
  PickleBuilder call = start();
  call.global("__builtin__", "bytearray").global("_codecs", "encode").text("ab").text("latin1").tuple2().reduce();
  call.tuple1().reduce().stop();
  EXPECT_EQ(as_text(*build(call).root.as_bytes()), "ab");
  PickleBuilder text = start();
  text.global("__builtin__", "bytearray").text("\xC3\xA9").text("latin-1").tuple2().reduce().stop();
  const Built built = build(text);
  EXPECT_EQ(built.root.kind(), ValueKind::bytearray);
  EXPECT_EQ(as_text(*built.root.as_bytes()), "\xE9");
}

TEST(ValueBuilder, OrderedDictsKeepTheirClassOrderAndAttributes) {
  PickleBuilder pickle = start();
  pickle.global("collections", "OrderedDict").empty_tuple().reduce();
  pickle.mark().text("b").integer(1).text("a").integer(2).setitems();
  pickle.empty_dict().text("_metadata").empty_dict().setitem().build().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root.kind(), ValueKind::dict);
  EXPECT_EQ(built.root.class_name(), "collections.OrderedDict");
  EXPECT_EQ(built.root.entry(0).first.as_string(), "b");
  EXPECT_EQ(built.root["a"].as_int(), 2);
  EXPECT_EQ(built.root.attr("_metadata").kind(), ValueKind::dict);
}

TEST(ValueBuilder, Python2WroteOrderedDictsAsListsOfPairs) {
  PickleBuilder pickle = start();
  pickle.global("collections", "OrderedDict").empty_list().mark();
  pickle.empty_list().mark().byte_string("k").integer(7).appends();
  pickle.byte_string("l").integer(8).tuple2();
  pickle.appends().tuple1().reduce().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root["k"].as_int(), 7);
  EXPECT_EQ(built.root["l"].as_int(), 8);
}

TEST(ValueBuilder, SetsCountersSizesAndDevicesAreWhatTheySay) {
  PickleBuilder pickle = start();
  pickle.mark();
  pickle.global("__builtin__", "set").mark().integer(1).integer(2).integer(1).list().tuple1().reduce();
  pickle.global("__builtin__", "frozenset").mark().integer(3).list().tuple1().reduce();
  pickle.global("collections", "Counter").empty_dict().text("x").integer(4).setitem().tuple1().reduce();
  pickle.global("torch", "Size").integer(2).integer(3).tuple2().tuple1().reduce();
  pickle.global("torch", "device").text("cuda").integer(1).tuple2().reduce();
  pickle.global("torch", "device").text("cpu").tuple1().reduce();
  pickle.global("torch.serialization", "_get_layout").text("torch.strided").tuple1().reduce();
  pickle.global("torch", "bfloat16");
  pickle.global("torch", "per_channel_affine");
  pickle.global("__builtin__", "complex").real(1.5).integer(-2).tuple2().reduce();
  pickle.tuple().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  const Value root = built.root;
  EXPECT_EQ(root[0].kind(), ValueKind::set);
  EXPECT_EQ(root[0].size(), 2u);
  EXPECT_EQ(root[1].kind(), ValueKind::frozenset);
  EXPECT_EQ(root[2].class_name(), "collections.Counter");
  EXPECT_EQ(root[2]["x"].as_int(), 4);
  EXPECT_EQ(root[3].kind(), ValueKind::size);
  EXPECT_EQ(root[3][1].as_int(), 3);
  EXPECT_EQ(root[4].as_device(), "cuda:1");
  EXPECT_EQ(root[5].as_device(), "cpu");
  EXPECT_EQ(root[6].class_name(), "torch.strided");
  EXPECT_EQ(root[7].as_dtype(), DType::bf16);
  EXPECT_EQ(root[8].class_name(), "torch.per_channel_affine");
  EXPECT_EQ(root[9].as_complex(), std::complex<double>(1.5, -2));
  EXPECT_TRUE(built.findings.empty());
}

TEST(ValueBuilder, OneDtypeIsOneObject) {
  PickleBuilder pickle = start();
  pickle.global("torch", "float16").global("torch", "float16").tuple2().stop();
  const Built built = build(pickle);
  EXPECT_TRUE(built.root[0].same_object(built.root[1]));
}

// --- opaque objects
// ---------------------------------------------------------------------------------------------------

TEST(ValueBuilder, F01_ObjectsOfUnknownClassesKeepClassArgumentsStateAndItems) {
  PickleBuilder pickle = start();
  pickle.empty_dict().text("args");
  pickle.global("argparse", "Namespace")
      .integer(1)
      .tuple1()
      .newobj()
      .empty_dict()
      .text("lr")
      .real(0.1)
      .setitem()
      .build();
  pickle.setitem().text("list").global("my", "List").empty_tuple().newobj().integer(5).append().setitem();
  pickle.text("dict").global("my", "Dict").empty_tuple().newobj().text("k").integer(6).setitem().setitem().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  const Value args = built.root["args"];
  EXPECT_EQ(args.kind(), ValueKind::opaque);
  EXPECT_EQ(args.class_name(), "argparse.Namespace");
  EXPECT_EQ(args.arguments()[0].as_int(), 1);
  EXPECT_EQ(args.attr("lr").as_double(), 0.1);
  EXPECT_EQ(built.root["list"].item(0).as_int(), 5);
  EXPECT_EQ(built.root["dict"]["k"].as_int(), 6);
  ASSERT_EQ(built.findings.size(), 3u);
  EXPECT_EQ(line_of(built.findings[0]),
            "global GLOBAL-UNKNOWN at 0xc: global 'argparse.Namespace' is not on the allow-list");
  EXPECT_EQ(built.findings[0].offset, 0x4Cu);
  EXPECT_EQ(built.findings[0].hint,
            "Python would have to import it; here its objects are opaque values, the tensors beside them load, nothing "
            "is executed");
  EXPECT_EQ(built.globals[0].paths, std::vector<std::string>{"args"});
}

TEST(ValueBuilder, F02_ACallOfSystemIsAnInertValue) {
  PickleBuilder pickle = start();
  pickle.global("os", "system").text("true").tuple1().reduce().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root.kind(), ValueKind::opaque);
  EXPECT_EQ(built.root.class_name(), "os.system");
  EXPECT_EQ(built.root.arguments()[0].as_string(), "true");
  EXPECT_EQ(built.globals[0].paths, std::vector<std::string>{""});
}

TEST(ValueBuilder, F05_ReconstructorsPartialsAndCodeStayData) {
  PickleBuilder pickle = start();
  pickle.mark();
  pickle.global("copy_reg", "_reconstructor")
      .global("my", "Old")
      .global("__builtin__", "object")
      .none()
      .tuple3()
      .reduce();
  pickle.global("functools", "partial").global("os", "system").tuple1().reduce();
  pickle.global("types", "CodeType").bytes_value("d\0S\0"sv).tuple1().reduce();
  pickle.global("__builtin__", "getattr").global("torch._C", "_VariableFunctionsClass").text("relu").tuple2().reduce();
  pickle.tuple().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root[0].class_name(), "my.Old");
  EXPECT_EQ(built.root[1].class_name(), "functools.partial");
  EXPECT_EQ(built.root[2].class_name(), "types.CodeType");
  EXPECT_EQ(built.root[3].class_name(), "builtins.getattr");
  EXPECT_EQ(built.findings.size(), 8u);
}

TEST(ValueBuilder, WhatACallReturnedCanBeCalled) {
  PickleBuilder pickle = start();
  pickle.global("builtins", "getattr")
      .global("my", "f")
      .text("g")
      .tuple2()
      .reduce()
      .integer(3)
      .tuple1()
      .reduce()
      .stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root.class_name(), "builtins.getattr(...)");
  EXPECT_EQ(built.root.arguments()[0].as_int(), 3);
}

TEST(ValueBuilder, P02_P03_EveryWayToCallIsData) {
  PickleBuilder stack_global;
  stack_global.proto(4)
      .short_text("os")
      .short_text("system")
      .stack_global()
      .short_text("true")
      .tuple1()
      .reduce()
      .stop();
  PickleBuilder memo;
  memo.proto(4).short_text("os").put(0).short_text("system").put(1).pop().pop().get(0).get(1).stack_global();
  memo.empty_tuple().reduce().stop();
  PickleBuilder inst = start();
  inst.mark().text("true").inst("os", "system").stop();
  PickleBuilder obj = start();
  obj.mark().global("os", "system").text("true").obj().stop();
  PickleBuilder newobj = start();
  newobj.global("os", "system").text("true").tuple1().newobj().stop();
  PickleBuilder newobj_ex;
  newobj_ex.proto(4)
      .global("os", "system")
      .empty_tuple()
      .empty_dict()
      .short_text("command")
      .short_text("true")
      .setitem();
  newobj_ex.newobj_ex().stop();
  PickleBuilder setstate = start();
  setstate.global("os", "system")
      .empty_tuple()
      .newobj()
      .empty_dict()
      .text("__setstate__")
      .text("true")
      .setitem()
      .build();
  setstate.stop();
  for (const PickleBuilder* pickle : {&stack_global, &memo, &inst, &obj, &newobj, &newobj_ex, &setstate}) {
    const Built built = build(*pickle);
    ASSERT_TRUE(built.ok) << built.line;
    EXPECT_EQ(built.root.kind(), ValueKind::opaque);
    EXPECT_EQ(built.root.class_name(), "os.system");
    ASSERT_EQ(built.globals.size(), 1u);
    EXPECT_FALSE(built.globals[0].allowed);
    EXPECT_EQ(build(*pickle, {.globals = Globals::strict}).error.code, ErrorCode::forbidden);
  }
  EXPECT_EQ(build(newobj_ex).root.arguments()[0]["command"].as_string(), "true");
}

TEST(ValueBuilder, P05_NamesThatArePoppedAreReportedAllTheSame) {
  PickleBuilder pickle = start();
  pickle.global("os", "system").pop().none().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  ASSERT_EQ(built.findings.size(), 1u);
  EXPECT_EQ(built.globals[0].name, "os.system");
  EXPECT_TRUE(built.globals[0].paths.empty());
}

TEST(ValueBuilder, StrictGlobalsNameAllThatAreRefused) {
  PickleBuilder pickle = start();
  pickle.global("os", "system").pop().global("collections", "OrderedDict").pop().global("my\x1b[0m", "X").stop();
  const Built built = build(pickle, {.globals = Globals::strict});
  EXPECT_EQ(built.error.code, ErrorCode::forbidden);
  EXPECT_EQ(built.line,
            "global GLOBAL-UNKNOWN at 0x2: 2 globals are not on the allow-list: 'os.system', 'my\\x1b[0m.X'");
}

TEST(ValueBuilder, AcceptedNamesPassWithoutAWarning) {
  PickleBuilder pickle = start();
  pickle.global("my", "Config").empty_tuple().reduce().stop();
  LoadOptions options;
  options.accepted_globals = {"my.Config"};
  options.globals = Globals::strict;
  const Built built = build(pickle, options);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_TRUE(built.findings.empty());
  EXPECT_TRUE(built.globals[0].allowed);
  EXPECT_EQ(built.root.kind(), ValueKind::opaque);
}

TEST(ValueBuilder, WarningsAreCutShortTheListOfNamesIsNot) {
  PickleBuilder pickle = start();
  for (int i = 0; i < 300; ++i) pickle.global("m", "n" + std::to_string(i)).pop();
  pickle.none().stop();
  const Built built = build(pickle);
  EXPECT_EQ(built.globals.size(), 300u);
  EXPECT_EQ(built.findings.size(), 257u);
}

TEST(ValueBuilder, SeveralStatesAreAppliedInTurn) {
  PickleBuilder pickle = start();
  pickle.global("my", "Class").empty_tuple().newobj();
  pickle.empty_dict().text("a").integer(1).setitem().build().empty_dict().text("b").integer(2).setitem().build().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root.attr("a").as_int(), 1);
  EXPECT_EQ(built.root.attr("b").as_int(), 2);
}

// --- wrong uses of names with a meaning
// ---------------------------------------------------------------------------------

struct Wrong {
  std::string_view line;
  PickleBuilder pickle;
  std::size_t behind = 2;  // REDUCE, STOP
};

// `behind` is how many bytes from the end the offending opcode stands; the last one is STOP.
void expect_lines(const std::vector<Wrong>& wrongs) {
  for (const Wrong& wrong : wrongs) {
    const Built built = build(wrong.pickle);
    EXPECT_FALSE(built.ok) << wrong.line;
    EXPECT_EQ(std::string(to_string(built.error.finding.category)) + " " + built.error.finding.code + ": " +
                  built.error.finding.message,
              wrong.line);
    EXPECT_EQ(built.error.finding.record_offset, wrong.pickle.size() - wrong.behind) << wrong.line;
    EXPECT_EQ(built.error.finding.offset, 0x40 + *built.error.finding.record_offset);
    EXPECT_EQ(built.error.finding.record, "data.pkl");
    EXPECT_EQ(built.error.finding.file, "test.pt");
  }
}

TEST(ValueBuilder, P39_HostileArgumentsOfBuiltinsAreRefused) {
  expect_lines({
      {"type TYPE-ARGUMENT: builtins.set: argument 0 (items), expected a list or tuple, found int",
       start().global("__builtin__", "set").integer(5).tuple1().reduce().stop()},
      {"type TYPE-ARGUMENT-COUNT: builtins.set: wrong number of arguments, expected 0 or 1, found 2",
       start().global("__builtin__", "set").none().none().tuple2().reduce().stop()},
      {"type TYPE-UNHASHABLE: an item of a set is not hashable in Python, found list",
       start().global("builtins", "set").mark().empty_list().list().tuple1().reduce().stop(), 5},
      {"type TYPE-ARGUMENT: builtins.frozenset: argument 0 (items), expected a list or tuple, found dict",
       start().global("builtins", "frozenset").empty_dict().tuple1().reduce().stop()},
      {"type TYPE-ARGUMENT: builtins.complex: argument 1 (imaginary part), expected float, found str",
       start().global("builtins", "complex").real(1).text("").tuple2().reduce().stop()},
      {"type TYPE-ARGUMENT-COUNT: builtins.complex: wrong number of arguments, expected 2, found 0",
       start().global("builtins", "complex").empty_tuple().reduce().stop()},
      {"type TYPE-ARGUMENT: collections.OrderedDict: argument 0 (entries), expected a dict or a list of pairs, "
       "found int",
       start().global("collections", "OrderedDict").integer(9).tuple1().reduce().stop()},
      {"type TYPE-ARGUMENT: collections.OrderedDict: argument 0 (entries), expected pairs of key and value, "
       "found list",
       start().global("collections", "OrderedDict").mark().none().list().tuple1().reduce().stop()},
      {"type TYPE-ARGUMENT: collections.Counter: argument 0 (entries), expected a dict or a list of pairs, "
       "found str",
       start().global("collections", "Counter").text("").tuple1().reduce().stop()},
      {"type TYPE-ARGUMENT: _codecs.encode: argument 1 (encoding), expected 'latin1', found 'rot13'",
       start().global("_codecs", "encode").text("").text("rot13").tuple2().reduce().stop()},
      {"type TYPE-ARGUMENT: _codecs.encode: argument 0 (text), expected characters up to U+00FF, found "
       "'\xC4\x80'",
       start().global("_codecs", "encode").text("\xC4\x80").text("latin1").tuple2().reduce().stop()},
      {"type TYPE-ARGUMENT: torch.Size: argument 0 (sizes), expected a tuple of int, found str",
       start().global("torch", "Size").text("12").tuple1().reduce().stop()},
      {"type TYPE-ARGUMENT: torch.device: argument 0 (type), expected str, found int",
       start().global("torch", "device").integer(1).tuple1().reduce().stop()},
      {"type TYPE-LAYOUT: torch.serialization._get_layout: no such layout, found 'os'",
       start().global("torch.serialization", "_get_layout").text("os").tuple1().reduce().stop()},
  });
}

TEST(ValueBuilder, P29_P30_NothingIsAddedToTensorsAndTheLike) {
  const auto tensor = [] { return start().tensor("FloatStorage", "0", std::vector<std::int64_t>{8}); };
  const Built set = build(PickleBuilder(tensor()).integer(0).integer(1).setitem().stop());
  EXPECT_EQ(set.error.finding.code, "TYPE-SETITEM");
  EXPECT_EQ(set.error.finding.message, "keys are set on the result of torch._utils._rebuild_tensor_v2");
  EXPECT_EQ(set.error.finding.category, Category::type);
  const Built append = build(PickleBuilder(tensor()).integer(0).append().stop());
  EXPECT_EQ(append.error.finding.code, "TYPE-APPEND");
  const Built state = build(PickleBuilder(tensor()).empty_dict().build().stop());
  EXPECT_EQ(state.error.finding.code, "TYPE-BUILD");
  expect_lines({
      {"type TYPE-APPEND: items are appended to the result of collections.OrderedDict",
       start().global("collections", "OrderedDict").empty_tuple().reduce().none().append().stop(), 4},
      {"type TYPE-SETITEM: keys are set on the result of builtins.set",
       start().global("builtins", "set").empty_tuple().reduce().none().none().setitem().stop(), 5},
      {"type TYPE-BUILD: the attributes of a dict are no dict, found None",
       start().global("collections", "OrderedDict").empty_tuple().reduce().none().build().stop(), 3},
      {"type TYPE-NEWOBJ: torch._utils._rebuild_tensor is a function, and an object of it is made",
       start().global("torch._utils", "_rebuild_tensor").empty_tuple().newobj().stop(), 2},
      {"type TYPE-BUILD: a state is set on a storage",
       start().storage("FloatStorage", "0", 8).empty_dict().build().stop(), 4},
  });
}

TEST(ValueBuilder, P34_KeysMustBeHashableAndCompareAsInPython) {
  expect_lines({
      {"type TYPE-UNHASHABLE: a dict key is not hashable in Python, found list",
       start().empty_dict().empty_list().none().setitem().stop(), 4},
      {"type TYPE-UNHASHABLE: a dict key is not hashable in Python, found dict",
       start().empty_dict().empty_dict().none().setitem().stop(), 4},
  });
  PickleBuilder pickle = start();
  pickle.empty_dict().mark().integer(1).text("int").real(1.0).text("float").boolean(true).text("bool").setitems();
  pickle.real(0.0 / 1.0).text("zero").setitem().stop();
  const Built built = build(pickle);
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_EQ(built.root.size(), 2u);
  EXPECT_EQ(built.root.entry(0).first.kind(), ValueKind::integer);
  EXPECT_EQ(built.root.entry(0).second.as_string(), "bool");
}

TEST(ValueBuilder, P36_P37_PersistentIdsMustBeThoseOfStorages) {
  const auto id = [](auto&& parts) {
    PickleBuilder pickle = start();
    parts(pickle);
    return pickle.binpersid().stop();
  };
  const auto with_kind = [&](auto&& kind) {
    return id([&](PickleBuilder& p) {
      p.mark();
      kind(p);
      p.global("torch", "FloatStorage").text("0").text("cpu").integer(8).tuple();
    });
  };
  struct Case {
    std::string_view line;
    PickleBuilder pickle;
  };
  const Case cases[] = {
      {"persistent id, expected a tuple of 5, found str", id([](PickleBuilder& p) { p.text("storage"); })},
      {"persistent id, expected a tuple of 5, found bytes", id([](PickleBuilder& p) { p.bytes_value("0"); })},
      {"persistent id, expected a tuple of 5, found list", id([](PickleBuilder& p) { p.empty_list(); })},
      {"persistent id, expected a tuple of 5, found int", id([](PickleBuilder& p) { p.integer(0); })},
      {"persistent id, expected a tuple of 5, found None", id([](PickleBuilder& p) { p.none(); })},
      {"persistent id, expected a tuple of 5, found a tuple of 0", id([](PickleBuilder& p) { p.empty_tuple(); })},
      {"persistent id, expected a tuple of 5, found a tuple of 4", id([](PickleBuilder& p) {
         p.mark().text("storage").global("torch", "FloatStorage").text("0").text("cpu").tuple();
       })},
      {"persistent id, expected a tuple of 5, found a tuple of 6", id([](PickleBuilder& p) {
         p.mark().text("storage").global("torch", "FloatStorage").text("0").text("cpu").integer(8).none().tuple();
       })},
      {"persistent id part 0 (kind), expected 'storage', found 'Storage'",
       with_kind([](PickleBuilder& p) { p.text("Storage"); })},
      {"persistent id part 0 (kind), expected 'storage', found 'storage\\x00'",
       with_kind([](PickleBuilder& p) { p.text("storage\0"sv); })},
      {"persistent id part 0 (kind), expected 'storage', found bytes",
       with_kind([](PickleBuilder& p) { p.bytes_value("storage"); })},
      {"persistent id part 1 (class), expected a storage class, found str", id([](PickleBuilder& p) {
         p.mark().text("storage").text("FloatStorage").text("0").text("cpu").integer(8).tuple();
       })},
      {"persistent id part 1 (class), expected a storage class, found global 'collections.OrderedDict'",
       id([](PickleBuilder& p) {
         p.mark().text("storage").global("collections", "OrderedDict").text("0").text("cpu").integer(8).tuple();
       })},
      {"persistent id part 1 (class), expected a storage class, found global 'torch.storage.TypedStorage'",
       id([](PickleBuilder& p) {
         p.mark().text("storage").global("torch.storage", "TypedStorage").text("0").text("cpu").integer(8).tuple();
       })},
      {"persistent id part 2 (key), expected str, found int", id([](PickleBuilder& p) {
         p.mark().text("storage").global("torch", "FloatStorage").integer(0).text("cpu").integer(8).tuple();
       })},
      {"persistent id part 2 (key), expected str, found bytes", id([](PickleBuilder& p) {
         p.mark().text("storage").global("torch", "FloatStorage").bytes_value("0").text("cpu").integer(8).tuple();
       })},
      {"persistent id part 3 (location), expected str, found None", id([](PickleBuilder& p) {
         p.mark().text("storage").global("torch", "FloatStorage").text("0").none().integer(8).tuple();
       })},
      {"persistent id part 4 (numel), expected int, found bool", id([](PickleBuilder& p) {
         p.mark().text("storage").global("torch", "FloatStorage").text("0").text("cpu").boolean(true).tuple();
       })},
  };
  for (const Case& wrong : cases) {
    const Built built = build(wrong.pickle);
    EXPECT_EQ(built.error.finding.message, wrong.line);
    EXPECT_EQ(built.error.finding.code, "TYPE-PERSISTENT-ID");
    EXPECT_EQ(built.error.finding.category, Category::type);
  }
  const Built module = build(with_kind([](PickleBuilder& p) { p.text("module"); }));
  EXPECT_EQ(module.error.code, ErrorCode::unsupported);
  EXPECT_EQ(module.error.finding.message,
            "persistent id of kind 'module' (a class with its source text), expected 'storage', found 'module'");
  const Built negative = build(id([](PickleBuilder& p) {
    p.mark().text("storage").global("torch", "FloatStorage").text("0").text("cpu").integer(-1).tuple();
  }));
  EXPECT_EQ(negative.error.finding.category, Category::store);
  // PERSID, the text form of protocol 0.
  const Built text = build(start().line('P', "0").stop());
  EXPECT_EQ(text.error.finding.message, "persistent id, expected a tuple of 5, found str");
}

}  // namespace
}  // namespace rushlight::test
