// P rows of the catalogue of hostile inputs, from the bytes of data.pkl to the verdict: category, code, offset,
// message. What one opcode does with each kind of operand stands in tests/pickle/hostile_test.cpp.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fail.hpp"
#include "built.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

PickleBuilder start() {
  PickleBuilder pickle;
  pickle.proto(2);
  return pickle;
}

// "ok", or the line of the error.
std::string verdict(const PickleBuilder& pickle, const LoadOptions& options = {}) {
  const Built built = build(pickle, options);
  if (!built.ok) {
    EXPECT_EQ(built.error.finding.record.value_or("data.pkl"), "data.pkl");
  }
  return built.ok ? "ok" : built.line;
}

std::string refused_name(std::uint64_t offset, std::string_view name) {
  return "global GLOBAL-UNKNOWN at " + hex(offset) + ": global '" + std::string(name) + "' is not on the allow-list";
}

// A stream that mentions one name beyond the allow-list, by the opcode at `offset`.
struct Mention {
  PickleBuilder pickle;
  std::uint64_t offset;
  std::string name;
};

// With strict globals the file is refused for the name; else the name is a warning in the same words, and what it would
// have made is data.
void expect_named(const Mention& mention) {
  EXPECT_EQ(verdict(mention.pickle, {.globals = Globals::strict}), refused_name(mention.offset, mention.name));
  EXPECT_EQ(build(mention.pickle, {.globals = Globals::strict}).error.code, ErrorCode::forbidden);
  const Built lenient = build(mention.pickle);
  ASSERT_TRUE(lenient.ok) << lenient.line;
  ASSERT_EQ(lenient.findings.size(), 1u) << mention.name;
  EXPECT_EQ(lenient.findings[0].severity, Severity::warning);
  EXPECT_EQ(line_of(lenient.findings[0]), refused_name(mention.offset, mention.name));
  ASSERT_EQ(lenient.globals.size(), 1u);
  EXPECT_FALSE(lenient.globals[0].allowed);
  EXPECT_EQ(lenient.globals[0].record_offset, mention.offset);
}

TEST(HostilePickles, P01_CallsOfSystemAndItsLikeAreRefusedAtTheName) {
  const std::pair<const char*, const char*> names[] = {{"os", "system"},     {"posix", "system"},
                                                       {"nt", "system"},     {"builtins", "eval"},
                                                       {"builtins", "exec"}, {"subprocess", "Popen"}};
  for (const auto& [module, name] : names) {
    expect_named({start().global(module, name).text("true").tuple1().reduce().stop(), 2, module + "."s + name});
  }
  // Python 2's name of the module means Python 3's.
  expect_named({start().global("__builtin__", "exec").text("true").tuple1().reduce().stop(), 2, "builtins.exec"});
}

TEST(HostilePickles, P02_NamesFromTheStackAreRefusedAtTheirOpcode) {
  const auto called = [](PickleBuilder texts, const char* name) {
    const std::uint64_t offset = texts.size();
    return Mention{texts.stack_global().text("true").tuple1().reduce().stop(), offset, name};
  };
  expect_named(called(start().text("os").text("system"), "os.system"));
  expect_named(called(start().text("system").put(0).pop().text("os").put(1).pop().get(1).get(0), "os.system"));
  expect_named(called(start().text("os").dup(), "os.os"));
  expect_named(called(start().line('S', R"('\x6fs')").line('V', R"(s\u0079stem)"), "os.system"));
  expect_named(called(start().byte_string("os").counted4('T', 6, "system"), "os.system"));
  expect_named(called(PickleBuilder().proto(4).short_text("os").short_text("system"), "os.system"));
}

