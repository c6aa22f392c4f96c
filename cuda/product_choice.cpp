#include "cuda/product_choice.hpp"

#include <algorithm>
#include <limits>

namespace rushlight::cuda {
namespace {

// For which strict products are split: an H100's or H200's.
constexpr int kNominalProcessors = 132;

constexpr double kSlabLatency = 400;
constexpr double kRoundCycles = 1500;
constexpr double kLaunchCycles = 4000;
constexpr double kSharedBytesPerCycle = 128;
constexpr double kMemoryBytesPerCycle = 40;  // of one multiprocessor
constexpr int kMaxSplits = 32;
constexpr std::int32_t kLeastSlabsOfASplit = 4;
// Rows of two parts, filled up to whole slabs, are counted in 32 bits.
constexpr std::int32_t kMaxDepthOfWarpgroups = 1 << 29;

double multiply_adds_per_cycle(ProductKind kind) {
  switch (kind) {
    case ProductKind::bf16:
    case ProductKind::fp16:
      return 1024;
    case ProductKind::tf32:
      return 512;
    case ProductKind::tf32x3:
      return 170;
    case ProductKind::wgmma_bf16:
    case ProductKind::wgmma_fp16:
      return 2048;
    case ProductKind::wgmma_tf32:
      return 1024;
    case ProductKind::wgmma_tf32x3:
      return 341;
  }
  return 1;
}

double weight_bytes(ProductKind kind) {
  if (kind == ProductKind::wgmma_tf32x3) return 8;  // both parts
  return has_16_bits(kind) ? 2 : 4;
}

// A tile as the estimate sees it.
struct TileCosts {
  int rows = 0;
  int columns = 0;
  int weight_readers = 0;  // warps below each other, or warpgroups: each reads all of the weights
  int input_readers = 0;   // and warps beside each other all of the input
  int blocks_per_processor = 0;
};
template <class Tile>
TileCosts costs_of(ProductKind kind, MmaAccess access) {
  const int threads = is_of_warpgroups(kind) ? kWarpgroupThreads : kWarpThreads;
  return {Tile::kRows, Tile::kColumns, Tile::kThreads / threads / Tile::kWarpColumns, Tile::kWarpColumns,
          blocks_of_a_processor(kind, access, Tile::kRows, Tile::kColumns)};
}
TileCosts costs_of(ProductKind kind, const MmaInstance& instance) {
  const bool of_warpgroups = is_of_warpgroups(kind);
  switch (instance.tile) {
    case MmaTileName::rows128_columns256:
      return costs_of<WarpgroupTile128x256Floats>(kind, instance.access);
    case MmaTileName::rows128_columns128:
      return of_warpgroups ? costs_of<WarpgroupTile128x128Floats>(kind, instance.access)
                           : costs_of<MmaTile128x128>(kind, instance.access);
    case MmaTileName::rows128_columns64:
      return of_warpgroups ? costs_of<WarpgroupTile128x64>(kind, instance.access)
                           : costs_of<MmaTile128x64>(kind, instance.access);
    case MmaTileName::rows64_columns64:
      return of_warpgroups ? costs_of<WarpgroupTile64x64>(kind, instance.access)
                           : costs_of<MmaTile64x64>(kind, instance.access);
    case MmaTileName::rows64_columns32:
      return costs_of<MmaTile64x32>(kind, instance.access);
  }
  return {};
}

double cycles_of_slab(const TileCosts& tile, ProductKind kind) {
  const double input_bytes = tile.rows * kMmaSlab * 4.0;
  const double weights_bytes = tile.columns * kMmaSlab * weight_bytes(kind);
  const double multiply = double{1} * tile.rows * tile.columns * kMmaSlab / multiply_adds_per_cycle(kind);
  const double shared =
      (input_bytes * (1 + tile.input_readers) + weights_bytes * (1 + tile.weight_readers)) / kSharedBytesPerCycle;
  const double memory = (input_bytes + weights_bytes) / kMemoryBytesPerCycle;
  return std::max({multiply, shared, memory});
}

std::int64_t blocks_of(const GemmArguments& a, int rows, int columns) {
  return ceil_div<std::int64_t>(a.rows, rows) * ceil_div<std::int64_t>(a.columns, columns) * a.groups;
}

// Blocks in rounds of `at_once` on each of the processors; `cycles(n)` for n of them side by side.
template <class F>
double cycles_of_rounds(std::int64_t blocks, int processors, int at_once, F&& cycles) {
  const std::int64_t each = ceil_div<std::int64_t>(blocks, processors);
  const std::int64_t rest = each % at_once;
  return static_cast<double>(each / at_once) * cycles(at_once) + (rest == 0 ? 0.0 : cycles(rest));
}

double estimate(const GemmArguments& a, const ProductChoice& choice, int processors) {
  const TileCosts tile = costs_of(choice.kind, choice.instance);
  const double slab = cycles_of_slab(tile, choice.kind);
  const auto cycles = [&](std::int64_t side_by_side) {
    return choice.slabs_of_split * std::max(kSlabLatency, static_cast<double>(side_by_side) * slab) + kRoundCycles;
  };
  const std::int64_t blocks = blocks_of(a, tile.rows, tile.columns) * choice.splits;
  const double product = cycles_of_rounds(blocks, processors, tile.blocks_per_processor, cycles);
  if (choice.splits == 1) return product;
  // The parts are written and read.
  const double bytes = 2.0 * static_cast<double>(partial_bytes(a, choice));
  return product + kLaunchCycles + bytes / (kMemoryBytesPerCycle * processors);
}

// The tiles of gemm.cuh: 128 multiply-adds a cycle, of which they may get three fifths.
double estimate_without_tensor_cores(const GemmArguments& a, int processors) {
  constexpr double kMultiplyAddsPerCycle = 77;
  constexpr int kRows = 64;
  constexpr int kColumns = 32;
  constexpr int kAtOnce = 4;
  const auto cycles = [&](std::int64_t side_by_side) {
    const double slab = kRows * kColumns * kMmaSlab / kMultiplyAddsPerCycle;
    return slabs_of(a) * std::max(2 * kSlabLatency, static_cast<double>(side_by_side) * slab) + kRoundCycles;
  };
  return cycles_of_rounds(blocks_of(a, kRows, kColumns), processors, kAtOnce, cycles);
}

ProductChoice with_splits(ProductChoice choice, std::int32_t slabs, std::int32_t splits) {
  choice.slabs_of_split = ceil_div(slabs, splits);
  choice.splits = choice.slabs_of_split == 0 ? 1 : ceil_div(slabs, choice.slabs_of_split);
  return choice;
}

struct Estimated {
  ProductChoice choice;
  double cycles = std::numeric_limits<double>::infinity();
};

// The best instance for a fixed number of splits. Of equals the first, the largest tile.
Estimated best_instance(const GemmArguments& a, ProductKind kind, std::int32_t splits, int processors) {
  const MmaAccess access = allows_chunks(a) ? MmaAccess::chunks : MmaAccess::singles;
  Estimated best;
  for (const MmaInstance& instance : mma_instances(kind)) {
    if (instance.access != access) continue;
    const ProductChoice choice = with_splits({.kind = kind, .instance = instance}, slabs_of(a), splits);
    const double cycles = estimate(a, choice, processors);
    if (cycles < best.cycles) best = {choice, cycles};
  }
  return best;
}

Estimated best_split(const GemmArguments& a, ProductKind kind, int processors) {
  Estimated best = best_instance(a, kind, 1, processors);
  for (std::int32_t splits = 2; splits <= std::min(kMaxSplits, slabs_of(a) / kLeastSlabsOfASplit); ++splits) {
    const Estimated found = best_instance(a, kind, splits, processors);
    if (found.cycles < best.cycles) best = found;
  }
  return best;
}

// The kinds of a precision.
struct Kinds {
  ProductKind warpgroup = ProductKind::wgmma_tf32x3;
  ProductKind warp = ProductKind::tf32x3;
};
Kinds kinds_of(Precision precision) {
  switch (precision) {
    case Precision::bf16:
      return {ProductKind::wgmma_bf16, ProductKind::bf16};
    case Precision::fp16:
      return {ProductKind::wgmma_fp16, ProductKind::fp16};
    case Precision::tf32:
      return {ProductKind::wgmma_tf32, ProductKind::tf32};
    case Precision::strict:
    case Precision::fast:
    case Precision::int8:
      break;
  }
  return {};
}

}  // namespace

bool& TensorCores::of(ProductKind kind) noexcept {
  switch (kind) {
    case ProductKind::bf16:
      return bf16;
    case ProductKind::fp16:
      return fp16;
    case ProductKind::tf32:
      return tf32;
    case ProductKind::tf32x3:
      return tf32x3;
    case ProductKind::wgmma_bf16:
      return wgmma_bf16;
    case ProductKind::wgmma_fp16:
      return wgmma_fp16;
    case ProductKind::wgmma_tf32:
      return wgmma_tf32;
    case ProductKind::wgmma_tf32x3:
      break;
  }
  return wgmma_tf32x3;
}

std::string_view to_string(ProductKind kind) noexcept {
  switch (kind) {
    case ProductKind::bf16:
      return "bf16";
    case ProductKind::fp16:
      return "fp16";
    case ProductKind::tf32:
      return "tf32";
    case ProductKind::tf32x3:
      return "3xtf32";
    case ProductKind::wgmma_bf16:
      return "wgmma_bf16";
    case ProductKind::wgmma_fp16:
      return "wgmma_fp16";
    case ProductKind::wgmma_tf32:
      return "wgmma_tf32";
    case ProductKind::wgmma_tf32x3:
      return "wgmma_3xtf32";
  }
  return "?";
}

TensorCores fast_tensor_cores(int capability) noexcept {
  if (capability < 80) return {};
  const bool is_data_centre = capability == 80 || capability == 90 || capability == 100;
  TensorCores fast = capability == 90 ? kAllTensorCores : kWarpTensorCores;
  fast.tf32x3 = is_data_centre;
  return fast;
}

TensorCores allowed_tensor_cores(const TensorCores& tensor_cores, const char* all, const char* wgmma) noexcept {
  const auto is_off = [](const char* setting) { return setting != nullptr && std::string_view(setting) == "off"; };
  if (is_off(all)) return {};
  TensorCores allowed = tensor_cores;
  if (is_off(wgmma)) {
    for (const ProductKind kind : kProductKinds) allowed.of(kind) = allowed.of(kind) && !is_of_warpgroups(kind);
  }
  return allowed;
}

std::vector<MmaInstance> mma_instances(ProductKind kind) {
  std::vector<MmaInstance> instances;
  if (kind == ProductKind::wgmma_tf32x3) {
    return {{MmaAccess::chunks, MmaTileName::rows128_columns64}, {MmaAccess::chunks, MmaTileName::rows64_columns64}};
  }
  if (is_of_warpgroups(kind)) {
    for (const MmaTileName tile : {MmaTileName::rows128_columns256, MmaTileName::rows128_columns128,
                                   MmaTileName::rows128_columns64, MmaTileName::rows64_columns64}) {
      instances.push_back({MmaAccess::chunks, tile});
    }
    return instances;
  }
  if (kind != ProductKind::tf32x3) instances.push_back({MmaAccess::chunks, MmaTileName::rows128_columns128});
  for (const MmaTileName tile :
       {MmaTileName::rows128_columns64, MmaTileName::rows64_columns64, MmaTileName::rows64_columns32}) {
    instances.push_back({MmaAccess::chunks, tile});
  }
  instances.push_back({MmaAccess::singles, MmaTileName::rows64_columns64});
  return instances;
}

bool allows_chunks(const GemmArguments& arguments) noexcept {
  return arguments.channels.divisor() % 4 == 0 && arguments.input_stride % 4 == 0 && is_aligned16(arguments.input);
}

bool has_instance_for(ProductKind kind, const GemmArguments& arguments) noexcept {
  if (!is_of_warpgroups(kind)) return true;
  return allows_chunks(arguments) && arguments.depth <= kMaxDepthOfWarpgroups &&
         (arguments.groups == 1 || arguments.columns % kWarpgroupColumns == 0);
}

std::optional<ProductChoice> choose_product(const GemmArguments& arguments, Precision precision, int processors,
                                            const TensorCores& tensor_cores) noexcept {
  const Kinds kinds = kinds_of(precision);
  const bool is_strict = has_three_products(kinds.warp);
  Estimated best;
  for (const ProductKind kind : {kinds.warpgroup, kinds.warp}) {
    if (!tensor_cores.of(kind) || !has_instance_for(kind, arguments)) continue;
    const Estimated found = best_split(arguments, kind, is_strict ? kNominalProcessors : processors);
    if (found.cycles < best.cycles) best = found;
  }
  if (best.cycles == std::numeric_limits<double>::infinity()) return std::nullopt;
  if (!is_strict) return best.choice;
  if (estimate_without_tensor_cores(arguments, kNominalProcessors) <= best.cycles) return std::nullopt;
  return best_instance(arguments, best.choice.kind, best.choice.splits, processors).choice;
}

WeightForm weight_form(ProductKind kind, std::int32_t depth) noexcept {
  switch (kind) {
    case ProductKind::bf16:
      return WeightForm::bf16_rows;
    case ProductKind::fp16:
      return WeightForm::fp16_rows;
    case ProductKind::wgmma_bf16:
      return WeightForm::bf16_dealt;
    case ProductKind::wgmma_fp16:
      return WeightForm::fp16_dealt;
    case ProductKind::wgmma_tf32:
      return WeightForm::tf32_dealt;
    case ProductKind::wgmma_tf32x3:
      return WeightForm::tf32x3_dealt;
    case ProductKind::tf32:
    case ProductKind::tf32x3:
      break;
  }
  return row_pitch(depth, WeightForm::f32_rows) == depth ? WeightForm::plain : WeightForm::f32_rows;
}

std::uint64_t partial_bytes(const GemmArguments& arguments, const ProductChoice& choice) noexcept {
  if (choice.splits == 1) return 0;
  return static_cast<std::uint64_t>(arguments.rows) * static_cast<std::uint64_t>(arguments.columns) *
         static_cast<std::uint64_t>(arguments.groups) * static_cast<std::uint64_t>(choice.splits) * sizeof(float);
}

MmaCall mma_call(const GemmArguments& arguments, const ProductChoice& choice, const void* weights,
                 float* partial) noexcept {
  MmaCall call;
  call.kind = choice.kind;
  call.access = choice.instance.access;
  call.tile = choice.instance.tile;
  call.arguments.gemm = arguments;
  call.arguments.gemm.weights = nullptr;
  call.arguments.weights = weights;
  const WeightForm form = weight_form(choice.kind, arguments.depth);
  call.arguments.weight_pitch = static_cast<std::int32_t>(row_pitch(arguments.depth, form));
  call.arguments.splits = choice.splits;
  call.arguments.slabs_of_split = choice.slabs_of_split;
  call.arguments.partial = choice.splits == 1 ? nullptr : partial;
  return call;
}

SplitSumArguments split_sum(const GemmArguments& arguments, const ProductChoice& choice,
                            const float* partial) noexcept {
  SplitSumArguments sum;
  sum.gemm = arguments;
  sum.partial = partial;
  sum.splits = choice.splits;
  sum.output_channels = Divisor64(std::int64_t{arguments.groups} * arguments.columns);
  return sum;
}

}  // namespace rushlight::cuda
