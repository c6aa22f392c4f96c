#include "cuda/device_weights.hpp"

#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "cuda/check.hpp"
#include "cuda/stream.hpp"

namespace rushlight::cuda {
namespace {

// What cudaMalloc gives, and more than any load of ours wants.
constexpr std::uint64_t kAlignment = 256;

// A constant on its way to the device.
struct Upload {
  const runtime::Constant* constant = nullptr;
  Tensor tensor;
  std::uint64_t offset_bytes = 0;
};

}  // namespace

Result<std::vector<const float*>> DeviceWeights::upload(std::span<const runtime::Constant> constants,
                                                        const runtime::Network& network) {
  const std::lock_guard lock(mutex_);
  std::vector<Upload> uploads;
  std::uint64_t total_bytes = 0;
  for (const runtime::Constant& constant : constants) {
    if (places_.contains(constant)) continue;
    Upload upload{.constant = &constant, .tensor = {}, .offset_bytes = total_bytes};
    RUSHLIGHT_TRY_ASSIGN(upload.tensor, runtime::materialise(constant, network));
    // What lies in host memory adds up to far less than 2^64.
    total_bytes += (upload.tensor.size_bytes() + kAlignment - 1) / kAlignment * kAlignment;
    uploads.push_back(std::move(upload));
  }
  if (!uploads.empty()) {
    RUSHLIGHT_TRY_ASSIGN(DeviceBuffer block, DeviceBuffer::allocate(device_, total_bytes, "weights"));
    RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(device_));
    RUSHLIGHT_TRY_ASSIGN(const Stream stream, Stream::make());
    for (const Upload& upload : uploads) {
      RUSHLIGHT_TRY_ASSIGN(const std::span<const float> values, upload.tensor.values<float>());
      if (values.empty()) continue;
      RUSHLIGHT_CUDA_TRY(cudaMemcpyAsync, block.data() + upload.offset_bytes, values.data(), values.size_bytes(),
                         cudaMemcpyHostToDevice, stream.get());
    }
    RUSHLIGHT_TRY(stream.synchronise());
    for (const Upload& upload : uploads) {
      places_.emplace(*upload.constant, reinterpret_cast<const float*>(block.data() + upload.offset_bytes));
    }
    blocks_.push_back(std::move(block));
  }
  std::vector<const float*> places;
  places.reserve(constants.size());
  for (const runtime::Constant& constant : constants) places.push_back(places_.at(constant));
  return places;
}

}  // namespace rushlight::cuda
