// Streams that must be refused: the P rows of the catalogue of hostile inputs that the machine judges itself. What a
// name means is judged above, in src/checkpoint.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "pickle/machine.hpp"
#include "pickle/read.hpp"

namespace rushlight::pickle {
namespace {

using namespace std::string_literals;
using test::expect_refused;
using test::outcome;
using test::PickleBuilder;
using test::read;

std::string names_of(const std::vector<NamedGlobal>& globals) {
  std::string out;
  for (const NamedGlobal& global : globals) out += (out.empty() ? "" : " ") + global.module + "." + global.name;
  return out;
}

// --- names -----------------------------------------------------------------------------------------------------------

TEST(PickleHostile, P01_CallsOfSystemAreDataWithTheirName) {
  for (const char* const name :
       {"os system", "posix system", "nt system", "builtins eval", "__builtin__ exec", "subprocess Popen"}) {
    const std::string text = name;
    const std::string module = text.substr(0, text.find(' '));
    const std::string attribute = text.substr(text.find(' ') + 1);
    const PickleBuilder stream =
        PickleBuilder().proto(2).global(module, attribute).text("true").tuple1().reduce().stop();
    const auto pickle = read(stream);
    ASSERT_TRUE(pickle) << to_string(pickle.error());
    EXPECT_EQ(names_of(pickle->globals), module + "." + attribute);
    EXPECT_EQ(pickle->globals[0].offset, 2u);
    EXPECT_EQ(test::describe(pickle->graph), "reduce(" + module + "." + attribute + ", ('true',))");
  }
}

TEST(PickleHostile, P02_StackGlobalNamesAreFoundWhereverTheTextsComeFrom) {
  PickleBuilder memo;
  memo.text("system").memoize().pop().text("os").memoize().pop().get(1).get(0).stack_global().stop();
  PickleBuilder dup;
  dup.text("os").dup().stack_global().stop();
  PickleBuilder quoted;
  quoted.line('S', R"('\x6fs')").line('V', R"(s\u0079stem)").stack_global().stop();
  PickleBuilder python2;
  python2.byte_string("os").counted4('T', 6, "system").stack_global().stop();
  EXPECT_EQ(names_of(read(memo)->globals), "os.system");
  EXPECT_EQ(names_of(read(dup)->globals), "os.os");
  EXPECT_EQ(names_of(read(quoted)->globals), "os.system");
  EXPECT_EQ(names_of(read(python2)->globals), "os.system");
}

TEST(PickleHostile, P03_NamesInEveryKindOfCallAreFound) {
  EXPECT_EQ(names_of(read(PickleBuilder().mark().text("true").inst("os", "system").stop())->globals), "os.system");
  EXPECT_EQ(names_of(read(PickleBuilder().mark().global("os", "system").text("true").obj().stop())->globals),
            "os.system");
  EXPECT_EQ(names_of(read(PickleBuilder().global("os", "system").empty_tuple().newobj().stop())->globals), "os.system");
  EXPECT_EQ(
      names_of(read(PickleBuilder().global("os", "system").empty_tuple().empty_dict().newobj_ex().stop())->globals),
      "os.system");
  PickleBuilder state;
  state.global("m", "C")
      .empty_tuple()
      .newobj()
      .empty_dict()
      .text("__setstate__")
      .global("os", "system")
      .setitem()
      .build();
  EXPECT_EQ(names_of(read(state.stop())->globals), "m.C os.system");
}

TEST(PickleHostile, P07_NamesAreKeptByteForByte) {
  for (const char* const name :
       {"FloatStorage ", "FloatStorageX", "floatstorage", "FloatStorage\r", "Fl\xd0\xbe\x61tStorage", ""}) {
    const PickleBuilder stream = PickleBuilder().global("torch", name).stop();
    const auto pickle = read(stream);
    ASSERT_TRUE(pickle) << to_string(pickle.error());
    EXPECT_EQ(pickle->graph.name(pickle->graph.root()), name);
  }
  const PickleBuilder stream = PickleBuilder().global("torch", "Float\0Storage"s).stop();
  const auto nul = read(stream);
  ASSERT_TRUE(nul);
  EXPECT_EQ(nul->graph.name(nul->graph.root()), "Float\0Storage"s);
}

TEST(PickleHostile, P07_NamesThatAreNoTextAreRefused) {
  expect_refused(PickleBuilder().global("os\xff", "system").stop(),
                 {Category::pkl, "PKL-TEXT", 0, "opcode 1 GLOBAL: the name is not UTF-8"});
  expect_refused(PickleBuilder().mark().inst("os", "\xed\xa0\x80").stop(),
                 {Category::pkl, "PKL-TEXT", 1, "opcode 2 INST: the name is not UTF-8"});
  expect_refused(PickleBuilder().text("os").byte_string("\xe9").stack_global().stop(),
                 {Category::pkl, "PKL-TEXT", 10, "opcode 3 STACK_GLOBAL: the name is not ASCII"});
}

TEST(PickleHostile, P08_AGlobalWithoutNewlineIsRefused) {
  expect_refused(PickleBuilder().proto(2).raw("cos"),
                 {Category::pkl, "PKL-NEWLINE", 2,
                  "opcode 2 GLOBAL: the text has no end, expected a newline, found 2 bytes without one"});
  expect_refused(PickleBuilder().proto(2).raw("cos\nsystem"),
                 {Category::pkl, "PKL-NEWLINE", 2,
                  "opcode 2 GLOBAL: the text has no end, expected a newline, found 6 bytes without one"});
}

TEST(PickleHostile, P08_ANameOfOneMegabyteIsBeyondTheLimit) {
  expect_refused(PickleBuilder().global(std::string(1 << 20, 'm'), "f").stop(),
                 {Category::limit, "LIMIT-PICKLE-NAME", 0,
                  "opcode 1 GLOBAL: the name is too long, expected at most 65535 bytes, found 1048576"});
  expect_refused(PickleBuilder().text("m").text(std::string(65536, 'n')).stack_global().stop(),
                 {Category::limit, "LIMIT-PICKLE-NAME", 65547,
                  "opcode 3 STACK_GLOBAL: the name is too long, expected at most 65535 bytes, found 65536"});
  EXPECT_TRUE(read(PickleBuilder().global(std::string(65535, 'm'), std::string(65535, 'n')).stop()));
}

TEST(PickleHostile, P09_ExtensionCodesAreUnsupportedByNumber) {
  expect_refused(PickleBuilder().raw({0x82, 0x00}).stop(),
                 {Category::unsup, "PKL-EXTENSION", 0,
                  "opcode 1 EXT1: extension code 0 has a meaning in the writer's process only"});
  expect_refused(PickleBuilder().raw({0x83, 0x01, 0x00}).stop(),
                 {Category::unsup, "PKL-EXTENSION", 0,
                  "opcode 1 EXT2: extension code 1 has a meaning in the writer's process only"});
  expect_refused(PickleBuilder().raw({0x84, 0x00, 0x00, 0x00, 0x80}).stop(),
                 {Category::unsup, "PKL-EXTENSION", 0,
                  "opcode 1 EXT4: extension code -2147483648 has a meaning in the writer's process only"});
}

// --- the stream ------------------------------------------------------------------------------------------------------

TEST(PickleHostile, P11_ASecondPickleIsLeftAloneButItsNamesAreListed) {
  const PickleBuilder stream =
      PickleBuilder().proto(2).none().stop().proto(2).global("os", "system").text("true").tuple1().reduce().stop();
  const auto pickle = read(stream);
  ASSERT_TRUE(pickle) << to_string(pickle.error());
  EXPECT_EQ(pickle->bytes_used, 4u);
  EXPECT_TRUE(pickle->globals.empty());
  EXPECT_EQ(names_of(list_globals(stream.bytes())), "os.system");
}

TEST(PickleHostile, P13_ProtocolsBeyond5AreUnsupported) {
  for (const unsigned version : {6u, 255u}) {
    expect_refused(PickleBuilder().proto(version).none().stop(),
                   {Category::unsup, "PKL-PROTOCOL", 0,
                    "opcode 1 PROTO: the pickle protocol is not known here, expected at most 5, found " +
                        std::to_string(version)});
  }
}

TEST(PickleHostile, P14_TheEndMustLeaveOneValue) {
  expect_refused(
      PickleBuilder().proto(2).none(),
      {Category::pkl, "PKL-TRUNCATED", 3, "the pickle ends without STOP after 2 opcodes, with 1 value on the stack"});
  expect_refused(PickleBuilder(), {Category::pkl, "PKL-TRUNCATED", 0,
                                   "the pickle ends without STOP after 0 opcodes, with 0 values on the stack"});
  expect_refused(PickleBuilder().stop(),
                 {Category::pkl, "PKL-STOP", 0,
                  "opcode 1 STOP: the pickle must leave one value on the stack, expected 1, found 0"});
  expect_refused(PickleBuilder().none().none().stop(),
                 {Category::pkl, "PKL-STOP", 2,
                  "opcode 3 STOP: the pickle must leave one value on the stack, expected 1, found 2"});
  expect_refused(
      PickleBuilder().mark().none().stop(),
      {Category::pkl, "PKL-STOP", 2, "opcode 3 STOP: the pickle ends inside a mark, expected no open mark, found 1"});
}

TEST(PickleHostile, P16_AMarkThatIsMissingIsNamed) {
  for (const char opcode : {'t', 'l', 'd', 'e', 'u', '1', 'o', '\x90', '\x91'}) {
    const std::string name = opcode == 't'      ? "TUPLE"
                             : opcode == 'l'    ? "LIST"
                             : opcode == 'd'    ? "DICT"
                             : opcode == 'e'    ? "APPENDS"
                             : opcode == 'u'    ? "SETITEMS"
                             : opcode == '1'    ? "POP_MARK"
                             : opcode == 'o'    ? "OBJ"
                             : opcode == '\x90' ? "ADDITEMS"
                                                : "FROZENSET";
    expect_refused(PickleBuilder().empty_list().none().none().raw({static_cast<unsigned char>(opcode)}).stop(),
                   {Category::pkl, "PKL-MARK", 3, "opcode 4 " + name + ": there is no mark on the stack"});
  }
}

TEST(PickleHostile, P16_AKeyWithoutValueIsRefused) {
  expect_refused(PickleBuilder().empty_dict().mark().none().none().none().setitems().stop(),
                 {Category::pkl, "PKL-ODD", 5,
                  "opcode 6 SETITEMS: a key has no value, expected an even number of values, found 3"});
  expect_refused(
      PickleBuilder().mark().none().dict().stop(),
      {Category::pkl, "PKL-ODD", 2, "opcode 3 DICT: a key has no value, expected an even number of values, found 1"});
}

TEST(PickleHostile, P16_ValuesBelowTheMarkAreOutOfReach) {
  expect_refused(
      PickleBuilder().none().none().mark().raw({0x86}).stop(),
      {Category::pkl, "PKL-UNDERFLOW", 3, "opcode 4 TUPLE2: too few values on the stack, expected 2, found 0"});
  expect_refused(
      PickleBuilder().mark().put(0).stop(),
      {Category::pkl, "PKL-UNDERFLOW", 1, "opcode 2 BINPUT: too few values on the stack, expected 1, found 0"});
  expect_refused(
      PickleBuilder().empty_list().mark().mark().appends().stop(),
      {Category::pkl, "PKL-UNDERFLOW", 3, "opcode 4 APPENDS: too few values below the mark, expected 1, found 0"});
  expect_refused(
      PickleBuilder().mark().obj().stop(),
      {Category::pkl, "PKL-UNDERFLOW", 1, "opcode 2 OBJ: too few values above the mark, expected 1, found 0"});
}

TEST(PickleHostile, P17_DeclaredLengthsMeetWhatIsLeft) {
  for (const std::uint32_t length : {0xFFFFFFFFu, 0x80000000u, 4u}) {
    expect_refused(PickleBuilder().proto(2).counted4('X', length, "abc"),
                   {Category::pkl, "PKL-TRUNCATED", 2,
                    "opcode 2 BINUNICODE: the pickle ends inside the argument, expected " + std::to_string(length) +
                        " bytes, found 3"});
  }
  const struct {
    char opcode;
    const char* name;
  } kinds[] = {{'\x8d', "BINUNICODE8"}, {'\x8e', "BINBYTES8"}, {'\x96', "BYTEARRAY8"}};
  for (const auto& kind : kinds) {
    for (const std::uint64_t length : {0x7FFFFFFFFFFFFFFFu, 0xFFFFFFFFFFFFFFFFu}) {
      expect_refused(PickleBuilder().proto(4).counted8(kind.opcode, length, "123456789"),
                     {Category::pkl, "PKL-TRUNCATED", 2,
                      "opcode 2 "s + kind.name + ": the pickle ends inside the argument, expected " +
                          std::to_string(length) + " bytes, found 9"});
    }
  }
}

TEST(PickleHostile, P18_LengthsOfLongs) {
  expect_refused(PickleBuilder().long4(0x7FFFFFFF, "1234"),
                 {Category::pkl, "PKL-TRUNCATED", 0,
                  "opcode 1 LONG4: the pickle ends inside the argument, expected 2147483647 bytes, found 4"});
  expect_refused(
      PickleBuilder().long4(-1, "1234"),
      {Category::pkl, "PKL-LENGTH", 0, "opcode 1 LONG4: the length is negative, expected at least 0, found -1"});
  expect_refused(PickleBuilder().raw({0x8A, 255}).raw("1234"),
                 {Category::pkl, "PKL-TRUNCATED", 0,
                  "opcode 1 LONG1: the pickle ends inside the argument, expected 255 bytes, found 4"});
}

TEST(PickleHostile, P19_LongsBeyond64BitsAreBigIntegersAndNeverCut) {
  const auto pickle = read(PickleBuilder().long1("\x01" + std::string(8, '\0') + "\x01").stop());
  ASSERT_TRUE(pickle);
  EXPECT_EQ(pickle->graph.kind(pickle->graph.root()), ObjectKind::big_integer);
}

TEST(PickleHostile, P21_NegativeLengthsOfStringsAreRefused) {
  expect_refused(PickleBuilder().counted4('T', 0x80000000u, "abc"),
                 {Category::pkl, "PKL-LENGTH", 0,
                  "opcode 1 BINSTRING: the length is negative, expected at least 0, found -2147483648"});
}

TEST(PickleHostile, P23_HugeMemoIndicesCostNothing) {
  EXPECT_EQ(outcome(PickleBuilder().none().put(0xFFFFFFFFu).pop().get(0xFFFFFFFFu).stop()), "None");
  EXPECT_EQ(
      outcome(PickleBuilder().none().line('p', "9223372036854775807").pop().line('g', "9223372036854775807").stop()),
      "None");
  expect_refused(PickleBuilder().none().line('p', "999999999999999999999999").stop(),
                 {Category::limit, "LIMIT-PICKLE-DIGITS", 1,
                  "opcode 2 PUT: the memo index is too large, expected at most 63 bits, found 24 digits"});
  expect_refused(
      PickleBuilder().none().line('p', "-1").stop(),
      {Category::pkl, "PKL-INTEGER", 1, "opcode 2 PUT: the memo index is negative, expected at least 0, found -1"});
}

TEST(PickleHostile, P24_UnsetMemoEntriesAreNamed) {
  expect_refused(PickleBuilder().get(7).none().put(7).stop(),
                 {Category::pkl, "PKL-MEMO-GET", 0, "opcode 1 BINGET: memo entry 7 was never stored"});
  expect_refused(PickleBuilder().none().put(300).get(299).stop(),
                 {Category::pkl, "PKL-MEMO-GET", 6, "opcode 3 LONG_BINGET: memo entry 299 was never stored"});
  expect_refused(PickleBuilder().line('g', "0").stop(),
                 {Category::pkl, "PKL-MEMO-GET", 0, "opcode 1 GET: memo entry 0 was never stored"});
  expect_refused(
      PickleBuilder().memoize().stop(),
      {Category::pkl, "PKL-UNDERFLOW", 0, "opcode 1 MEMOIZE: too few values on the stack, expected 1, found 0"});
}

TEST(PickleHostile, TextNumbersMustBeCanonical) {
  for (const char* const text : {"", "-", "+1", " 1", "1 ", "1_000", "0x10", "007", "1L", "\xd9\xa1"}) {
    const auto pickle = read(PickleBuilder().line('I', text).stop());
    ASSERT_FALSE(pickle) << text;
    EXPECT_EQ(pickle.error().finding.code, "PKL-INTEGER") << text;
  }
  expect_refused(
      PickleBuilder().line('I', "1 2").stop(),
      {Category::pkl, "PKL-INTEGER", 0,
       "opcode 1 INT: the text is not an integer, expected decimal digits without leading zeros, found '1 2'"});
  for (const char* const text : {"", "1.5x", " 1", "1_0", "0x1p3", "nan(1)", "1e999", "-1e999", "infinit"}) {
    const auto pickle = read(PickleBuilder().line('F', text).stop());
    ASSERT_FALSE(pickle) << text;
    EXPECT_EQ(pickle.error().finding.code, "PKL-FLOAT") << text;
  }
  expect_refused(PickleBuilder().line('F', "one").stop(),
                 {Category::pkl, "PKL-FLOAT", 0,
                  "opcode 1 FLOAT: the text is not a float, expected decimal digits, inf or nan, found 'one'"});
}

TEST(PickleHostile, IntegersInTextHaveAtMost4300Digits) {
  EXPECT_TRUE(read(PickleBuilder().line('L', "-" + std::string(4300, '9') + "L").stop()));
  expect_refused(PickleBuilder().line('L', std::string(4301, '9')).stop(),
                 {Category::limit, "LIMIT-PICKLE-DIGITS", 0,
                  "opcode 1 LONG: the integer has too many decimal digits, expected at most 4300, found 4301"});
}

TEST(PickleHostile, StringsMustBeQuotedAndEscapedRight) {
  for (const char* const text : {"abc", "'abc", "'", "", "'abc\"", "abc'"}) {
    const auto pickle = read(PickleBuilder().line('S', text).stop());
    ASSERT_FALSE(pickle) << text;
    EXPECT_EQ(pickle.error().finding.code, "PKL-STRING") << text;
  }
  expect_refused(PickleBuilder().line('S', "abc").stop(),
                 {Category::pkl, "PKL-STRING", 0,
                  "opcode 1 STRING: the string is not in quotes, expected '...' or \"...\", found 'abc'"});
  expect_refused(PickleBuilder().line('S', R"('\x4')").stop(),
                 {Category::pkl, "PKL-STRING", 0, R"(opcode 1 STRING: the string has a bad escape: '\\x4')"});
  for (const char* const text : {R"(\u12)", R"(\U0011000)", R"(\U00110000)", R"(\uzzzz)"}) {
    const auto pickle = read(PickleBuilder().line('V', text).stop());
    ASSERT_FALSE(pickle) << text;
    EXPECT_EQ(pickle.error().finding.code, "PKL-STRING") << text;
  }
}

// --- operands --------------------------------------------------------------------------------------------------------

// Values of each kind that a container opcode could meet, and what messages call them.
struct Operand {
  const char* word;
  PickleBuilder stream;
};
std::vector<Operand> operands() {
  return {{"None", PickleBuilder().none()},
          {"bool", PickleBuilder().boolean(true)},
          {"int", PickleBuilder().integer(1)},
          {"int", PickleBuilder().long1(std::string(9, '\x55'))},
          {"float", PickleBuilder().real(1)},
          {"str", PickleBuilder().text("a")},
          {"Python 2 str", PickleBuilder().byte_string("a")},
          {"bytes", PickleBuilder().bytes_value("a")},
          {"bytearray", PickleBuilder().bytearray_value("a")},
          {"list", PickleBuilder().empty_list()},
          {"tuple", PickleBuilder().empty_tuple()},
          {"dict", PickleBuilder().empty_dict()},
          {"set", PickleBuilder().empty_set()},
          {"frozenset", PickleBuilder().mark().frozenset()},
          {"global", PickleBuilder().global("m", "C")},
          {"object", PickleBuilder().global("m", "C").empty_tuple().reduce()},
          {"persistent object", PickleBuilder().storage("FloatStorage", "0", 1)}};
}

// The opcodes in `tail` refuse every kind of operand but the accepted ones.
void expect_accepts_only(const std::vector<std::string>& accepted, const PickleBuilder& tail,
                         const std::string& message) {
  for (const Operand& operand : operands()) {
    const PickleBuilder stream = PickleBuilder(operand.stream).raw(tail.str()).stop();
    const auto pickle = read(stream);
    const bool is_accepted = std::find(accepted.begin(), accepted.end(), operand.word) != accepted.end();
    ASSERT_EQ(pickle.has_value(), is_accepted) << operand.word << " " << message;
    if (is_accepted) continue;
    const Finding& finding = pickle.error().finding;
    EXPECT_EQ(finding.category, Category::type);
    EXPECT_EQ(finding.code, "PKL-OPERAND");
    EXPECT_EQ(finding.found, operand.word);
    EXPECT_EQ(finding.record_offset, stream.size() - 2);
    EXPECT_TRUE(finding.message.ends_with(message + operand.word)) << finding.message;
  }
}

TEST(PickleHostile, P29_SetitemNeedsADictOrAnObject) {
  expect_accepts_only({"dict", "object"}, PickleBuilder().none().none().setitem(),
                      " SETITEM: wrong operand, expected dict or object, found ");
  expect_accepts_only({"dict", "object"}, PickleBuilder().mark().none().none().setitems(),
                      " SETITEMS: wrong operand, expected dict or object, found ");
  expect_accepts_only({"dict", "object"}, PickleBuilder().mark().setitems(),
                      " SETITEMS: wrong operand, expected dict or object, found ");
}

TEST(PickleHostile, P30_AppendNeedsAListOrAnObject) {
  expect_accepts_only({"list", "object"}, PickleBuilder().none().append(),
                      " APPEND: wrong operand, expected list or object, found ");
  expect_accepts_only({"list", "object"}, PickleBuilder().mark().none().appends(),
                      " APPENDS: wrong operand, expected list or object, found ");
  expect_accepts_only({"set", "object"}, PickleBuilder().mark().none().additems(),
                      " ADDITEMS: wrong operand, expected set or object, found ");
}

TEST(PickleHostile, BuildNeedsAnObject) {
  expect_accepts_only({"object", "persistent object"}, PickleBuilder().none().build(),
                      " BUILD: only objects have a state, expected object, found ");
}

TEST(PickleHostile, P32_OnlyGlobalsAndObjectsCanBeCalled) {
  const std::vector<std::string> callable = {"global", "object", "persistent object"};
  const std::string message = ": only globals and objects can be called, expected global, found ";
  expect_accepts_only(callable, PickleBuilder().empty_tuple().reduce(), " REDUCE" + message);
  expect_accepts_only(callable, PickleBuilder().empty_tuple().newobj(), " NEWOBJ" + message);
  expect_accepts_only(callable, PickleBuilder().empty_tuple().empty_dict().newobj_ex(), " NEWOBJ_EX" + message);
  for (const Operand& operand : operands()) {
    const PickleBuilder stream = PickleBuilder().mark().raw(operand.stream.str()).obj().stop();
    const bool is_callable = std::find(callable.begin(), callable.end(), operand.word) != callable.end();
    EXPECT_EQ(read(stream).has_value(), is_callable) << operand.word;
  }
}

TEST(PickleHostile, P32_ArgumentsMustBeATuple) {
  for (const Operand& operand : operands()) {
    const bool is_tuple = std::string(operand.word) == "tuple";
    const PickleBuilder reduce = PickleBuilder().global("m", "f").raw(operand.stream.str()).reduce().stop();
    EXPECT_EQ(read(reduce).has_value(), is_tuple) << operand.word;
    const PickleBuilder newobj = PickleBuilder().global("m", "f").raw(operand.stream.str()).newobj().stop();
    EXPECT_EQ(read(newobj).has_value(), is_tuple) << operand.word;
    const PickleBuilder with_keywords =
        PickleBuilder().global("m", "f").raw(operand.stream.str()).empty_dict().newobj_ex().stop();
    EXPECT_EQ(read(with_keywords).has_value(), is_tuple) << operand.word;
    const PickleBuilder keywords =
        PickleBuilder().global("m", "f").empty_tuple().raw(operand.stream.str()).newobj_ex().stop();
    EXPECT_EQ(read(keywords).has_value(), std::string(operand.word) == "dict") << operand.word;
  }
  expect_refused(PickleBuilder().global("m", "f").empty_list().reduce().stop(),
                 {Category::type, "PKL-OPERAND", 6,
                  "opcode 3 REDUCE: the arguments are not in a tuple, expected tuple, found list"});
  expect_refused(PickleBuilder().global("m", "f").empty_tuple().none().newobj_ex().stop(),
                 {Category::type, "PKL-OPERAND", 7,
                  "opcode 4 NEWOBJ_EX: the keyword arguments are not in a dict, expected dict, found None"});
}

TEST(PickleHostile, P32_CyclicArgumentsAreData) {
  PickleBuilder stream;
  stream.global("m", "f").empty_list().put(0).get(0).append().tuple1().reduce().stop();
  EXPECT_EQ(outcome(stream), "reduce(m.f, ([^1],))");
}

TEST(PickleHostile, P02_StackGlobalNeedsTexts) {
  for (const Operand& operand : operands()) {
    const bool is_text = std::string(operand.word).find("str") != std::string::npos;
    EXPECT_EQ(read(PickleBuilder().text("m").raw(operand.stream.str()).stack_global().stop()).has_value(), is_text);
    EXPECT_EQ(read(PickleBuilder().raw(operand.stream.str()).text("m").stack_global().stop()).has_value(), is_text);
  }
  expect_refused(PickleBuilder().text("os").none().stack_global().stop(),
                 {Category::type, "PKL-OPERAND", 8,
                  "opcode 3 STACK_GLOBAL: module and name must be texts, expected str, found None"});
}

TEST(PickleHostile, P36_PersistentIdsMayBeAnythingHere) {
  for (const Operand& operand : operands()) {
    EXPECT_TRUE(read(PickleBuilder(operand.stream).binpersid().stop())) << operand.word;
  }
  expect_refused(PickleBuilder().line('P', "caf\xc3\xa9").stop(),
                 {Category::pkl, "PKL-TEXT", 0, "opcode 1 PERSID: the persistent id is not ASCII"});
}

TEST(PickleHostile, P39_OutOfBandBuffersAreUnsupported) {
  expect_refused(
      PickleBuilder().proto(5).raw({0x97}).stop(),
      {Category::unsup, "PKL-BUFFER", 2, "opcode 2 NEXT_BUFFER: the pickle keeps its data in buffers outside of it"});
  expect_refused(PickleBuilder().proto(5).bytes_value("a").raw({0x98}).stop(),
                 {Category::unsup, "PKL-BUFFER", 5,
                  "opcode 3 READONLY_BUFFER: the pickle keeps its data in buffers outside of it"});
}

TEST(PickleHostile, P41_InvalidUtf8IsRefused) {
  for (const char* const text : {"\xff", "\xc0\x80", "\xe0\x80\x80", "\xf8\x88\x80\x80\x80", "\xf4\x90\x80\x80",
                                 "a\xc3", "longer than eight bytes \x80"}) {
    expect_refused(PickleBuilder().text(text).stop(),
                   {Category::pkl, "PKL-TEXT", 0, "opcode 1 BINUNICODE: the text is not UTF-8"});
  }
}

TEST(PickleHostile, P42_KeysMayHoldAnything) {
  const std::string key = "\x1b[31m\r\xe2\x80\xae__proto__=cmd|' /C calc'!A0";
  const PickleBuilder stream = PickleBuilder().empty_dict().text(key).none().setitem().stop();
  const auto pickle = read(stream);
  ASSERT_TRUE(pickle);
  EXPECT_EQ(pickle->graph.text(pickle->graph.pairs(pickle->graph.root())[0]), key);
}

TEST(PickleHostile, FramesMustFit) {
  expect_refused(PickleBuilder().proto(4).frame(3).none().stop(),
                 {Category::pkl, "PKL-FRAME", 2,
                  "opcode 2 FRAME: the frame is longer than the pickle, expected at most 2 bytes, found 3"});
  expect_refused(
      PickleBuilder().proto(4).frame(0xFFFFFFFFFFFFFFFFu).none().stop(),
      {Category::pkl, "PKL-FRAME", 2,
       "opcode 2 FRAME: the frame is longer than the pickle, expected at most 2 bytes, found 18446744073709551615"});
  expect_refused(
      PickleBuilder().proto(4).frame(2).text("abc").stop(),
      {Category::pkl, "PKL-FRAME", 11, "opcode 3 BINUNICODE: the opcode crosses the end of its frame at 0xd"});
  expect_refused(PickleBuilder().proto(4).frame(11).none().frame(1).stop(),
                 {Category::pkl, "PKL-FRAME", 12, "opcode 4 FRAME: a frame begins inside another, which ends at 0x16"});
  expect_refused(PickleBuilder().proto(4).frame(5).none().stop().raw("xyz"),
                 {Category::pkl, "PKL-FRAME", 12,
                  "opcode 4 STOP: the frame reaches beyond the end of the pickle, expected 0xd, found 0x10"});
}

}  // namespace
}  // namespace rushlight::pickle
