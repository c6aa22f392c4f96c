// How libFuzzer finds the mutator, whose name CMakeLists.txt gives.
#include "fuzz/mutators.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  return rushlight::test::RUSHLIGHT_FUZZ_MUTATOR(data, size, max_size, seed, LLVMFuzzerMutate);
}