TEST(HostilePickles, P03_NamesInEveryKindOfCallAreRefusedAtTheirOpcode) {
  expect_named({start().mark().text("true").inst("os", "system").stop(), 12, "os.system"});
  expect_named({start().mark().global("os", "system").text("true").obj().stop(), 3, "os.system"});
  expect_named({start().global("os", "system").text("true").tuple1().newobj().stop(), 2, "os.system"});
  expect_named({start().global("os", "system").empty_tuple().empty_dict().newobj_ex().stop(), 2, "os.system"});
  expect_named({start()
                    .global("os", "system")
                    .empty_tuple()
                    .newobj()
                    .empty_dict()
                    .text("__setstate__")
                    .text("true")
                    .setitem()
                    .build()
                    .stop(),
                2, "os.system"});
}

TEST(HostilePickles, P05_NamesThatAreNeverCalledAreRefusedToo) {
  expect_named({start().global("os", "system").pop().none().stop(), 2, "os.system"});
  expect_named({start().mark().global("os", "system").pop_mark().none().stop(), 3, "os.system"});
  expect_named({start().none().global("os", "system").put(0).pop().stop(), 3, "os.system"});
}

TEST(HostilePickles, P07_NearMissesAreRefusedAndPrintedEscaped) {
  struct Case {
    std::string_view module, name, shown;
  };
  const Case cases[] = {
      {"torch", "FloatStorageX", "torch.FloatStorageX"},
      {"torchX", "FloatStorage", "torchX.FloatStorage"},
      {"torch._utils", "_rebuild_tensor_v2 ", "torch._utils._rebuild_tensor_v2 "},
      {"torch._utils", "_rebuild_tensor_v2\r", "torch._utils._rebuild_tensor_v2\\r"},
      {"torch\r", "FloatStorage", "torch\\r.FloatStorage"},
      {"t\xD0\xBErch", "FloatStorage", "t\xD0\xBErch.FloatStorage"},  // a Cyrillic o
      {"torch", "Float\0Storage"sv, "torch.Float\\x00Storage"},
      {"TORCH", "FLOATSTORAGE", "TORCH.FLOATSTORAGE"},
      {"torch", "\x1b[31mFloatStorage", "torch.\\x1b[31mFloatStorage"},
      {"torch",
       "\xE2\x80\xAE"
       "egarotStaolF",
       "torch.\\u202eegarotStaolF"},
  };
  for (const Case& one : cases) {
    expect_named({start().global(one.module, one.name).empty_tuple().reduce().stop(), 2, std::string(one.shown)});
  }
}

TEST(HostilePickles, P16_AMillionMarksMeetTheLimitOfDepth) {
  PickleBuilder pickle;
  for (int i = 0; i < 1'000'000; ++i) pickle.mark();
  EXPECT_EQ(verdict(pickle),
            "limit LIMIT-PICKLE-DEPTH at 0x200: opcode 513 MARK: more marks are open than limits.pickle_depth allows, "
            "expected at most 512, found 513");
}

TEST(HostilePickles, P27_DepthBombsAreRefusedWhereTheyPassTheLimit) {
  constexpr int kMany = 1'000'000;
  struct Bomb {
    std::string opcode;
    std::uint64_t offset;  // of the opcode that passes the limit; each opcode before it is counted
    std::uint64_t number;
    PickleBuilder pickle;
  };
  PickleBuilder tuples;
  tuples.none();
  for (int i = 0; i < kMany; ++i) tuples.tuple1();
  PickleBuilder lists;
  for (int i = 0; i < kMany; ++i) lists.empty_list();
  for (int i = 1; i < kMany; ++i) lists.append();
  PickleBuilder dicts;
  for (int i = 0; i < kMany; ++i) dicts.empty_dict().none();
  dicts.none();
  for (int i = 0; i < kMany; ++i) dicts.setitem();
  PickleBuilder persistent;
  persistent.none();
  for (int i = 0; i < kMany; ++i) persistent.binpersid();
  const std::uint64_t many = kMany;
  for (const Bomb& bomb :
       {Bomb{"TUPLE1", 513, 514, tuples.stop()}, Bomb{"APPEND", many + 511, many + 512, lists.stop()},
        Bomb{"SETITEM", 2 * many + 1 + 512, 2 * many + 1 + 513, dicts.stop()},
        Bomb{"BINPERSID", 513, 514, persistent.stop()}}) {
    EXPECT_EQ(verdict(bomb.pickle), "limit LIMIT-PICKLE-DEPTH at " + hex(bomb.offset) + ": opcode " +
                                        std::to_string(bomb.number) + " " + bomb.opcode +
                                        ": values are nested deeper than limits.pickle_depth allows, expected at most "
                                        "512, found 513");
  }
}

