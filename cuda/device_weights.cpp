#include "cuda/device_weights.hpp"

#include <cassert>
#include <utility>

#include "base/fail.hpp"
#include "cuda/stream.hpp"
#include "cuda/upload.hpp"

namespace rushlight::cuda {
namespace {

// What cudaMalloc gives, and more than any load of ours wants.
constexpr std::uint64_t kAlignment = 256;

}  // namespace

Result<std::map<WeightCopy, const std::byte*>> DeviceWeights::upload(std::span<const WeightCopy> copies,
                                                                     const runtime::Plan& plan,
                                                                     const runtime::Network& network) {
  // A copy that is not on the device yet.
  struct Waiting {
    Key key;
    std::uint64_t offset_bytes = 0;
    std::uint64_t size_bytes = 0;
  };
  const auto key_of = [&](const WeightCopy& copy) { return Key(plan.constants[copy.constant], copy.form); };

  const std::lock_guard lock(mutex_);
  std::vector<Waiting> missing;
  std::uint64_t total_bytes = 0;
  for (const WeightCopy& copy : copies) {
    Key key = key_of(copy);
    if (places_.contains(key)) continue;
    RUSHLIGHT_TRY_ASSIGN(const EdgeType type, runtime::type_of(key.first, network));
    const std::uint64_t size_bytes = form_bytes(type, copy.form);
    missing.push_back({std::move(key), total_bytes, size_bytes});
    // What lies in host memory adds up to far less than 2^64.
    total_bytes += (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  if (!missing.empty()) {
    RUSHLIGHT_TRY_ASSIGN(DeviceBuffer block, DeviceBuffer::allocate(device_, total_bytes, "weights"));
    RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(device_));
    RUSHLIGHT_TRY_ASSIGN(Upload upload, Upload::begin(block.data(), total_bytes));
    for (const Waiting& waiting : missing) {
      RUSHLIGHT_TRY_ASSIGN(Tensor values, runtime::materialise(waiting.key.first, network));
      RUSHLIGHT_TRY_ASSIGN(const Tensor tensor, in_form(std::move(values), waiting.key.second));
      RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, tensor.bytes());
      assert(bytes.size() == waiting.size_bytes);
      // The tensor goes: its bytes are in the upload's own buffers, or the driver has read them.
      RUSHLIGHT_TRY(upload.append(bytes));
      RUSHLIGHT_TRY(upload.pad((kAlignment - bytes.size() % kAlignment) % kAlignment));
    }
    RUSHLIGHT_TRY(upload.finish());
    for (const Waiting& waiting : missing) places_.emplace(waiting.key, block.data() + waiting.offset_bytes);
    blocks_.push_back(std::move(block));
  }
  std::map<WeightCopy, const std::byte*> places;
  for (const WeightCopy& copy : copies) places.emplace(copy, places_.at(key_of(copy)));
  return places;
}

}  // namespace rushlight::cuda
