// Any file that may be a checkpoint, whatever its container.
#include <cstddef>
#include <cstdint>

#include "fuzz/answers.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rushlight::test::check_answers(std::span(data, size));
  return 0;
}
