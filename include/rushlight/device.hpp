/// \file
/// Compute devices, named as torch names them: "cpu", "cuda:0".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/export.hpp"
#include "rushlight/result.hpp"

namespace rushlight {

struct Device {
  enum class Kind : std::uint8_t {
    cpu,
    cuda,
    meta,  ///< shape without data, as torch's "meta"
  };
  Kind kind = Kind::cpu;
  int index = 0;

  static constexpr Device cpu() noexcept { return {}; }
  static constexpr Device cuda(int index = 0) noexcept { return {Kind::cuda, index}; }
  static constexpr Device meta() noexcept { return {Kind::meta, 0}; }
  /// "cpu", "cuda", "cuda:1"; anything else is ErrorCode::invalid_argument.
  RUSHLIGHT_API static Result<Device> parse(std::string_view text);

  friend bool operator==(const Device&, const Device&) = default;
};

/// "cpu", "cuda:0", "meta".
RUSHLIGHT_API std::string to_string(Device device);

/// One line of `rushlight devices`.
struct DeviceInfo {
  Device device{};
  std::string description{};       ///< processor or GPU name, with the instruction set in use
  std::uint64_t memory_bytes = 0;  ///< 0 when unknown
  bool usable = false;
  std::string why{};  ///< why it cannot be used: no driver, built without CUDA, too old
};

/// The CPU, then every GPU that can be seen; where the build or the machine has none, one unusable entry says why.
RUSHLIGHT_API std::vector<DeviceInfo> list_devices();

}  // namespace rushlight
