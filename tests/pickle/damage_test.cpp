// A good stream, cut at every byte and with every byte changed: an error with a place, or a graph that can be walked.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "pickle/machine.hpp"
#include "pickle/read.hpp"
#include "pickle/rich_stream.hpp"

namespace rushlight::pickle {
namespace {

using test::PickleBuilder;

// What every answer must satisfy, whatever the bytes.
void check_answers(ByteSpan stream) {
  const auto pickle = read_pickle(stream, Limits{});
  if (pickle) {
    ASSERT_LE(pickle->bytes_used, stream.size());
    ASSERT_LT(pickle->graph.root(), pickle->graph.size());
    const std::string dump = test::dump_json(pickle->graph);  // reads every reachable byte
    ASSERT_FALSE(dump.empty());
  } else {
    const Finding& finding = pickle.error().finding;
    ASSERT_FALSE(finding.code.empty());
    ASSERT_FALSE(finding.message.empty());
    ASSERT_TRUE(finding.record_offset.has_value());
    ASSERT_LE(*finding.record_offset, stream.size());
  }
  const auto names = list_globals(stream);
  const auto text = disassemble(stream);
  ASSERT_TRUE(text || text.error().finding.record_offset.has_value());
  if (!pickle) return;
  // Whatever reads as a pickle can be disassembled, and its names are found without building anything.
  ASSERT_TRUE(text) << to_string(text.error());
  ASSERT_GE(names.size(), pickle->globals.size());
  for (std::size_t i = 0; i < pickle->globals.size(); ++i) {
    ASSERT_EQ(names[i].module, pickle->globals[i].module);
    ASSERT_EQ(names[i].name, pickle->globals[i].name);
    ASSERT_EQ(names[i].offset, pickle->globals[i].offset);
  }
}

TEST(PickleDamage, P14_EveryPrefixIsRefusedAsTruncated) {
  // Without the frame, whose length would give all of them away at once.
  for (const PickleBuilder& stream : {test::rich_body(), test::rich_stream()}) {
    for (std::size_t size = 0; size < stream.size(); ++size) {
      const std::vector<std::byte> cut(stream.bytes().begin(),
                                       stream.bytes().begin() + static_cast<std::ptrdiff_t>(size));
      const auto pickle = read_pickle(cut, Limits{});
      ASSERT_FALSE(pickle) << size;
      const Finding& finding = pickle.error().finding;
      ASSERT_EQ(finding.category, Category::pkl) << size << " " << finding.message;
      ASSERT_TRUE(finding.code == "PKL-TRUNCATED" || finding.code == "PKL-NEWLINE" || finding.code == "PKL-FRAME")
          << size << " " << finding.message;
      check_answers(cut);
    }
  }
}

TEST(PickleDamage, EveryOneByteChangeHasAnAnswer) {
  const PickleBuilder streams[] = {
      test::rich_body(),
      PickleBuilder()
          .proto(4)
          .frame(13)
          .empty_dict()
          .memoize()
          .short_text("ab")
          .empty_list()
          .memoize()
          .setitem()
          .get(0)
          .tuple2()
          .stop(),
  };
  int accepted = 0;
  for (const PickleBuilder& stream : streams) {
    std::vector<std::byte> bytes(stream.bytes().begin(), stream.bytes().end());
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const std::byte original = bytes[i];
      for (unsigned value = 0; value < 256; ++value) {
        bytes[i] = static_cast<std::byte>(value);
        ASSERT_NO_FATAL_FAILURE(check_answers(bytes)) << "byte " << i << " set to " << value;
        accepted += read_pickle(bytes, Limits{}).has_value() ? 1 : 0;
      }
      bytes[i] = original;
    }
  }
  EXPECT_GT(accepted, 1000);  // changed numbers and letters leave a good stream
}

TEST(PickleDamage, EveryByteRemovedOrDoubledHasAnAnswer) {
  const PickleBuilder stream = test::rich_body();
  for (std::size_t i = 0; i < stream.size(); ++i) {
    std::string removed = stream.str();
    removed.erase(i, 1);
    ASSERT_NO_FATAL_FAILURE(check_answers(as_byte_span(removed))) << i;
    std::string doubled = stream.str();
    doubled.insert(i, 1, doubled[i]);
    ASSERT_NO_FATAL_FAILURE(check_answers(as_byte_span(doubled))) << i;
  }
}

TEST(PickleDamage, TheSameBytesGiveTheSameWords) {
  const std::string cut = test::rich_body().str().substr(0, 100);
  const auto first = read_pickle(as_byte_span(cut), Limits{});
  const std::string copy = cut + std::string();
  const auto second = read_pickle(as_byte_span(copy), Limits{});
  ASSERT_FALSE(first);
  ASSERT_FALSE(second);
  EXPECT_EQ(to_string(first.error()), to_string(second.error()));
}

}  // namespace
}  // namespace rushlight::pickle
