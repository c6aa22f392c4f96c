// The table of opcodes: its facts, and that machine and specification follow it.
#include "pickle/opcodes.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "pickle/argument.hpp"
#include "pickle/read.hpp"
#include "pickle/rich_stream.hpp"

namespace rushlight::pickle {
namespace {

using namespace std::string_literals;
using test::PickleBuilder;
using test::read;

// The shortest argument of a kind that an opcode takes.
std::string smallest_argument(ArgumentKind kind) {
  switch (kind) {
    case ArgumentKind::none:
      return "";
    case ArgumentKind::u1:
    case ArgumentKind::string1:
    case ArgumentKind::bytes1:
    case ArgumentKind::unicode1:
    case ArgumentKind::long1:
      return std::string(1, '\0');
    case ArgumentKind::u2:
      return std::string(2, '\0');
    case ArgumentKind::u4:
    case ArgumentKind::i4:
    case ArgumentKind::string4:
    case ArgumentKind::bytes4:
    case ArgumentKind::unicode4:
    case ArgumentKind::long4:
      return std::string(4, '\0');
    case ArgumentKind::u8:
    case ArgumentKind::f8_be:
    case ArgumentKind::bytes8:
    case ArgumentKind::bytearray8:
    case ArgumentKind::unicode8:
      return std::string(8, '\0');
    case ArgumentKind::line:
    case ArgumentKind::unicode_line:
      return "\n";
    case ArgumentKind::two_lines:
      return "\n\n";
    case ArgumentKind::integer_line:
    case ArgumentKind::long_line:
    case ArgumentKind::float_line:
      return "0\n";
    case ArgumentKind::quoted_line:
      return "''\n";
  }
  return "";
}

std::string bytes_of(const OpcodeInfo& info) {
  return std::string(1, static_cast<char>(info.opcode)) + smallest_argument(info.argument);
}

TEST(PickleOpcodes, ThereAre68OfSixProtocols) {
  std::map<int, int> by_protocol;
  std::set<std::uint8_t> bytes;
  std::set<std::string_view> names;
  int torch = 0;
  for (const OpcodeInfo& info : opcodes()) {
    ++by_protocol[info.protocol];
    bytes.insert(static_cast<std::uint8_t>(info.opcode));
    names.insert(info.name);
    torch += info.torch == Torch::yes ? 1 : 0;
    EXPECT_EQ(find_opcode(static_cast<std::uint8_t>(info.opcode)), &info);
    EXPECT_FALSE(info.doc.empty());
  }
  EXPECT_EQ(opcodes().size(), 68u);
  EXPECT_EQ(bytes.size(), 68u);
  EXPECT_EQ(names.size(), 68u);
  EXPECT_EQ(by_protocol, (std::map<int, int>{{0, 22}, {1, 19}, {2, 12}, {3, 2}, {4, 10}, {5, 3}}));
  EXPECT_EQ(torch, 34) << "torch/_weights_only_unpickler.py accepts 34 opcodes";
}

TEST(PickleOpcodes, P12_All256BytesAreAnOpcodeOrNamedAsNone) {
  int unknown = 0;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const PickleBuilder stream = PickleBuilder().proto(2).raw({byte});
    const auto pickle = read(stream);
    ASSERT_FALSE(pickle) << byte;  // no opcode but STOP ends a pickle, and STOP needs a value
    if (find_opcode(static_cast<std::uint8_t>(byte)) != nullptr) {
      EXPECT_NE(pickle.error().finding.code, "PKL-OPCODE") << byte;
      continue;
    }
    ++unknown;
    char digits[8];
    std::snprintf(digits, sizeof digits, "0x%x", byte);
    test::expect_refused(stream,
                         {Category::pkl, "PKL-OPCODE", 2, "opcode 2: byte "s + digits + " is not a pickle opcode"});
  }
  EXPECT_EQ(unknown, 188);
}

TEST(PickleOpcodes, P15_EachOpcodeNeedsItsOperands) {
  int cases = 0;
  for (const OpcodeInfo& info : opcodes()) {
    for (std::uint8_t there = 0; there < info.operands; ++there) {
      PickleBuilder stream;
      for (std::uint8_t i = 0; i < there; ++i) stream.none();
      if (info.mark == Mark::takes) stream.mark();
      const std::uint64_t offset = stream.size();
      stream.raw(bytes_of(info)).stop();
      const std::string number = std::to_string(offset + 1);
      if (info.opcode == Opcode::STOP) {
        test::expect_refused(stream,
                             {Category::pkl, "PKL-STOP", 0,
                              "opcode 1 STOP: the pickle must leave one value on the stack, expected 1, found 0"});
      } else {
        test::expect_refused(stream,
                             {Category::pkl, "PKL-UNDERFLOW", offset,
                              "opcode " + number + " " + std::string(info.name) + ": too few values " +
                                  (info.mark == Mark::takes ? "below the mark" : "on the stack") + ", expected " +
                                  std::to_string(info.operands) + ", found " + std::to_string(there)});
      }
      ++cases;
    }
  }
  EXPECT_EQ(cases, 34);
}

TEST(PickleOpcodes, ValuesBelowAMarkAreNoOperands) {
  for (const OpcodeInfo& info : opcodes()) {
    if (info.operands == 0 || info.mark == Mark::takes || info.opcode == Opcode::STOP || info.opcode == Opcode::POP)
      continue;
    const PickleBuilder stream = PickleBuilder().none().none().none().mark().raw(bytes_of(info)).stop();
    const auto pickle = read(stream);
    ASSERT_FALSE(pickle) << info.name;
    EXPECT_EQ(pickle.error().finding.code, "PKL-UNDERFLOW") << info.name;
  }
}

TEST(PickleOpcodes, EveryArgumentIsCheckedAtItsEnd) {
  for (const OpcodeInfo& info : opcodes()) {
    const std::string whole = bytes_of(info);
    for (std::size_t size = 1; size < whole.size(); ++size) {
      const PickleBuilder stream = PickleBuilder().raw(std::string_view(whole).substr(0, size));
      const auto pickle = read(stream);
      ASSERT_FALSE(pickle) << info.name;
      const std::string& code = pickle.error().finding.code;
      EXPECT_TRUE(code == "PKL-TRUNCATED" || code == "PKL-NEWLINE") << info.name << " " << code;
      EXPECT_EQ(pickle.error().finding.record_offset, 0u);
    }
  }
}

TEST(PickleOpcodes, TheRichStreamHoldsEverySupportedOpcode) {
  const PickleBuilder stream = test::rich_stream();
  ASSERT_TRUE(read(stream)) << to_string(read(stream).error());
  std::set<std::string_view> seen;
  ByteReader reader(stream.bytes());
  while (!reader.at_end()) {
    const OpcodeInfo* const info = find_opcode(*reader.read<std::uint8_t>());
    ASSERT_NE(info, nullptr);
    Argument argument;
    ASSERT_EQ(read_argument(info->argument, reader, argument), ArgumentFault::none);
    seen.insert(info->name);
  }
  const std::set<std::string_view> unsupported = {"EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"};
  for (const OpcodeInfo& info : opcodes()) {
    EXPECT_NE(seen.count(info.name), unsupported.count(info.name)) << info.name;
  }
}

std::string spec_row(const OpcodeInfo& info) {
  char byte[8];
  std::snprintf(byte, sizeof byte, "%02X", static_cast<unsigned>(info.opcode));
  const char* const mark = info.mark == Mark::no ? "" : info.mark == Mark::sets ? "sets" : "takes";
  std::ostringstream row;
  row << "| " << info.name << " | " << byte << " | " << int{info.protocol} << " | "
      << (info.argument == ArgumentKind::none ? "" : to_string(info.argument)) << " | " << mark << " | "
      << int{info.operands} << " | " << int{info.results} << " | " << (info.torch == Torch::yes ? "x" : "") << " | "
      << info.doc << " |";
  return row.str();
}

TEST(PickleOpcodes, TheSpecificationHasTheSameTable) {
  std::ifstream file(RUSHLIGHT_TESTS_SOURCE_DIR "/../format-spec/03-pickle.md");
  const std::string page(std::istreambuf_iterator<char>(file), {});
  ASSERT_FALSE(page.empty());
  std::string expected;
  for (const OpcodeInfo& info : opcodes()) expected += spec_row(info) + "\n";
  EXPECT_NE(page.find(expected), std::string::npos) << "the table should read:\n" << expected;
}

}  // namespace
}  // namespace rushlight::pickle