TEST(HostilePickles, P29_P30_TensorsStoragesAndNamesTakeNoItems) {
  const auto tensor = [] { return start().tensor("FloatStorage", "0", std::vector<std::int64_t>{8}); };
  // The call that made the tensor is what the message places.
  const std::uint64_t call = tensor().size() - 1;
  const std::string callee = "the result of torch._utils._rebuild_tensor_v2";
  EXPECT_EQ(verdict(tensor().integer(0).integer(1).setitem().stop()),
            "type TYPE-SETITEM at " + hex(call) + ": keys are set on " + callee);
  EXPECT_EQ(verdict(tensor().mark().integer(0).integer(1).setitems().stop()),
            "type TYPE-SETITEM at " + hex(call) + ": keys are set on " + callee);
  EXPECT_EQ(verdict(tensor().integer(0).append().stop()),
            "type TYPE-APPEND at " + hex(call) + ": items are appended to " + callee);
  EXPECT_EQ(verdict(tensor().mark().integer(0).appends().stop()),
            "type TYPE-APPEND at " + hex(call) + ": items are appended to " + callee);
  // The machine itself refuses what is no object.
  const PickleBuilder storage = start().storage("FloatStorage", "0", 8).integer(0).integer(1).setitem().stop();
  EXPECT_EQ(verdict(storage), "type PKL-OPERAND at " + hex(storage.size() - 2) +
                                  ": opcode 12 SETITEM: wrong operand, expected dict or object, found persistent "
                                  "object");
  const PickleBuilder name = start().global("torch", "FloatStorage").integer(0).append().stop();
  EXPECT_EQ(verdict(name), "type PKL-OPERAND at " + hex(name.size() - 2) +
                               ": opcode 4 APPEND: wrong operand, expected list or object, found global");
}

TEST(HostilePickles, P32_OnlyNamesAndWhatUnknownCallsReturnCanBeCalled) {
  struct Case {
    const char* found;
    std::function<void(PickleBuilder&)> callable;
    std::uint64_t opcode;
  };
  const Case at_the_opcode[] = {
      {"str", [](PickleBuilder& p) { p.text("os.system"); }, 4},
      {"int", [](PickleBuilder& p) { p.integer(1); }, 4},
      {"tuple", [](PickleBuilder& p) { p.empty_tuple(); }, 4},
      {"None", [](PickleBuilder& p) { p.none(); }, 4},
  };
  for (const Case& one : at_the_opcode) {
    PickleBuilder pickle = start();
    one.callable(pickle);
    pickle.empty_tuple().reduce().stop();
    EXPECT_EQ(verdict(pickle),
              "type PKL-OPERAND at " + hex(pickle.size() - 2) + ": opcode " + std::to_string(one.opcode) +
                  " REDUCE: only globals and objects can be called, expected global, found " + one.found);
  }
  const Case as_values[] = {
      {"a tensor", [](PickleBuilder& p) { p.tensor("FloatStorage", "0", std::vector<std::int64_t>{8}); }, 0},
      {"a storage", [](PickleBuilder& p) { p.storage("FloatStorage", "0", 8); }, 0},
      {"an object of 'collections.OrderedDict'",
       [](PickleBuilder& p) { p.global("collections", "OrderedDict").empty_tuple().reduce(); }, 0},
      {"an object of 'torch.Size'", [](PickleBuilder& p) { p.global("torch", "Size").empty_tuple().reduce(); }, 0},
  };
  for (const Case& one : as_values) {
    for (const auto& call : {&PickleBuilder::reduce, &PickleBuilder::newobj}) {
      PickleBuilder pickle = start();
      one.callable(pickle);
      (pickle.empty_tuple().*call)().stop();
      EXPECT_EQ(verdict(pickle), "type TYPE-CALLABLE at " + hex(pickle.size() - 2) +
                                     ": what is called is no class or function, found " + one.found);
    }
  }
}

