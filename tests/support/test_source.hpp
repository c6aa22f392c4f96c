// A Source over memory that can do without a mapping, counts what is asked of it, and fails on request.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "rushlight/source.hpp"

namespace rushlight::test {

class TestSource final : public Source {
 public:
  enum class Access : std::uint8_t {
    mapped,     // has a mapping, like a mapped file
    read_only,  // has none, like a file read by pread
  };
  explicit TestSource(std::vector<std::byte> bytes, Access access = Access::mapped)
      : bytes_(std::move(bytes)), access_(access) {}
  static std::shared_ptr<TestSource> of(std::string_view file, Access access = Access::mapped) {
    const auto bytes = std::as_bytes(std::span(file));
    return std::make_shared<TestSource>(std::vector<std::byte>(bytes.begin(), bytes.end()), access);
  }

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return bytes_.size(); }
  [[nodiscard]] std::string_view name() const noexcept override { return "test.pt"; }
  [[nodiscard]] std::span<const std::byte> mapping() const noexcept override {
    return access_ == Access::mapped ? std::span<const std::byte>(bytes_) : std::span<const std::byte>();
  }
  Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    reads_ += 1;
    bytes_read_ += out.size();
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
      return Error::of(
          {.category = Category::argument, .code = "TEST-RANGE", .message = "read beyond the end", .offset = offset});
    }
    if (offset < fail_end_ && fail_begin_ < offset + out.size()) {
      return Error::of(
          {.category = Category::io, .code = "IO-READ", .message = "input/output error", .offset = offset});
    }
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
  }

  [[nodiscard]] std::uint64_t reads() const noexcept { return reads_; }
  [[nodiscard]] std::uint64_t bytes_read() const noexcept { return bytes_read_; }
  // Reads that touch [begin, end) fail with ErrorCode::io. Set before other threads read.
  void fail_within(std::uint64_t begin, std::uint64_t end) noexcept {
    fail_begin_ = begin;
    fail_end_ = end;
  }

 private:
  std::vector<std::byte> bytes_;
  Access access_;
  std::uint64_t fail_begin_ = 0;
  std::uint64_t fail_end_ = 0;
  mutable std::atomic<std::uint64_t> reads_{0};
  mutable std::atomic<std::uint64_t> bytes_read_{0};
};

}  // namespace rushlight::test
