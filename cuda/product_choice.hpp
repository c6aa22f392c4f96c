// How a convolution or Linear is multiplied: on tensor cores or not, in which tile, and its depth split among how many
// blocks.
//
// An estimate chooses, in cycles of one multiprocessor. A block multiplies slabs of 32 k; for each of them it needs
//
//   multiplications   rows * columns * 32 / (multiply-adds a cycle: 1024 for 16 bits, 512 for TF32, 170 for 3xTF32; by
//                     wgmma twice as many)
//   shared memory     bytes written and read / 128
//   memory            bytes copied / 40 (what L2 gives each of some hundred multiprocessors)
//
// and the largest counts; blocks that share a multiprocessor add up. However few, they do not end a slab in less than
// 400 cycles (a barrier, reading, rounding and a chain of products). Blocks that do not fit at once run in rounds. To a
// round come 1500 cycles to begin and to end, to a split product 4000 for the kernel that adds the parts, and the bytes
// of these.
//
// The rates are those of data sheets (A100 and H100 whitepapers); none of this has been measured yet.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "cuda/kernels/mma_gemm.cuh"
#include "cuda/kernels/split_sum.cuh"
#include "cuda/kernels/warpgroup_gemm.cuh"
#include "cuda/weight_forms.hpp"
#include "rushlight/precision.hpp"

namespace rushlight::cuda {

// Which kinds of products a GPU multiplies on tensor cores: those that it does fast, and right (self_check.hpp).
struct TensorCores {
  bool bf16 = false;
  bool fp16 = false;
  bool tf32 = false;
  bool tf32x3 = false;
  bool wgmma_bf16 = false;
  bool wgmma_fp16 = false;
  bool wgmma_tf32 = false;
  bool wgmma_tf32x3 = false;

  [[nodiscard]] bool& of(ProductKind kind) noexcept;
  [[nodiscard]] bool of(ProductKind kind) const noexcept { return TensorCores(*this).of(kind); }
  friend bool operator==(const TensorCores&, const TensorCores&) = default;
};
// What 8.0 has, and what 9.0 has.
inline constexpr TensorCores kWarpTensorCores = {.bf16 = true, .fp16 = true, .tf32 = true, .tf32x3 = true};
inline constexpr TensorCores kAllTensorCores = {.bf16 = true,
                                                .fp16 = true,
                                                .tf32 = true,
                                                .tf32x3 = true,
                                                .wgmma_bf16 = true,
                                                .wgmma_fp16 = true,
                                                .wgmma_tf32 = true,
                                                .wgmma_tf32x3 = true};
inline constexpr ProductKind kProductKinds[] = {
    ProductKind::bf16,       ProductKind::fp16,       ProductKind::tf32,       ProductKind::tf32x3,
    ProductKind::wgmma_bf16, ProductKind::wgmma_fp16, ProductKind::wgmma_tf32, ProductKind::wgmma_tf32x3};
// "bf16", "fp16", "tf32", "3xtf32", "wgmma_bf16", ...
[[nodiscard]] std::string_view to_string(ProductKind kind) noexcept;

// The kinds that GPUs of a compute capability (90: 9.0) multiply faster than its ordinary units do. Those of 8.6, 8.9
// and 12 have as many operations for TF32 as for floats, or twice as many: less than 3xTF32 needs. wgmma is of 9.0
// alone.
[[nodiscard]] TensorCores fast_tensor_cores(int capability) noexcept;

// Without those that the environment forbids: `all` is RUSHLIGHT_TENSOR_CORES and `wgmma` RUSHLIGHT_WGMMA, of which
// "off" leaves all kinds out, or those of warpgroups. Null and anything else change nothing.
[[nodiscard]] TensorCores allowed_tensor_cores(const TensorCores& tensor_cores, const char* all,
                                               const char* wgmma) noexcept;

// An instance of the kernel.
struct MmaInstance {
  MmaAccess access = MmaAccess::singles;
  MmaTileName tile = MmaTileName::rows64_columns64;

  friend bool operator==(const MmaInstance&, const MmaInstance&) = default;
};
// All instances of a kind, the largest tile first.
[[nodiscard]] std::vector<MmaInstance> mma_instances(ProductKind kind);

// True when A may be copied 16 bytes at a time: every run of channels begins at a multiple of them.
[[nodiscard]] bool allows_chunks(const GemmArguments& arguments) noexcept;

// True when a kind can multiply this: weights of warpgroups lie in tiles of 64 columns, at which each group begins.
[[nodiscard]] bool has_instance_for(ProductKind kind, const GemmArguments& arguments) noexcept;

struct ProductChoice {
  ProductKind kind = ProductKind::bf16;
  MmaInstance instance;
  std::int32_t splits = 1;
  std::int32_t slabs_of_split = 0;  // all of them where nothing is split

  friend bool operator==(const ProductChoice&, const ProductChoice&) = default;
};

// nullopt: no tensor cores; gemm.cuh multiplies. Of a precision's kinds the one that ends first by the estimate: a
// clock has no say there, since nobody promises that both add in the same order. With Precision::strict and ::fast the
// bits of the result depend on the shape alone: the kind and the split are chosen as for a GPU of 132 multiprocessors,
// and the tile changes no bit.
[[nodiscard]] std::optional<ProductChoice> choose_product(const GemmArguments& arguments, Precision precision,
                                                          int processors, const TensorCores& tensor_cores) noexcept;

// What the weights of a kind are uploaded as.
[[nodiscard]] WeightForm weight_form(ProductKind kind, std::int32_t depth) noexcept;

// The calls of a chosen product: the second where it is split. `weights` are of that form; `partial` is scratch of
// partial_bytes().
[[nodiscard]] std::uint64_t partial_bytes(const GemmArguments& arguments, const ProductChoice& choice) noexcept;
[[nodiscard]] MmaCall mma_call(const GemmArguments& arguments, const ProductChoice& choice, const void* weights,
                               float* partial) noexcept;
[[nodiscard]] SplitSumArguments split_sum(const GemmArguments& arguments, const ProductChoice& choice,
                                          const float* partial) noexcept;

}  // namespace rushlight::cuda