TEST(HostilePickles, P32_ArgumentsOfEveryCallAreATuple) {
  EXPECT_EQ(verdict(start().global("torch", "Size").empty_list().reduce().stop()),
            "type PKL-OPERAND at 0xf: opcode 4 REDUCE: the arguments are not in a tuple, expected tuple, found list");
  EXPECT_EQ(verdict(start().global("torch", "Size").none().newobj().stop()),
            "type PKL-OPERAND at 0xf: opcode 4 NEWOBJ: the arguments are not in a tuple, expected tuple, found None");
}

TEST(HostilePickles, P33_AWrongArgumentIsPlacedAtItsCall) {
  const auto call = [](std::string_view name, const std::function<void(PickleBuilder&)>& arguments) {
    PickleBuilder pickle = start();
    pickle.global("torch._utils", name).mark();
    arguments(pickle);
    return pickle.tuple().reduce().stop();
  };
  const PickleBuilder none = call("_rebuild_tensor_v2", [](PickleBuilder&) {});
  EXPECT_EQ(verdict(none), "type TYPE-ARGUMENT-COUNT at " + hex(none.size() - 2) +
                               ": tensor at the root: torch._utils._rebuild_tensor_v2: wrong number of arguments, "
                               "expected 6 or 7, found 0");
  const PickleBuilder nine = call("_rebuild_tensor_v3", [](PickleBuilder& p) {
    for (int i = 0; i < 9; ++i) p.none();
  });
  EXPECT_EQ(verdict(nine), "type TYPE-ARGUMENT-COUNT at " + hex(nine.size() - 2) +
                               ": tensor at the root: torch._utils._rebuild_tensor_v3: wrong number of arguments, "
                               "expected 7 or 8, found 9");
  const PickleBuilder typed = call("_rebuild_tensor", [](PickleBuilder& p) {
    p.storage("FloatStorage", "0", 8).text("0").empty_tuple().empty_tuple();
  });
  EXPECT_EQ(verdict(typed), "type TYPE-ARGUMENT at " + hex(typed.size() - 2) +
                                ": tensor at the root: torch._utils._rebuild_tensor: argument 1 (storage_offset), "
                                "expected int, found str");
}

TEST(HostilePickles, P34_KeysThatPythonCannotHashAreRefusedWhereTheyBegin) {
  struct Case {
    const char* found;
    std::function<void(PickleBuilder&)> key;
  };
  for (const Case& one :
       {Case{"list", [](PickleBuilder& p) { p.empty_list(); }}, Case{"dict", [](PickleBuilder& p) { p.empty_dict(); }},
        Case{"set", [](PickleBuilder& p) { p.empty_set(); }},
        Case{"an object of 'collections.OrderedDict'",
             [](PickleBuilder& p) { p.global("collections", "OrderedDict").empty_tuple().reduce(); }}}) {
    PickleBuilder pickle = start();
    pickle.empty_dict();
    one.key(pickle);
    const std::uint64_t last = pickle.size() - 1;  // EMPTY_LIST, EMPTY_DICT, EMPTY_SET, REDUCE
    EXPECT_EQ(verdict(pickle.none().setitem().stop()),
              "type TYPE-UNHASHABLE at " + hex(last) + ": a dict key is not hashable in Python, found " + one.found);
  }
  // A tensor is hashable, by its identity.
  PickleBuilder tensor = start();
  tensor.empty_dict().tensor("FloatStorage", "0", std::vector<std::int64_t>{8}).integer(1).setitem().stop();
  EXPECT_EQ(verdict(tensor), "ok");
  // Two NaN are two keys.
  PickleBuilder nan = start();
  nan.empty_dict().mark().line('F', "nan").integer(1).line('F', "nan").integer(2).setitems().stop();
  EXPECT_EQ(build(nan).root.size(), 2u);
}

