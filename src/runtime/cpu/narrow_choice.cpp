#include "runtime/cpu/narrow_choice.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "runtime/cpu/aligned_buffer.hpp"

namespace rushlight::runtime::cpu {
namespace {

constexpr NarrowWay kWays[] = {NarrowWay::widen, NarrowWay::dot, NarrowWay::amx};

#if defined(__x86_64__)

const NarrowKernels* bf16_kernels(NarrowWay way) noexcept {
  if (way == NarrowWay::amx) return &amx_bf16_kernels();
  if (way == NarrowWay::dot) return &avx512_bf16_kernels();
  return nullptr;
}

// One block of rows and four strips: all in L1 and L2, as the kernels meet it in a network.
class Trial {
 public:
  static constexpr std::size_t kRows = 96;
  static constexpr std::size_t kLines = 8;
  static constexpr std::size_t kColumns = 4 * kStripOutputs;
  static constexpr std::size_t kDepth = kLines * kLineBytes / 2;

  template <class F>
  static double seconds_of(F&& f) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point begin = Clock::now();
    f();
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  [[nodiscard]] bool is_ready() const noexcept { return memory_.data() != nullptr; }

  // Zeros multiply no slower than other numbers.
  [[nodiscard]] double floats(const Kernels& kernels) const {
    const float* rows[kRows];
    for (std::size_t row = 0; row < kRows; ++row) rows[row] = memory_.floats() + row * kDepth;
    GemmCall call;
    call.rows = rows;
    call.row_pitch = call.row_count = kRows;
    call.segments = 1;
    call.segment_length = kDepth;
    call.weights = weights();
    call.panel_count = kColumns / kernels.gemm[0].width;
    call.columns = call.output_stride = kColumns;
    call.output = sums();
    return seconds_of([&] { kernels.gemm[0].run(call); });
  }

  [[nodiscard]] double narrow(const NarrowKernels& kernels) const {
    NarrowCall call;
    call.rows = memory_.data();
    call.row_count = kRows;
    call.lines = kLines;
    call.weights = weights();
    call.columns = call.output_stride = kColumns;
    call.output = sums();
    return seconds_of([&] { kernels.run(call); });
  }

 private:
  static constexpr std::size_t kRowBytes = kRows * kDepth * sizeof(float);
  static constexpr std::size_t kWeightBytes = kDepth * kColumns * sizeof(float);
  static constexpr std::size_t kAllBytes = kRowBytes + kWeightBytes + kRows * kColumns * sizeof(float);

  static AlignedBuffer zeros() {
    AlignedBuffer buffer = AlignedBuffer::allocate(kAllBytes);
    if (buffer.data() != nullptr) std::memset(buffer.data(), 0, kAllBytes);
    return buffer;
  }
  [[nodiscard]] const std::byte* weights() const noexcept { return memory_.data() + kRowBytes; }
  [[nodiscard]] float* sums() const noexcept {
    return reinterpret_cast<float*>(memory_.data() + kRowBytes + kWeightBytes);
  }

