#include "cuda/device_memory.hpp"

#include <cuda_runtime_api.h>

#include <optional>
#include <string>
#include <utility>

#include "base/fail.hpp"
#include "cuda/check.hpp"
#include "cuda/stream.hpp"
#include "cuda/upload.hpp"

namespace rushlight::cuda {
namespace {

// What a Storage on a GPU owns. The only Memory whose device() is a GPU.
class DeviceMemory final : public Memory {
 public:
  explicit DeviceMemory(DeviceBuffer buffer)
      : buffer_(std::move(buffer)), recorded_device_(to_string(Device::cuda(buffer_.device()))) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return buffer_.size_bytes(); }
  [[nodiscard]] Device device() const noexcept override { return Device::cuda(buffer_.device()); }
  [[nodiscard]] std::string_view recorded_device() const noexcept override { return recorded_device_; }
  [[nodiscard]] Result<ByteSpan> bytes() override { return not_on_the_host(); }
  [[nodiscard]] Result<std::span<std::byte>> mutable_bytes() override { return not_on_the_host(); }

  [[nodiscard]] const DeviceBuffer& buffer() const noexcept { return buffer_; }

 private:
  [[nodiscard]] Error not_on_the_host() const {
    return Error::of({.category = Category::device,
                      .code = "DEVICE-MEMORY",
                      .message = "the bytes lie on " + recorded_device_ + ", expected host memory",
                      .found = recorded_device_,
                      .expected = "cpu",
                      .hint = "copy the tensor first: to(Device::cpu())"});
  }

  DeviceBuffer buffer_;
  std::string recorded_device_;
};

const DeviceBuffer& buffer_of(Memory& memory) {
  return static_cast<const DeviceMemory&>(memory).buffer();  // Memory on a GPU is a DeviceMemory
}

std::string capability_text(int capability) {
  return std::to_string(capability / 10) + "." + std::to_string(capability % 10);
}

DeviceInfo describe(int index) {
  DeviceInfo info;
  info.device = Device::cuda(index);
  info.description = "NVIDIA GPU";
  cudaDeviceProp properties{};
  if (const cudaError_t status = cudaGetDeviceProperties(&properties, index); status != cudaSuccess) {
    info.why = call_failed(status, "cudaGetDeviceProperties").finding.message;
    return info;
  }
  const int capability = properties.major * 10 + properties.minor;
  info.description = std::string(properties.name) + ", sm_" + std::to_string(capability);
  info.memory_bytes = properties.totalGlobalMem;
  info.usable = capability >= kMinimumCapability;
  if (!info.usable) {
    info.why = "the GPU is too old, expected compute capability " + capability_text(kMinimumCapability) +
               " or later, found " + capability_text(capability);
  }
  return info;
}

}  // namespace

std::vector<DeviceInfo> list_devices() {
  std::vector<DeviceInfo> devices;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  for (int index = 0; status == cudaSuccess && index < count; ++index) devices.push_back(describe(index));
  if (devices.empty()) {
    std::string why = why_no_gpu(status == cudaSuccess ? cudaErrorNoDevice : status);
    if (why.empty()) why = call_failed(status, "cudaGetDeviceCount").finding.message;
    (void)cudaGetLastError();
    devices.push_back({Device::cuda(0), "NVIDIA GPU", 0, false, std::move(why)});
  }
  return devices;
}

Result<DeviceBuffer> DeviceBuffer::allocate(int device, std::uint64_t size_bytes, std::string_view purpose) {
  RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(device));
  void* data = nullptr;
  if (size_bytes != 0) {
    const cudaError_t status = cudaMalloc(&data, static_cast<std::size_t>(size_bytes));
    if (status == cudaErrorMemoryAllocation) return out_of_device_memory(device, size_bytes, purpose);
    if (status != cudaSuccess) return call_failed(status, "cudaMalloc");
  }
  return DeviceBuffer(device, static_cast<std::byte*>(data), size_bytes);
}

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept
    : device_(other.device_),
      data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

// The address says on which device. When the program is ending the driver may be gone already: then there is nothing
// left to free, and it says so.
DeviceBuffer::~DeviceBuffer() {
  if (data_ == nullptr) return;
  const CaptureByOthers allowed;
  (void)cudaFree(data_);
}

namespace {

Status copy_from_gpu(const DeviceBuffer& from, const DeviceBuffer& to) {
  RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(to.device()));
  RUSHLIGHT_TRY_ASSIGN(const Stream stream, Stream::make());
  // From one GPU to the other where they can see each other, else through the host: the driver sees to that.
  RUSHLIGHT_CUDA_TRY(cudaMemcpyPeerAsync, to.data(), to.device(), from.data(), from.device(),
                     static_cast<std::size_t>(from.size_bytes()), stream.get());
  return stream.synchronise();
}

// `crc` as in Upload::append().
Status copy_from_host(ByteSpan from, const DeviceBuffer& to, std::uint32_t* crc) {
  RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(to.device()));
  RUSHLIGHT_TRY_ASSIGN(Upload upload, Upload::begin(to.data(), to.size_bytes()));
  RUSHLIGHT_TRY(upload.append(from, crc));
  return upload.finish();
}

}  // namespace

Result<std::shared_ptr<Memory>> copy_to_device(Memory& source, Device device) {
  const bool from_gpu = source.device().kind == Device::Kind::cuda;
  // Records of a file are checked while they are copied, so that their pages are read once.
  const std::optional<Memory::Unchecked> unchecked = from_gpu ? std::nullopt : source.unchecked_bytes();
  ByteSpan host;
  if (unchecked) {
    host = unchecked->bytes;
  } else if (!from_gpu) {
    // Reading may fail, and should do so before anything is allocated.
    RUSHLIGHT_TRY_ASSIGN(host, source.bytes());
  }
  RUSHLIGHT_TRY_ASSIGN(DeviceBuffer buffer, DeviceBuffer::allocate(device.index, source.size_bytes(), "tensors"));
  if (buffer.size_bytes() == 0) return std::shared_ptr<Memory>(std::make_shared<DeviceMemory>(std::move(buffer)));
  if (from_gpu) {
    RUSHLIGHT_TRY(copy_from_gpu(buffer_of(source), buffer));
  } else {
    std::uint32_t crc = 0;
    RUSHLIGHT_TRY(copy_from_host(host, buffer, unchecked ? &crc : nullptr));
    if (unchecked && crc != unchecked->crc) {
      // Reading it says what is wrong, and where.
      RUSHLIGHT_TRY(source.bytes());
      return Error::of(
          ErrorCode::checksum_mismatch,
          {.category = Category::crc, .code = "DEVICE-CHANGED", .message = "the bytes changed while they were copied"});
    }
  }
  return std::shared_ptr<Memory>(std::make_shared<DeviceMemory>(std::move(buffer)));
}

Result<std::shared_ptr<Memory>> copy_to_host(Memory& source) {
  const DeviceBuffer& from = buffer_of(source);
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> copy, make_host_memory(from.size_bytes()));
  if (from.size_bytes() == 0) return copy;
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> to, copy->mutable_bytes());
  RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(from.device()));
  RUSHLIGHT_TRY_ASSIGN(const Stream stream, Stream::make());
  RUSHLIGHT_CUDA_TRY(cudaMemcpyAsync, to.data(), from.data(), to.size(), cudaMemcpyDeviceToHost, stream.get());
  RUSHLIGHT_TRY(stream.synchronise());
  return copy;
}

}  // namespace rushlight::cuda
