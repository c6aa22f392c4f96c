// Tests and benchmark of a GPU in one program: machines that have a driver and nothing else are sent both
// (make_gpu_package.sh), and most of either is the code for GPUs, which is in it once.
#include <gtest/gtest.h>

#include <string_view>

#include "bench/cuda/cuda_bench.hpp"

int main(int argc, char** argv) {
  if (argc > 0 && std::string_view(argv[0]).ends_with("bench_cuda"))
    return rushlight::bench::run_cuda_bench(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
