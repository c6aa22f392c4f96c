#include "checkpoint/lost_memory.hpp"

#include <utility>

namespace rushlight::checkpoint {
namespace {

class LostMemory final : public Memory {
 public:
  LostMemory(std::uint64_t size_bytes, std::string recorded_device, std::string record, Error why)
      : size_bytes_(size_bytes),
        recorded_device_(std::move(recorded_device)),
        record_(std::move(record)),
        why_(std::move(why)) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_bytes_; }
  [[nodiscard]] std::string_view recorded_device() const noexcept override { return recorded_device_; }
  [[nodiscard]] std::string_view record() const noexcept override { return record_; }
  [[nodiscard]] Result<ByteSpan> bytes() override { return why_; }

 private:
  std::uint64_t size_bytes_;
  std::string recorded_device_;
  std::string record_;
  Error why_;
};

}  // namespace

std::shared_ptr<Memory> make_lost_memory(std::uint64_t size_bytes, std::string recorded_device, std::string record,
                                         Error why) {
  return std::make_shared<LostMemory>(size_bytes, std::move(recorded_device), std::move(record), std::move(why));
}

}  // namespace rushlight::checkpoint
