// The small pickles of tests/fuzz/corpus/pickle, against what CPython reads in them (tests/pickle/make_streams.py); and
// the legacy files of PyTorch, which hold five pickles in a row.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "pickle/describe.hpp"
#include "pickle/machine.hpp"
#include "rushlight/limits.hpp"

namespace rushlight::pickle {
namespace {

namespace fs = std::filesystem;

const fs::path kStreams = RUSHLIGHT_TESTS_SOURCE_DIR "/fuzz/corpus/pickle";
const fs::path kExpected = RUSHLIGHT_TESTS_SOURCE_DIR "/pickle/expected";

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<fs::path> files(const fs::path& folder, const std::string& suffix) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().string().ends_with(suffix)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

TEST(PickleStreams, A09_ObjectsAreThoseThatCPythonReads) {
  const std::vector<fs::path> streams = files(kStreams, ".pkl");
  ASSERT_GE(streams.size(), 25u);
  for (const fs::path& path : streams) {
    const std::string stream = content(path);
    const auto pickle = read_pickle(as_byte_span(stream), Limits{});
    ASSERT_TRUE(pickle) << path << " " << to_string(pickle.error());
    EXPECT_EQ(pickle->bytes_used, stream.size()) << path;
    const fs::path expected = kExpected / path.filename().replace_extension(".json");
    EXPECT_EQ(test::dump_json(pickle->graph) + "\n", content(expected)) << path;
  }
}

TEST(PickleStreams, TheDisassemblyIsThatOfPickletools) {
  for (const fs::path& path : files(kStreams, ".pkl")) {
    const std::string stream = content(path);
    const auto text = disassemble(as_byte_span(stream));
    ASSERT_TRUE(text) << path << " " << to_string(text.error());
    const fs::path expected = kExpected / path.filename().replace_extension(".txt");
    EXPECT_EQ(*text, content(expected)) << path;
  }
}

TEST(PickleStreams, LegacyFilesHoldFivePicklesInARow) {
  // Magic number, protocol 1001, facts about the writer, the object, the keys of its storages; then the storages. At
  // protocols 4 and 5 each pickle has a frame, at protocol 1 none has a PROTO (NOTES of the golden files).
  const std::vector<fs::path> checkpoints = files(RUSHLIGHT_GOLDEN_DIR "/format", ".legacy.pt");
  ASSERT_GE(checkpoints.size(), 100u);
  for (const fs::path& path : checkpoints) {
    const std::string file = content(path);
    ByteSpan rest = as_byte_span(file);
    std::vector<std::string> described;
    for (int i = 0; i < 5; ++i) {
      const auto pickle = read_pickle(rest, Limits{});
      ASSERT_TRUE(pickle) << path << " pickle " << i << " " << to_string(pickle.error());
      const ObjectKind kind = pickle->graph.kind(pickle->graph.root());
      described.push_back(i == 3 ? "" : test::describe(pickle->graph));
      if (i == 4) {
        EXPECT_EQ(kind, ObjectKind::list) << path;
      }
      rest = rest.subspan(pickle->bytes_used);
    }
    EXPECT_EQ(described[0], "big(6cfc9c46f9206aa85019)") << path;
    EXPECT_EQ(described[1], "1001") << path;
    EXPECT_EQ(described[2].substr(0, 27), "{'protocol_version': 1001, ") << path;
  }
}

TEST(PickleStreams, DisassemblyStopsBehindStopAndNamesWhatItCannotRead) {
  const std::string two = "N.N.";
  EXPECT_EQ(disassemble(as_byte_span(two)).value(),
            "    0: N    NONE\n    1: .    STOP\nhighest protocol among opcodes = 0\n");
  const auto unknown = disassemble(as_byte_span("N\xff"));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(to_string(unknown.error()), "at 0x1: opcode 2: byte 0xff is not a pickle opcode");
  const auto cut = disassemble(as_byte_span("X\x05"));
  ASSERT_FALSE(cut);
  EXPECT_EQ(to_string(cut.error()),
            "at 0x0: opcode 1 BINUNICODE: the pickle ends inside the argument, expected 4 bytes, found 1");
  const auto endless = disassemble(as_byte_span("N"));
  ASSERT_FALSE(endless);
  EXPECT_EQ(to_string(endless.error()), "at 0x1: the pickle ends without STOP after 1 opcode");
}

TEST(PickleStreams, DisassemblyOfWhatTheMachineRefusesIsStillText) {
  const std::string text = disassemble(as_byte_span("t01uRI x\nS'\n.")).value();
  EXPECT_EQ(text,
            "    0: t    TUPLE      no MARK exists on stack\n"
            "    1: 0    POP\n"
            "    2: 1    POP_MARK   no MARK exists on stack\n"
            "    3: u    SETITEMS   no MARK exists on stack\n"
            "    4: R    REDUCE\n"
            "    5: I    INT        ' x'\n"
            "    9: S    STRING     \"'\"\n"
            "   12: .    STOP\n"
            "highest protocol among opcodes = 1\n");
}

TEST(PickleStreams, AMillionMarksDoNotMakeTheDisassemblyQuadratic) {
  const std::string stream = std::string(1'000'000, '(') + ".";
  const auto text = disassemble(as_byte_span(stream));
  ASSERT_TRUE(text);
  EXPECT_LT(text->size(), 450 * stream.size());
}

}  // namespace
}  // namespace rushlight::pickle
