#include "checkpoint/stream_pickle.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/fail.hpp"

namespace rushlight::checkpoint {
namespace {

// Of a source without a mapping. Most pickles are the tiny entries of a table, with the data of a storage behind each.
constexpr std::uint64_t kFirstWindowBytes = 256;
constexpr std::uint64_t kWindowGrowth = 4;

}  // namespace

Result<StreamPickle> read_stream_pickle(const std::shared_ptr<const Source>& source, StreamPart part,
                                        std::string_view file, const Limits& limits) {
  const std::uint64_t offset = part.begin;
  const std::uint64_t left = part.end - part.begin;
  const std::uint64_t most = std::min(left, limits.pickle_bytes);
  const ByteSpan mapping = source->mapping();
  std::uint64_t count = mapping.empty() ? std::min(most, kFirstWindowBytes) : most;
  const auto copy = std::make_shared<std::vector<std::byte>>();
  for (;;) {
    PickleBytes window;
    if (mapping.empty()) {
      const std::size_t known = copy->size();
      copy->resize(static_cast<std::size_t>(count));
      RUSHLIGHT_TRY(source->read_at(offset + known, std::span(*copy).subspan(known)));
      window.bytes = *copy;
      window.owner = copy;
    } else {
      window.bytes = mapping.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(count));
      window.owner = source;
    }
    window.place = {.file = std::string(file), .record = std::string(part.name), .file_offset = offset};
    Result<pickle::Pickle> pickle = pickle::read_pickle(window.bytes, limits);
    if (pickle) {
      const std::uint64_t end = offset + pickle->bytes_used;
      window.bytes = window.bytes.first(pickle->bytes_used);
      return StreamPickle{std::move(window), *std::move(pickle), end};
    }
    if (count < most) {
      // Whatever is wrong may be so for want of bytes: judged again with more of them.
      count = count > most / kWindowGrowth ? most : count * kWindowGrowth;
      continue;
    }
    Error error = std::move(pickle).error();
    window.place.fill(error.finding, error.finding.record_offset.value_or(0));
    if (most < left && error.code == ErrorCode::truncated) {
      error.finding.hint = "only limits.pickle_bytes (" + std::to_string(limits.pickle_bytes) + ") were read";
    }
    return error;
  }
}

}  // namespace rushlight::checkpoint
