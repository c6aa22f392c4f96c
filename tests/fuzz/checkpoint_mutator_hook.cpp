// How libFuzzer finds the mutator.
#include <cstddef>
#include <cstdint>

#include "fuzz/checkpoint_mutator.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  return rushlight::test::mutate_checkpoint(data, size, max_size, seed, LLVMFuzzerMutate);
}
