// Writes a pickle and its storages as torch.save does with _use_new_zipfile_serialization=False: the writing side of
// legacy_stream.hpp. Source: torch/serialization.py (_legacy_save), format-spec/06-legacy.
#pragma once

#include <cstdint>

#include "checkpoint/unbuild_value.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/result.hpp"
#include "rushlight/sink.hpp"

namespace rushlight::checkpoint {

// `value` was unbuilt with PersistentIds::legacy, at this protocol.
Result<std::uint64_t> legacy_stream_bytes(const UnbuiltValue& value, int protocol);
Status write_legacy_stream(const UnbuiltValue& value, int protocol, Sink& sink, Progress* progress);

}  // namespace rushlight::checkpoint
