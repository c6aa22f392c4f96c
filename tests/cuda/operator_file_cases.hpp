// The cases of a file of operators through a backend that computes by CUDA kernels, emulated or on a GPU.
#pragma once

#include <cstddef>
#include <filesystem>

#include "operators/operator_files.hpp"
#include "runtime/backend.hpp"

namespace rushlight::cuda {

// By whom the cases were computed.
struct CaseCounts {
  std::size_t by_kernels = 0;
  std::size_t on_host = 0;  // at least one layer

  [[nodiscard]] std::size_t all() const noexcept { return by_kernels + on_host; }
};

// Expects each case to agree with PyTorch's outputs; a fatal failure ends the file. `thrice`: as for test::run_case().
void expect_agreement(const test::OperatorFile& file, const std::filesystem::path& path,
                      const runtime::Backend& backend, bool thrice, CaseCounts& counts);

}  // namespace rushlight::cuda
