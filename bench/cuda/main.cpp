#include "bench/cuda/cuda_bench.hpp"

int main(int argc, char** argv) {
  return rushlight::bench::run_cuda_bench(argc, argv);
}
