// Which steps of a plan one mlp kernel computes (kernels/mlp.cuh).
#pragma once

#include <cstddef>

#include "runtime/plan.hpp"

namespace rushlight::cuda {

// How many steps from `first` on: Linears each of which reads what the one before it made, and a softmax over the rows
// of the last. Below 2: a chain of one Linear gains nothing, and has row_product.
//
// What a start saves is the time until a kernel has begun after the one before it has ended, some 2 microseconds. It
// costs that all layers but the first run on one multiprocessor: some 100 GB/s of weights out of L2. So those may have
// 128 KiB of weights between them, 1.3 microseconds. First layers of more than 16 MiB take so long that a start does
// not matter, and other kernels read them better.
[[nodiscard]] std::size_t count_mlp_steps(const runtime::Plan& plan, std::size_t first);

}  // namespace rushlight::cuda