TEST(HostilePickles, P36_P37_PersistentIdsArePlacedAtTheirOpcode) {
  const auto id = [](const std::function<void(PickleBuilder&)>& argument) {
    PickleBuilder pickle = start();
    argument(pickle);
    return pickle.binpersid().stop();
  };
  const auto storage = [&](std::string_view kind, const std::function<void(PickleBuilder&)>& key) {
    return id([&](PickleBuilder& p) {
      p.mark().text(kind).global("torch", "FloatStorage");
      key(p);
      p.text("cpu").integer(8).tuple();
    });
  };
  const auto expect = [](const PickleBuilder& pickle, const std::string& said) {
    const std::string at = " at " + hex(pickle.size() - 2) + ": persistent id";
    EXPECT_EQ(verdict(pickle), said.substr(0, said.find('|')) + at + said.substr(said.find('|') + 1));
  };
  const auto zero = [](PickleBuilder& p) { p.text("0"); };
  expect(id([](PickleBuilder& p) { p.text("storage"); }), "type TYPE-PERSISTENT-ID|, expected a tuple of 5, found str");
  expect(id([](PickleBuilder& p) { p.none(); }), "type TYPE-PERSISTENT-ID|, expected a tuple of 5, found None");
  expect(id([](PickleBuilder& p) { p.empty_tuple(); }),
         "type TYPE-PERSISTENT-ID|, expected a tuple of 5, found a tuple of 0");
  expect(storage("Storage", zero), "type TYPE-PERSISTENT-ID| part 0 (kind), expected 'storage', found 'Storage'");
  expect(storage("storage\0"sv, zero),
         "type TYPE-PERSISTENT-ID| part 0 (kind), expected 'storage', found 'storage\\x00'");
  expect(storage("module", zero),
         "unsup TYPE-PERSISTENT-KIND| of kind 'module' (a class with its source text), expected 'storage', found "
         "'module'");
  // S01: keys that only look like the text "0".
  expect(storage("storage", [](PickleBuilder& p) { p.integer(0); }),
         "type TYPE-PERSISTENT-ID| part 2 (key), expected str, found int");
  expect(storage("storage", [](PickleBuilder& p) { p.bytes_value("0"); }),
         "type TYPE-PERSISTENT-ID| part 2 (key), expected str, found bytes");
  const PickleBuilder line = start().line('P', "0").stop();
  EXPECT_EQ(verdict(line), "type TYPE-PERSISTENT-ID at 0x2: persistent id, expected a tuple of 5, found str");
}

TEST(HostilePickles, P39_CyclicArgumentsOfContainersAreRefused) {
  const auto cyclic = [](std::string_view module, std::string_view name) {
    PickleBuilder pickle = start();
    pickle.global(module, name).empty_list().put(0).get(0).append();
    return pickle.tuple1().reduce().stop();
  };
  const PickleBuilder set = cyclic("builtins", "set");
  EXPECT_EQ(verdict(set), "type TYPE-UNHASHABLE at " + hex(set.size() - 9) +
                              ": an item of a set is not hashable in Python, found list");
  const PickleBuilder frozenset = cyclic("builtins", "frozenset");
  EXPECT_EQ(verdict(frozenset), "type TYPE-UNHASHABLE at " + hex(frozenset.size() - 2) +
                                    ": an item of a frozenset is not hashable in Python");
  for (const char* name : {"OrderedDict", "Counter"}) {
    const PickleBuilder pairs = cyclic("collections", name);
    EXPECT_EQ(verdict(pairs), "type TYPE-ARGUMENT at " + hex(pairs.size() - 2) + ": collections." + name +
                                  ": argument 0 (entries), expected pairs of key and value, found list");
  }
}

