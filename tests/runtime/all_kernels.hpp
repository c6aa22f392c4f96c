// The kernels of each instruction set that this processor has.
#pragma once

#include <string>
#include <vector>

#include "base/cpu_features.hpp"
#include "runtime/cpu/kernels/kernels.hpp"

namespace rushlight::test {

struct NamedKernels {
  std::string name;
  const runtime::cpu::Kernels* kernels;
};

inline std::vector<NamedKernels> all_kernels() {
  std::vector<NamedKernels> all = {{"baseline", &runtime::cpu::baseline_kernels()}};
#if defined(__x86_64__)
  const CpuFeatures features = detect_cpu_features();
  if (features.avx2) all.push_back({"avx2", &runtime::cpu::avx2_kernels()});
  if (features.avx512) all.push_back({"avx512", &runtime::cpu::avx512_kernels()});
#endif
  return all;
}

}  // namespace rushlight::test
