#include "runtime/failure.hpp"

#include <string>
#include <utility>

namespace rushlight::runtime {

Error wrong_argument(std::string code, std::string message, std::string hint) {
  return Error::of({.category = Category::argument,
                    .code = std::move(code),
                    .message = std::move(message),
                    .hint = std::move(hint)});
}

Error run_was_cancelled() {
  return Error::of(ErrorCode::cancelled,
                   {.category = Category::device, .code = "RUN-CANCELLED", .message = "the run was cancelled"});
}

Error no_memory_for(std::uint64_t size_bytes, std::string_view what) {
  return Error::of(ErrorCode::out_of_memory,
                   {.category = Category::device,
                    .code = "OUT-OF-MEMORY",
                    .message = "no memory for " + std::to_string(size_bytes) + " bytes of " + std::string(what)});
}

Error index_outside(std::int64_t index, std::int64_t size) {
  const std::string found = std::to_string(index);
  const std::string expected = "0 to " + std::to_string(size - 1);
  return Error::of({.category = Category::argument,
                    .code = "RUN-INDEX",
                    .message = "index " + found + " lies outside, expected " + expected,
                    .found = found,
                    .expected = expected});
}

Error arena_too_large(std::optional<std::uint64_t> needed_bytes, const Limits& limits, std::string_view what) {
  const std::string needed = needed_bytes ? std::to_string(*needed_bytes) : "more than 63 bits can count";
  const std::string allowed = std::to_string(limits.arena_bytes);
  return Error::of({.category = Category::limit,
                    .code = "LIMIT-ARENA-BYTES",
                    .message = std::string(what) +
                               " need more memory than limits.arena_bytes allows, expected at most " + allowed +
                               " bytes, found " + needed,
                    .found = needed,
                    .expected = allowed,
                    .hint = "run smaller batches, or raise the limit"});
}

}  // namespace rushlight::runtime
