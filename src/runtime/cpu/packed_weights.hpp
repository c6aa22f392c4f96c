// Weights as the kernels read them, packed once a model and shared by all its sessions on this backend.
#pragma once

#include <compare>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

#include "runtime/backend.hpp"
#include "runtime/constant.hpp"
#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime::cpu {

enum class Packing : std::uint8_t {
  vector,             // padded with zeros to kPanelPadding
  panels,             // [group][panel][k][width], the last panel of each group padded with zeros (GemmCall)
  winograd2,          // [panel][filter][in][width] for F(2x2, 3x3) (winograd.hpp)
  winograd2x4,        // likewise for F(2x4, 3x3)
  winograd4,          // likewise for F(4x4, 3x3)
  winograd2_strided,  // and for F(2x2, 3x3) of stride 2
  winograd4_strided,  // and for F(4x4, 3x3) of stride 2
  line7_by2_of2,      // along lines: 7 taps with stride 2, two outputs at a time (line_filter.hpp)
  line7_by2_of4,
  line3_of2,
  line3_of4,
  bf16_strips,  // [group][strip][run of taps][word][16 outputs][2], bfloat16, padded with zeros to whole strips, and
                // each run to whole lines (kernels.hpp)
  depthwise,    // [tap][channels, padded to kPanelPadding] (DepthwiseCall)
  int8_bytes,   // as panels, of units of 8-bit codes, four of them (int8_weights.hpp)
  int8_words,   // the same with two words of 16 bits in a unit
  int8_strips,  // int8_bytes 16 wide, each output padded to whole lines (kernels.hpp)
};

struct PackedForm {
  Constant constant;
  Packing packing = Packing::vector;
  std::size_t width = 0;       // of panels
  std::size_t groups = 1;      // of panels, and of vectors that go with them: each group is padded on its own
  std::size_t last_width = 0;  // of the last panel, if it is another one: of one group alone
  // Of strips and 8-bit codes: taps in a run, and operands that each has room for. 0: all taps in one run, nothing between them.
  std::size_t run_taps = 0;
  std::size_t tap_operands = 0;

  friend auto operator<=>(const PackedForm&, const PackedForm&) = default;
};

// Immutable once made.
struct PackedArray {
  AlignedBuffer memory;
  // Of panels and strips: no weight is infinite or NaN. Of minimal filterings and 8-bit codes: nor huge.
  bool is_usual = true;
  [[nodiscard]] const float* data() const noexcept { return memory.floats(); }
};

// Of no particular values. ErrorCode::out_of_memory.
[[nodiscard]] Result<std::shared_ptr<PackedArray>> make_packed_array(std::size_t rows, std::size_t columns);

class CpuWeights final : public PackedWeights {
 public:
  // Of kernels that live as long: widths of panels are multiples of their vectors.
  explicit CpuWeights(const Kernels& kernels) : kernels_(kernels) {}

  // The constant in this form, made at the first call. Others who want the same wait meanwhile.
  [[nodiscard]] Result<std::shared_ptr<const PackedArray>> get(const PackedForm& form, const Network& network);
  // Takes all of them out of the caches, where the processor can (evict.hpp).
  void evict() const;

 private:
  struct Entry {
    std::mutex mutex;
    std::shared_ptr<const PackedArray> array;
  };

  const Kernels& kernels_;
  mutable std::mutex mutex_;  // of the map alone
  std::map<PackedForm, std::shared_ptr<Entry>> entries_;
};

// Outputs of one group, and of all of them, when they are cut into panels.
[[nodiscard]] constexpr std::size_t panels_for(std::size_t outputs, std::size_t width) noexcept {
  return (outputs + width - 1) / width;
}

}  // namespace rushlight::runtime::cpu
