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

// Reads no more of a source without a mapping than it needs, within a factor; verdicts are those of a mapped one.
// `record` is for errors: which of several pickles it is, or empty.
Result<StreamPickle> read_stream_pickle(const std::shared_ptr<const Source>& source, std::uint64_t offset,
                                        std::string_view file, std::string_view record, const Limits& limits);

}  // namespace rushlight::checkpoint
