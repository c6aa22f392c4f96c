// Reading streams in tests, and saying what should be wrong with them.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>

#include "pickle/describe.hpp"
#include "pickle/machine.hpp"
#include "rushlight/limits.hpp"
#include "support/pickle_builder.hpp"

namespace rushlight::test {

// The result looks into the stream: keep that in a variable when its texts are read.
inline Result<pickle::Pickle> read(const PickleBuilder& stream, const Limits& limits = {}) {
  return pickle::read_pickle(stream.bytes(), limits);
}

// describe() of the root, or the error's one line.
inline std::string outcome(const PickleBuilder& stream, const Limits& limits = {}) {
  const auto pickle = read(stream, limits);
  return pickle ? describe(pickle->graph) : "error: " + to_string(pickle.error());
}

struct Refusal {
  Category category;
  std::string_view code;
  std::uint64_t offset;  // of the opcode, in the stream
  std::string_view message;
};

inline void expect_refused(const PickleBuilder& stream, const Refusal& wanted, const Limits& limits = {}) {
  const auto pickle = read(stream, limits);
  ASSERT_FALSE(pickle.has_value()) << describe(pickle->graph);
  const Finding& finding = pickle.error().finding;
  EXPECT_EQ(to_string(finding.category), to_string(wanted.category));
  EXPECT_EQ(finding.code, wanted.code);
  EXPECT_EQ(finding.message, wanted.message);
  EXPECT_EQ(finding.record_offset, std::optional(wanted.offset));
  EXPECT_EQ(finding.severity, Severity::error);
}

}  // namespace rushlight::test
