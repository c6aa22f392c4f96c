#include "tensor/unfolded_bytes.hpp"

#include <limits>
#include <set>
#include <string>

#include "base/checked.hpp"
#include "tensor/meta.hpp"

namespace rushlight {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 30;
constexpr std::uint64_t kMostTimesStored = 16;

}  // namespace

Result<std::uint64_t> unfolded_bytes(std::span<const Tensor* const> tensors, std::string_view code,
                                     std::string_view what) {
  constexpr std::uint64_t kAll = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t logical_bytes = 0;
  std::uint64_t stored_bytes = 0;
  std::set<const Memory*> counted;
  for (const Tensor* tensor : tensors) {
    if (is_meta(*tensor)) continue;
    logical_bytes = checked_add(logical_bytes, tensor->size_bytes()).value_or(kAll);
    const Storage& storage = tensor->storage();
    if (counted.insert(storage.memory().get()).second) {
      stored_bytes = checked_add(stored_bytes, storage.size_bytes()).value_or(kAll);
    }
  }
  const std::uint64_t most =
      checked_add(checked_mul(stored_bytes, kMostTimesStored).value_or(kAll), kMostBytes).value_or(kAll);
  if (logical_bytes <= most) return logical_bytes;
  return Error::of({.category = Category::limit,
                    .code = std::string(code),
                    .message = "the tensors repeat their " + std::to_string(stored_bytes) + " stored bytes too often " +
                               std::string(what) + ", expected at most " + std::to_string(most) +
                               " bytes in all, found " + std::to_string(logical_bytes),
                    .found = std::to_string(logical_bytes),
                    .expected = std::to_string(most)});
}

}  // namespace rushlight
