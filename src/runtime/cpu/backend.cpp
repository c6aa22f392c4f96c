#include "runtime/cpu/backend.hpp"

#include <optional>
#include <string>
#include <utility>

#include "base/cpu_features.hpp"
#include "base/fail.hpp"
#include "runtime/cpu/conv_choice.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/narrow_choice.hpp"
#include "runtime/cpu/narrow_op.hpp"
#include "runtime/cpu/packed_weights.hpp"
#include "runtime/cpu/program.hpp"
#include "runtime/cpu/speed.hpp"
#include "runtime/cpu/tuner.hpp"
#include "runtime/plan.hpp"

namespace rushlight::runtime::cpu {
namespace {

const Kernels& kernels_for([[maybe_unused]] Isa isa) noexcept {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return avx512_kernels();
  if (isa == Isa::avx2) return avx2_kernels();
#endif
  return baseline_kernels();
}

// With what multiplies bytes, where it is wanted and there. Tiles are asked of the system here.
Kernels int8_kernels_for(const Kernels& kernels, [[maybe_unused]] Isa isa,
                         [[maybe_unused]] std::optional<NarrowWay> way) noexcept {
  Kernels result = kernels;
#if defined(__x86_64__)
  const CpuFeatures features = detect_cpu_features();
  if (isa != Isa::avx512 || !features.avx512_vnni || way == NarrowWay::widen) return result;
  result.int8 = avx512_vnni_kernels();
  const bool wants_tiles = !way || *way == NarrowWay::amx;
  if (wants_tiles && features.amx_int8 && ask_for_amx()) result.int8.tiles = amx_int8_kernels();
#endif
  return result;
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(Isa isa, std::optional<NarrowWay> way)
      : isa_(isa),
        way_(way),
        kernels_(kernels_for(isa)),
        name_("cpu " + std::string(to_string(isa))),
        machine_(machine_text(name_)),
        memory_(memory_cost(isa, detect_cpu_features())) {}

  [[nodiscard]] Device device() const noexcept override { return Device::cpu(); }
  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  // It computes every row of operators.def: what has no step of its own is a GeneralStep.
  [[nodiscard]] std::string lacks(const Node&) const override { return ""; }

  [[nodiscard]] Result<std::shared_ptr<PackedWeights>> make_weights(const Network&) const override {
    return std::shared_ptr<PackedWeights>(std::make_shared<CpuWeights>(kernels_));
  }

  [[nodiscard]] Result<std::unique_ptr<Program>> compile(const Network& network, std::span<const Shape> input_shapes,
                                                         const std::shared_ptr<PackedWeights>& weights,
                                                         const RunOptions& options) const override {
    // Layers of one stripe are computed in float32: with 8-bit codes the products gain more than stripes do.
    const bool has_stripes = options.precision != Precision::int8 && options.recorder == nullptr;
    // Narrow numbers are made of whole pixels, and a recorder is shown them.
    const bool reads_planes = options.precision != Precision::bf16 && has_stripes;
    const std::uint64_t cache_bytes = options.cache_bytes != 0 ? options.cache_bytes : l2_cache_bytes();
    std::optional<NarrowProducts> narrow;
    if (options.precision == Precision::bf16) narrow = bf16_products(kernels_, isa_, way_);
    const auto has_tiles = [&](const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output) {
      return !options.low_memory && choose_conv_algorithm(step, input, output, options.precision, memory_,
                                                          narrow ? narrow->speed : 1) != ConvAlgorithm::direct;
    };
    const auto multiplies_bf16 = [&](const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output) {
      return !has_tiles(step, input, output) && multiplies_staged(step, input, output, *narrow);
    };
    RUSHLIGHT_TRY_ASSIGN(Plan plan, make_plan(network, input_shapes, options.limits,
                                              {.fuses_activations = true,
                                               .stripe_cache_bytes = has_stripes ? cache_bytes : 0,
                                               .has_tiles = has_tiles,
                                               .multiplies_bf16 = narrow && narrow->kernels != nullptr
                                                                      ? multiplies_bf16
                                                                      : decltype(PlanOptions::multiplies_bf16){},
                                               .plane_cache_bytes = reads_planes ? cache_bytes / 4 : 0,
                                               .item_cache_bytes = options.recorder == nullptr ? cache_bytes : 0}));
    const Kernels kernels = options.precision == Precision::int8 ? int8_kernels_for(kernels_, isa_, way_) : kernels_;
    return CpuProgram::make(network, std::move(plan), kernels, narrow ? &*narrow : nullptr,
                            std::static_pointer_cast<CpuWeights>(weights), options,
                            {.name = machine_, .memory = memory_});
  }

  [[nodiscard]] Result<std::unique_ptr<Program>> compile_plan(const Network& network, Plan plan,
                                                              const std::shared_ptr<PackedWeights>& weights,
                                                              const RunOptions& options) const override {
    return CpuProgram::make(network, std::move(plan), kernels_, nullptr, std::static_pointer_cast<CpuWeights>(weights),
                            options, {.name = machine_, .memory = memory_});
  }

  [[nodiscard]] DeviceSpeed measure_speed(Executor* executor) const override {
    return cpu::measure_speed(kernels_, executor);
  }

 private:
  Isa isa_;
  std::optional<NarrowWay> way_;
  const Kernels& kernels_;
  std::string name_;
  std::string machine_;
  MemoryCost memory_;
};

}  // namespace

Result<std::shared_ptr<const Backend>> make_backend() {
  return make_backend(usable_isa(), std::nullopt);
}

Result<std::shared_ptr<const Backend>> make_backend(Isa isa, std::optional<NarrowWay> way) {
  const auto lacks = [](std::string_view what) {
    return Error::of({.category = Category::device,
                      .code = "DEVICE-NO-ISA",
                      .message = "this processor has no " + std::string(what)});
  };
  if (isa > choose_isa(detect_cpu_features(), nullptr)) return lacks(to_string(isa));
  if (way && !has_bf16_way(isa, *way)) return lacks(to_string(*way));
  if (!way) way = wanted_narrow_way();
  return std::shared_ptr<const Backend>(std::make_shared<CpuBackend>(isa, way));
}

}  // namespace rushlight::runtime::cpu
