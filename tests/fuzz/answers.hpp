// What all targets ask of a checkpoint: open, list, walk, read, hash, verify, scan. Whatever the bytes are, the answers
// must fit each other, and require() says where they do not (README.md lists the rules). Budgets keep one input cheap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/tensor.hpp"
#include "support/test_source.hpp"

namespace rushlight::test {

// Of one tensor, and of all that are read.
inline constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 20;

// Aborts, naming its caller.
void require(bool condition, int line = __builtin_LINE(), const char* file = __builtin_FILE());

[[nodiscard]] Limits small_limits();

// UTF-8 without control characters.
[[nodiscard]] bool is_plain_text(std::string_view text);

// What error.hpp promises of a finding; gives all of it as one line.
std::string checked_line(const Finding& finding);
std::string checked_line(const Error& error);

// Reads one tensor in every way; what its storage refuses, it refuses. Gives what was found, as text.
std::string read_tensor(const Tensor& tensor);

// A file, and those beside it.
struct FileSet {
  std::vector<std::byte> first;
  std::map<std::string, std::vector<std::byte>, std::less<>> others;
};

// All of it, from a mapping and by reading.
void check_answers(const FileSet& files);
void check_answers(std::span<const std::uint8_t> data);

// For bytes that a decoder refused: opening must not find one of these kinds in them.
void check_refusal(std::span<const std::uint8_t> data, std::initializer_list<FileKind> kinds);

// Has `read` decode the bytes from a mapping and by reading, which must have the same outcome; gives the first. What
// `text` makes of a success is compared.
template <class Read, class Text>
[[nodiscard]] auto decode_both_ways(std::span<const std::uint8_t> data, Read read, Text text) {
  const auto bytes = std::as_bytes(data);
  const std::vector<std::byte> copy(bytes.begin(), bytes.end());
  auto mapped = read(std::make_shared<TestSource>(copy, TestSource::Access::mapped));
  const auto pieces = read(std::make_shared<TestSource>(copy, TestSource::Access::read_only));
  require(mapped.has_value() == pieces.has_value());
  if (mapped) {
    require(text(*mapped) == text(*pieces));
  } else {
    require(mapped.error().code != ErrorCode::io);
    require(checked_line(mapped.error()) == checked_line(pieces.error()));
  }
  return mapped;
}

}  // namespace rushlight::test
