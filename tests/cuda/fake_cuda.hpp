// A CUDA runtime on the host, in place of NVIDIA's: device memory is host memory, kernels run in the emulation.
//
// Programs that link fake_cuda.cpp instead of libcudart and cuda_kernels run the backend itself, every line of it but
// the kernels' own start, without a GPU. As on a GPU, what is put into a stream is carried out later: here when
// somebody waits for it, so that a wait that is missing shows. Any call can be made to fail, and what was not given
// back is counted. Programs may call CUDA on several threads, one call at a time; tests call the functions below when
// nobody else does.
#pragma once

#include <driver_types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cuda/calls.hpp"

namespace rushlight::cuda::fake {

struct Gpu {
  std::string name = "Made-up GPU";
  int capability = 90;
  int processors = 4;
  std::uint64_t memory_bytes = std::uint64_t{1} << 30;
};

// Forgets failures, counts of calls, the clock, who watches, and devices that are lost. Nothing may be live.
void reset(std::vector<Gpu> gpus = {Gpu{}});
// As 13000 for CUDA 13.0; 0: none is installed.
void set_driver(int version);
// As 80 for 8.0: of what architecture's PTX the kernels are. 90 by default.
void set_compiled_for(int architecture);

// The call of this name ("cudaMalloc", "launch") that comes after `skipped` others returns `status` and does nothing.
// "kernel": the kernel itself fails while it runs, which who waits for the stream is told. After a status that ends the
// context every call fails with it.
void fail(std::string_view call, cudaError_t status, int skipped = 0);
// The same for calls of any name; failed_call() tells which one it was, and nothing when it has not come.
void fail_any(cudaError_t status, int skipped);
[[nodiscard]] const std::string& failed_call();

// Which kernel takes how many nanoseconds, for cudaEventElapsedTime. By default one each.
void set_clock(std::function<double(const Work&)> nanoseconds);

// Kernels take their time and compute nothing: for tests that launch thousands and look at no result.
void skip_kernels();

// Made and not yet destroyed.
struct Live {
  int blocks = 0;         // of device memory
  int pinned_blocks = 0;  // of host memory
  int streams = 0;
  int events = 0;
  int graphs = 0;  // recorded or executable
  friend bool operator==(const Live&, const Live&) = default;
};
[[nodiscard]] Live live();

// Of device memory that is live.
[[nodiscard]] std::uint64_t device_bytes();

// `look` is called at the head of each call of CUDA's.
void watch(std::function<void()> look);

// Since reset(), failed ones included. "early launch": those of "launch" whose kernel may start early.
[[nodiscard]] int calls_of(std::string_view call);
// Of any function of CUDA's, and "launch" and "probe_kernels".
[[nodiscard]] int calls();
// Whether one of CUDA's functions is at work: what it allocates is not the backend's.
[[nodiscard]] bool is_inside() noexcept;
// What a kernel did that no GPU survives, or empty.
[[nodiscard]] const std::string& emulation_failure();

}  // namespace rushlight::cuda::fake
