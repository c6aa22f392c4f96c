// A Sink that keeps what is written, and fails when a test wants it to.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "base/bytes.hpp"
#include "rushlight/sink.hpp"

namespace rushlight::test {

class TestSink final : public Sink {
 public:
  // Takes so many bytes; the write that goes beyond fails with TEST-FULL.
  explicit TestSink(std::uint64_t most_bytes = std::numeric_limits<std::uint64_t>::max()) : most_bytes_(most_bytes) {}

  Status write(std::span<const std::byte> bytes) override {
    if (bytes.size() > most_bytes_ - text_.size()) {
      ++failures_;
      return Error::of({.category = Category::io, .code = "TEST-FULL", .message = "the sink is full"});
    }
    text_ += as_text(bytes);
    longest_write_ = std::max(longest_write_, bytes.size());
    return {};
  }

  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] std::size_t longest_write() const noexcept { return longest_write_; }
  // Nothing may be written after the first.
  [[nodiscard]] int failures() const noexcept { return failures_; }

 private:
  std::uint64_t most_bytes_;
  std::string text_;
  std::size_t longest_write_ = 0;
  int failures_ = 0;
};

}  // namespace rushlight::test
