// A pickle that lies somewhere in a file, with other things behind it: how legacy files and bare pickles hold them.
#pragma once

#include <cstdint>
#include <memory>

#include "checkpoint/build_value.hpp"
#include "pickle/machine.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/source.hpp"

namespace rushlight::checkpoint {

struct StreamPickle {
  PickleBytes bytes;  // from the start of the pickle; what lies behind it may be among them
  pickle::Pickle pickle;
  std::uint64_t end = 0;  // of the pickle, in the file
};

// A part of a file, [begin, end), and what errors call it: which of several pickles it holds, or nothing.
struct StreamPart {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::string_view name{};
};

// The pickle at the beginning of a part. Reads no more of a source without a mapping than it needs, within a factor;
// verdicts are those of a mapped one.
Result<StreamPickle> read_stream_pickle(const std::shared_ptr<const Source>& source, StreamPart part,
                                        std::string_view file, const Limits& limits);

}  // namespace rushlight::checkpoint
