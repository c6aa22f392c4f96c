// Mutates what is inside a zip archive and writes the archive anew, so that mutants get past the container's checks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight::test {

// libFuzzer's mutation of plain bytes: changes `data` in place, up to `max_size` bytes; gives the new size.
using PlainMutation = std::size_t (*)(std::uint8_t* data, std::size_t size, std::size_t max_size);

// One mutant of the archive in `data`, in place, at most `max_size` bytes; gives its size. One record is changed: its
// bytes (most often those of data.pkl), its name, its method; or it is left out. All records but the changed one keep
// the CRC that the directory states, right or wrong; the changed one gets the right one, save for one in eight. What
// is no archive, and every other input whatever it is, is mutated as plain bytes.
std::size_t mutate_checkpoint(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                              PlainMutation mutate);

}  // namespace rushlight::test
