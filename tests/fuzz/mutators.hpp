// Mutations that know a format: what they make gets past the checks that plain mutations fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>

namespace rushlight::test {

// libFuzzer's mutation of plain bytes: changes `data` in place, up to `max_size` bytes; gives the new size.
using PlainMutation = std::size_t (*)(std::uint8_t* data, std::size_t size, std::size_t max_size);

// All of these make one mutant, in place, of at most `max_size` bytes, and give its size. What they do not understand
// is mutated as plain bytes, and so is every other input (of pickles, every third) whatever it is.

// An archive (checkpoint_mutator.cpp): one record is changed - its bytes (most often those of data.pkl), its name, its
// method - or left out. All records but the changed one keep the CRC that the directory states, right or wrong; the
// changed one gets the right one, save for one in eight.
std::size_t mutate_checkpoint(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                              PlainMutation mutate);

// Pickles in a row, with whatever lies behind them (pickle_mutator.cpp): opcodes are left out, doubled, exchanged, put
// in, or their arguments are changed.
std::size_t mutate_pickle(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                          PlainMutation mutate);

// A text with its length before it and data behind it: .npy, safetensors. The text is changed, and its length made to
// fit. With other bytes, plain.
std::size_t mutate_header(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                          PlainMutation mutate);

// A tar archive: one member is changed, and its header made to fit.
std::size_t mutate_tar(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed, PlainMutation mutate);

// Several files in one (packed_files.hpp): one of them is changed as its kind wants it.
std::size_t mutate_files(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                         PlainMutation mutate);

// PNG and JPEG (picture_mutator.cpp): one chunk or segment is changed, left out, doubled or moved; lengths and
// checksums are made to fit.
std::size_t mutate_picture(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                           PlainMutation mutate);

// Any of these but pictures, by the first bytes.
std::size_t mutate_any(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed, PlainMutation mutate);

class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {
    below(2);  // the first number of neighbouring seeds is much the same
  }
  // True once in `sides` throws.
  bool one_in(unsigned sides) { return below(sides) == 0; }
  std::size_t below(std::size_t sides) { return static_cast<std::size_t>(engine_()) % sides; }
  unsigned seed() { return static_cast<unsigned>(engine_()); }

 private:
  std::minstd_rand engine_;
};

}  // namespace rushlight::test