  AlignedBuffer memory_ = zeros();
};

NarrowWay fastest_bf16_way(const Kernels& kernels) noexcept {
  const Trial trial;
  if (!trial.is_ready()) return NarrowWay::widen;
  const bool is_there[] = {true, has_bf16_way(Isa::avx512, NarrowWay::dot), has_bf16_way(Isa::avx512, NarrowWay::amx)};
  return steady_fastest_way(is_there, [&](NarrowWay way) {
    return way == NarrowWay::widen ? trial.floats(kernels) : trial.narrow(*bf16_kernels(way));
  });
}

#endif

}  // namespace

NarrowWay steady_fastest_way(std::span<const bool, 3> is_there, const std::function<double(NarrowWay)>& seconds_of) {
  // Rows have to be converted first, and lose digits: for less than this it is not worth it.
  constexpr double kLeastGain = 1.25;
  constexpr int kRounds = 6;
  constexpr int kMostRounds = 4 * kRounds;
  NarrowWay expected = NarrowWay::widen;
  for (const NarrowWay way : kWays) {
    if (!is_there[static_cast<std::size_t>(way)]) continue;
    seconds_of(way);  // which finds cold memory, and tiles not yet given
    expected = way;
  }
  NarrowWay best = NarrowWay::widen;
  double least[std::size(kWays)];
  std::fill(std::begin(least), std::end(least), std::numeric_limits<double>::infinity());
  for (int round = 1; round <= kMostRounds; ++round) {
    for (const NarrowWay way : kWays) {
      const auto i = static_cast<std::size_t>(way);
      if (is_there[i]) least[i] = std::min(least[i], seconds_of(way) * (way == NarrowWay::widen ? 1 / kLeastGain : 1));
    }
    if (round % kRounds != 0) continue;
    best = kWays[std::min_element(std::begin(least), std::end(least)) - std::begin(least)];
    if (best == expected) break;
  }
  return best;
}

double cost_of_staged(const NarrowProducts& products, const NarrowShape& shape) noexcept {
  if (products.kernels == nullptr) return std::numeric_limits<double>::infinity();
  const std::size_t rows = panels_for(shape.rows, products.kernels->row_step) * products.kernels->row_step;
  const std::size_t line = kLineWords * products.word_operands;
  const std::size_t depth = panels_for(shape.depth, line) * line;
  const std::size_t strips = panels_for(shape.outputs, kStripOutputs);
  return cost_of_products(rows, depth, shape.groups * strips * kStripOutputs) / products.speed +
         static_cast<double>(shape.groups) * (kConversionCost * cost_of_products(shape.rows, shape.depth, 1) +
                                              kRunCost * cost_of_products(shape.rows, shape.runs, 1));
}

double cost_of_widened(const NarrowShape& shape) noexcept {
  return cost_of_products(shape.rows, shape.depth,
                          shape.groups * panels_for(shape.outputs, kStripOutputs) * kStripOutputs);
}

std::string_view to_string(NarrowWay way) noexcept {
  switch (way) {
    case NarrowWay::widen:
      return "widen";
    case NarrowWay::dot:
      return "dot";
    case NarrowWay::amx:
      return "amx";
  }
  return "?";
}

std::optional<NarrowWay> parse_narrow_way(std::string_view name) noexcept {
  for (const NarrowWay way : kWays) {
    if (name == to_string(way)) return way;
  }
  return std::nullopt;
}

std::optional<NarrowWay> wanted_narrow_way() noexcept {
  const char* const name = std::getenv("RUSHLIGHT_NARROW");
  return name == nullptr ? std::nullopt : parse_narrow_way(name);
}

bool has_bf16_way(Isa isa, NarrowWay way) noexcept {
  if (way == NarrowWay::widen) return true;
  if (isa != Isa::avx512) return false;
  const CpuFeatures features = detect_cpu_features();
  if (way == NarrowWay::dot) return features.avx512_bf16;
  // Tiles come with rows converted by AVX512_BF16.
  return features.avx512_bf16 && features.amx_bf16 && ask_for_amx();
}

NarrowProducts bf16_products(const Kernels& kernels, [[maybe_unused]] Isa isa,
                             [[maybe_unused]] std::optional<NarrowWay> wanted) noexcept {
  NarrowProducts products;
  products.widen = kernels.gemm_bf16;
#if defined(__x86_64__)
  if (wanted && has_bf16_way(isa, *wanted)) {
    products.way = *wanted;
  } else if (isa == Isa::avx512) {
    static const NarrowWay fastest = fastest_bf16_way(kernels);
    products.way = fastest;
  }
  products.kernels = bf16_kernels(products.way);
  // VDPBF16PS does two multiply-adds for one; a tile 8192 in 16 cycles, where two FMA units do 512.
  if (products.way == NarrowWay::dot) products.speed = 2;
  if (products.way == NarrowWay::amx) products.speed = 16;
#endif
  return products;
}

}  // namespace rushlight::runtime::cpu
