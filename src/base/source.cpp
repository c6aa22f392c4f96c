#include "rushlight/source.hpp"

#include <cstring>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/source_range.hpp"

namespace rushlight {
namespace {

class MemorySource final : public Source {
 public:
  MemorySource(std::span<const std::byte> bytes, std::string name, std::shared_ptr<const void> keep_alive)
      : bytes_(bytes), name_(std::move(name)), keep_alive_(std::move(keep_alive)) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return bytes_.size(); }

  Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    RUSHLIGHT_TRY(check_range(*this, offset, out.size()));
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
  }

  [[nodiscard]] std::span<const std::byte> mapping() const noexcept override { return bytes_; }
  [[nodiscard]] std::string_view name() const noexcept override { return name_; }

 private:
  std::span<const std::byte> bytes_;
  std::string name_;
  std::shared_ptr<const void> keep_alive_;
};

}  // namespace

Source::~Source() = default;

Status check_range(const Source& source, std::uint64_t offset, std::uint64_t count) {
  if (range_fits<std::uint64_t>(offset, count, source.size_bytes())) return {};
  return with_file(Error::of({.category = Category::argument,
                              .code = "IO-RANGE",
                              .message = "a read of " + std::to_string(count) + " bytes ends beyond the source's " +
                                         std::to_string(source.size_bytes()) + " bytes",
                              .offset = offset}),
                   source.name());
}

std::shared_ptr<const Source> Source::from_memory(std::span<const std::byte> bytes, std::string name,
                                                  std::shared_ptr<const void> keep_alive) {
  return std::make_shared<MemorySource>(bytes, std::move(name), std::move(keep_alive));
}

}  // namespace rushlight
