#include "open/index_check.hpp"

#include <string>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "tensor/meta.hpp"

namespace rushlight::open {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;
constexpr std::uint64_t kMostTimesFile = 16;

}  // namespace

IndexCheck::IndexCheck(std::uint64_t file_size_bytes) noexcept
    : most_bytes_(kMostBytes + checked_mul(file_size_bytes, kMostTimesFile).value_or(0)) {}

std::optional<Error> IndexCheck::check(const CompositeTensor& tensor) {
  std::uint64_t index_bytes = 0;
  for (const auto& [name, part] : tensor.components()) {
    if (is_meta(part)) return std::nullopt;
    if (name == "values" || name == "buffer") continue;
    index_bytes = checked_add(index_bytes, part.size_bytes()).value_or(most_bytes_);
  }
  if (index_bytes > most_bytes_ - done_bytes_) {
    return Error::of({.category = Category::limit,
                      .code = "LIMIT-INDICES",
                      .message = "the indices repeat the bytes of the file too often to be checked, expected at most " +
                                 std::to_string(most_bytes_) + " bytes in all",
                      .expected = std::to_string(most_bytes_)});
  }
  done_bytes_ += index_bytes;
  Status checked = tensor.check_indices();
  if (checked) return std::nullopt;
  return std::move(checked).error();
}

}  // namespace rushlight::open