TEST(HostilePickles, P41_TextsThatAreNotUtf8AreRefusedAndLoneSurrogatesPass) {
  for (const char* const text : {"\xff", "\xc0\x80", "\xf8\x88\x80\x80\x80"}) {
    EXPECT_EQ(verdict(start().text(text).stop()), "pkl PKL-TEXT at 0x2: opcode 2 BINUNICODE: the text is not UTF-8");
  }
  EXPECT_EQ(build(start().text("\xed\xa0\x80").stop()).root.as_string(), "\xed\xa0\x80");
}

TEST(HostilePickles, P42_LongKeysPassUpToTheLimit) {
  const auto with_key = [](std::size_t bytes) {
    return start().empty_dict().text(std::string(bytes, 'k')).none().setitem().stop();
  };
  EXPECT_EQ(verdict(with_key(10 << 20)), "ok");
  EXPECT_EQ(verdict(with_key((16 << 20) + 1)),
            "limit LIMIT-PICKLE-STRING-BYTES at 0x3: opcode 3 BINUNICODE: the text is longer than "
            "limits.pickle_string_bytes allows, expected at most 16777216, found 16777217 bytes");
}

TEST(HostilePickles, A09_EveryProtocolReadsAlike) {
  // An ordered dict of one tensor, as protocols 2 and 4 spell it.
  for (const unsigned protocol : {2u, 3u, 4u, 5u}) {
    PickleBuilder body;
    const auto name = [&](std::string_view module, std::string_view attribute) -> PickleBuilder& {
      return protocol < 4 ? body.global(module, attribute)
                          : body.short_text(module).memoize().short_text(attribute).memoize().stack_global().memoize();
    };
    const auto text = [&](std::string_view utf8) -> PickleBuilder& {
      return protocol < 4 ? body.text(utf8) : body.short_text(utf8).memoize();
    };
    name("collections", "OrderedDict").empty_tuple().reduce();
    text("w");
    name("torch._utils", "_rebuild_tensor_v2").mark().mark();
    text("storage");
    name("torch", "FloatStorage");
    text("0");
    text("cpu").integer(8).tuple().binpersid();
    body.integer(0).integer(8).tuple1().integer(1).tuple1().boolean(false);
    name("collections", "OrderedDict").empty_tuple().reduce().tuple().reduce().setitem().stop();
    PickleBuilder pickle;
    pickle.proto(protocol);
    if (protocol >= 4) pickle.frame(body.size());
    const Built built = build(pickle.raw(body.str()), {.globals = Globals::strict});
    ASSERT_TRUE(built.ok) << protocol << " " << built.line;
    EXPECT_TRUE(built.findings.empty());
    EXPECT_EQ(built.root["w"].as_tensor()->numel(), 8);
  }
}

TEST(HostilePickles, A11_KeysOfAnyHashableKindAndCyclesAreOrdinary) {
  PickleBuilder pickle = start();
  pickle.empty_dict().put(0).mark();
  pickle.integer(3).text("int").integer(1).text("a").tuple2().text("tuple").boolean(true).text("bool");
  pickle.text("\xed\xb2\x80").text("surrogate").none().get(0).setitems().stop();
  const Built built = build(pickle, {.globals = Globals::strict});
  ASSERT_TRUE(built.ok) << built.line;
  EXPECT_TRUE(built.findings.empty());
  ASSERT_EQ(built.root.size(), 5u);
  EXPECT_EQ(built.root.entry(1).first.kind(), ValueKind::tuple);
  EXPECT_EQ(built.root.entry(2).second.as_string(), "bool");
  EXPECT_EQ(built.root.entry(3).first.as_string(), "\xed\xb2\x80");
  EXPECT_TRUE(built.root.entry(4).second.same_object(built.root));
}

}  // namespace
}  // namespace rushlight::test
