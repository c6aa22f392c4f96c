// What happens where no GPU can be used: clear answers, and the CPU goes on.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "cuda/backend.hpp"
#include "cuda/check.hpp"
#include "cuda/device_memory.hpp"
#include "cuda/usable_gpu.hpp"
#include "runtime/cpu/backend.hpp"
#include "runtime/networks.hpp"

namespace rushlight::cuda {
namespace {

bool has_driver() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess && version != 0;
}

// Without a driver the question itself fails.
bool an_error_is_left_behind() {
  return has_driver() && cudaGetLastError() != cudaSuccess;
}

TEST(CudaDevices, EveryOneIsUsableOrSaysWhyNot) {
  const std::vector<DeviceInfo> devices = list_devices();
  ASSERT_FALSE(devices.empty());
  for (std::size_t i = 0; i < devices.size(); ++i) {
    EXPECT_EQ(devices[i].device, Device::cuda(static_cast<int>(i)));
    EXPECT_FALSE(devices[i].description.empty());
    EXPECT_NE(devices[i].usable, !devices[i].why.empty());
  }
  EXPECT_FALSE(an_error_is_left_behind());
}

TEST(CudaDevices, WithoutADriverTheListSaysSo) {
  if (has_driver()) GTEST_SKIP() << "an NVIDIA driver is installed";
  const std::vector<DeviceInfo> devices = list_devices();
  ASSERT_EQ(devices.size(), 1U);
  EXPECT_EQ(devices[0].description, "NVIDIA GPU");
  EXPECT_EQ(devices[0].memory_bytes, 0U);
  EXPECT_EQ(devices[0].why, "no NVIDIA driver is installed");
}

TEST(CudaDevices, WithoutADriverNothingCanBeMadeAndTheRemedyIsNamed) {
  if (has_driver()) GTEST_SKIP() << "an NVIDIA driver is installed";
  const auto backend = make_backend(0, runtime::cpu::make_backend().value());
  ASSERT_FALSE(backend);
  EXPECT_EQ(backend.error().code, ErrorCode::device);
  EXPECT_EQ(backend.error().finding.code, "DEVICE-NO-GPU");
  EXPECT_EQ(backend.error().finding.message, "device 'cuda:0' cannot be used: no NVIDIA driver is installed");
  EXPECT_EQ(backend.error().finding.hint, "install the NVIDIA driver, or run on the CPU");

  const auto buffer = DeviceBuffer::allocate(0, 1000, "activations");
  ASSERT_FALSE(buffer);
  EXPECT_EQ(buffer.error().code, ErrorCode::device);
  EXPECT_EQ(buffer.error().finding.message, "no GPU can be used: no NVIDIA driver is installed");

  const Tensor tensor = test::made_up("x", {2, 3});
  const auto moved = tensor.to(Device::cuda(0));
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().code, ErrorCode::device);
}

TEST(CudaDevices, AGpuThatIsNotThereIsRefusedByItsNumber) {
  const auto backend = make_backend(1000, runtime::cpu::make_backend().value());
  ASSERT_FALSE(backend);
  EXPECT_EQ(backend.error().code, ErrorCode::device);
  EXPECT_TRUE(backend.error().finding.message.starts_with("device 'cuda:1000' cannot be used: "))
      << backend.error().finding.message;
  EXPECT_FALSE(an_error_is_left_behind());
}

TEST(CudaDevices, AfterARefusalTheCpuStillRuns) {
  const Model model = test::made_up_model(Sequential{Linear{4, 3}, ReLU{}}.graph({4}).value());
  const auto refused = model.session(Device::cuda(1000));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::device);
  auto session = model.session();
  ASSERT_TRUE(session);
  EXPECT_TRUE(session->run(test::made_up("x", {2, 4})));
}

TEST(CudaErrors, CallsThatFailNameTheCallAndTheReason) {
  const Error error = call_failed(cudaErrorInvalidValue, "cudaMemcpyAsync");
  EXPECT_EQ(error.code, ErrorCode::device);
  EXPECT_EQ(error.finding.message, "cudaMemcpyAsync: invalid argument (cudaErrorInvalidValue)");
  EXPECT_EQ(error.finding.hint, "");
}

TEST(CudaErrors, KernelsThatFailNameTheLayer) {
  const Error error = kernel_failed(cudaErrorIllegalAddress, "gemm", "layer1.0.conv1");
  EXPECT_EQ(error.code, ErrorCode::device);
  EXPECT_EQ(error.finding.message,
            "layer 'layer1.0.conv1': kernel gemm: an illegal memory access was encountered (cudaErrorIllegalAddress)");
  EXPECT_EQ(error.finding.hint, "the GPU cannot be used again before the program is restarted");
}

TEST(CudaErrors, TooLittleMemoryIsAClassOfItsOwnAndSaysHowMuchWasAskedFor) {
  const Error error = out_of_device_memory(0, 1234, "weights");
  EXPECT_EQ(error.code, ErrorCode::out_of_memory);
  EXPECT_TRUE(error.finding.message.starts_with("no memory on cuda:0 for 1234 bytes of weights"))
      << error.finding.message;
  EXPECT_EQ(call_failed(cudaErrorMemoryAllocation, "cudaStreamCreate").code, ErrorCode::out_of_memory);
}

}  // namespace
}  // namespace rushlight::cuda
