/// \file
/// How exactly a Session computes. Always a choice of the caller, never of the machine.
#pragma once

#include <cstdint>

namespace rushlight {

/// Results of either are float32, the same for any number of threads and any place in a batch, and the same from run to
/// run on processors with the same instruction set. A backend that has no faster way computes strictly in both.
enum class Precision : std::uint8_t {
  strict,  ///< errors at or below PyTorch's own
  fast,    ///< algorithms that cost about one decimal digit are allowed: Winograd's F(4x4, 3x3)
};

}  // namespace rushlight
