// Runs a call of the CUDA backend in the emulation: what cuda/kernels/launch.hpp does on a GPU.
#pragma once

#include "cuda/calls.hpp"
#include "cuda/emulator.hpp"

namespace rushlight::cuda::emulation {

// Failures are kept in the emulator.
void emulate(const Work& work, Emulator& emulator);
void emulate(const GeneralCall& call, Emulator& emulator);

// The same with another number of blocks. False, and nothing done, for kernels that need a block for each tile.
bool emulate_with_blocks(const Work& work, std::int64_t blocks, Emulator& emulator);

}  // namespace rushlight::cuda::emulation
