// The benchmark of one GPU as a function, for programs that do something else too (tests/cuda/on_gpu.cpp).
#pragma once

namespace rushlight::bench {

// What bench_cuda does with these words (cuda_bench.cpp), and its exit code.
[[nodiscard]] int run_cuda_bench(int argc, char** argv);

}  // namespace rushlight::bench
