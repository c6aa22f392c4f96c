// What one GPU can do at most, measured on itself by kernels that do nothing else, and its clock meanwhile.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bench/cuda/roofline.hpp"
#include "rushlight/result.hpp"

namespace rushlight::bench {

// One thing that was measured a few times: operations, or bytes, a second.
struct PeakSamples {
  std::string_view name;  // "fma", "tf32", "bf16", "fp16", "copy"
  std::vector<double> per_second;
  double sm_clock_hz = 0;  // the slowest seen: cycles by the processors' own nanosecond clock; 0 where nobody looked
};

// On the device that is current.
[[nodiscard]] Result<std::vector<PeakSamples>> measure_peaks();

// The largest sample of each.
[[nodiscard]] DevicePeaks peaks_of(const std::vector<PeakSamples>& samples);

}  // namespace rushlight::bench
