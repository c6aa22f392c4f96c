#include "cuda/emulate_work.hpp"

#include <cstring>

namespace rushlight::cuda::emulation {
namespace {

template <class Tile, GemmAccess Access>
void run_gemm(const GemmArguments& a, Emulator& emulator) {
  emulator.run_with_shared<GemmShared<Tile>>(gemm_grid<Tile>(a), [&](EmulatedBlock& block, GemmShared<Tile>& shared) {
    gemm_kernel<Tile, Access>(block, shared, a);
  });
}
template <class Tile>
void run_gemm(const GemmCall& call, Emulator& emulator) {
  switch (call.access) {
    case GemmAccess::rows:
      return run_gemm<Tile, GemmAccess::rows>(call.arguments, emulator);
    case GemmAccess::window:
      return run_gemm<Tile, GemmAccess::window>(call.arguments, emulator);
    case GemmAccess::window_singles:
      return run_gemm<Tile, GemmAccess::window_singles>(call.arguments, emulator);
  }
}

template <ProductKind Kind>
void run_mma(const MmaCall& call, Emulator& emulator) {
  with_mma_tile<Kind>(call, [&]<class Tile, MmaAccess Access>() {
    using Shared = MmaShared<Tile, typename ProductTraits<Kind>::Weight>;
    emulator.run_with_shared<Shared>(mma_grid<Tile>(call.arguments), [&](EmulatedBlock& block, Shared& shared) {
      mma_gemm_kernel<Kind, Tile, Access>(block, shared, call.arguments);
    });
  });
}
template <ProductKind Kind>
void run_warpgroups(const MmaCall& call, Emulator& emulator) {
  with_warpgroup_tile<Kind>(call, [&]<class Tile>() {
    using Shared = WarpgroupShared<Kind, Tile>;
    emulator.run_with_shared<Shared>(mma_grid<Tile>(call.arguments), [&](EmulatedBlock& block, Shared& shared) {
      warpgroup_gemm_kernel<Kind, Tile>(block, shared, call.arguments);
    });
  });
}
void run_mma(const MmaCall& call, Emulator& emulator) {
  switch (call.kind) {
    case ProductKind::bf16:
      return run_mma<ProductKind::bf16>(call, emulator);
    case ProductKind::fp16:
      return run_mma<ProductKind::fp16>(call, emulator);
    case ProductKind::tf32:
      return run_mma<ProductKind::tf32>(call, emulator);
    case ProductKind::tf32x3:
      return run_mma<ProductKind::tf32x3>(call, emulator);
    case ProductKind::wgmma_bf16:
      return run_warpgroups<ProductKind::wgmma_bf16>(call, emulator);
    case ProductKind::wgmma_fp16:
      return run_warpgroups<ProductKind::wgmma_fp16>(call, emulator);
    case ProductKind::wgmma_tf32:
      return run_warpgroups<ProductKind::wgmma_tf32>(call, emulator);
    case ProductKind::wgmma_tf32x3:
      return run_warpgroups<ProductKind::wgmma_tf32x3>(call, emulator);
  }
}

// Kernels of which each block steps on by the size of the grid.
struct RunElements {
  Emulator& emulator;
  std::int64_t blocks;  // 0: as many as the kernel wants

  template <class Arguments>
  [[nodiscard]] Grid grid(const Arguments& a) const {
    Grid wanted = grid_of(a);
    if (blocks != 0 && wanted.blocks != 0) wanted.blocks = blocks;
    return wanted;
  }

  bool operator()(const GemmCall&) const { return false; }
  bool operator()(const RowProductArguments&) const { return false; }
  bool operator()(const MmaCall&) const { return false; }
  bool operator()(const SplitSumArguments& a) const {
    emulator.run(grid(a), [&](EmulatedBlock& block) { split_sum_kernel(block, a); });
    return true;
  }
  bool operator()(const MlpCall&) const { return false; }
  bool operator()(const GeneralCall&) const { return false; }
  bool operator()(const HostCall&) const { return false; }
  bool operator()(const DirectConvArguments& a) const {
    emulator.run(grid(a), [&](EmulatedBlock& block) { direct_conv_kernel(block, a); });
    return true;
  }
  bool operator()(const DepthwiseCall& call) const {
    with_shape(call, [&]<class Shape>(Shape) {
      emulator.run(grid(call), [&](EmulatedBlock& block) { depthwise_kernel<Shape>(block, call.arguments); });
    });
    return true;
  }
  bool operator()(const WinogradInputArguments& a) const {
    emulator.run(grid(a), [&](EmulatedBlock& block) {
      a.tile == WinogradTile::outputs4 ? winograd_input_kernel<winograd::F4>(block, a)
                                       : winograd_input_kernel<winograd::F2>(block, a);
    });
    return true;
  }
  bool operator()(const WinogradOutputArguments& a) const {
    emulator.run(grid(a), [&](EmulatedBlock& block) {
      a.tile == WinogradTile::outputs4 ? winograd_output_kernel<winograd::F4>(block, a)
                                       : winograd_output_kernel<winograd::F2>(block, a);
    });
    return true;
  }
  bool operator()(const MaxPoolArguments& a) const {
    emulator.run(grid(a), [&](EmulatedBlock& block) {
      a.images.moves_quads ? max_pool_kernel<4>(block, a) : max_pool_kernel<1>(block, a);
    });
    return true;
  }
  bool operator()(const AvgPoolArguments& a) const {
    emulator.run(grid(a), [&](EmulatedBlock& block) {
      a.images.moves_quads ? avg_pool_kernel<4>(block, a) : avg_pool_kernel<1>(block, a);
    });
    return true;
  }
  bool operator()(const AdaptiveAvgPoolArguments& a) const {
    emulator.run(grid(a), [&](EmulatedBlock& block) {
      a.images.moves_quads ? adaptive_avg_pool_kernel<4>(block, a) : adaptive_avg_pool_kernel<1>(block, a);
    });
    return true;
  }
  bool operator()(const GlobalAvgPoolArguments&) const { return false; }
  bool operator()(const CombineArguments& a) const {
    emulator.run(grid(a), [&](EmulatedBlock& block) { combine_kernel(block, a); });
    return true;
  }
  bool operator()(const NormArguments& a) const {
    emulator.run(grid(a), [&](EmulatedBlock& block) { norm_kernel(block, a); });
    return true;
  }
  bool operator()(const BroadcastArguments& a) const {
    emulator.run(grid(a), [&](EmulatedBlock& block) { broadcast_kernel(block, a); });
    return true;
  }
  bool operator()(const SoftmaxArguments& a) const {
    emulator.run(grid(a), [&](EmulatedBlock& block) {
      if (softmax_is_innermost(a)) {
        softmax_rows_kernel(block, a);
      } else {
        softmax_lines_kernel(block, a);
      }
    });
    return true;
  }
  bool operator()(const LayoutArguments& a) const {
    if (layout_uses_tiles(a)) {
      emulator.run_with_shared<LayoutShared>(
          grid(a), [&](EmulatedBlock& block, LayoutShared& shared) { layout_tiles_kernel(block, shared, a); });
    } else {
      emulator.run(grid(a), [&](EmulatedBlock& block) { layout_elements_kernel(block, a); });
    }
    return true;
  }
};

template <int Width>
void run_global_pool(const GlobalAvgPoolArguments& a, Emulator& emulator) {
  emulator.run_with_shared<GlobalPoolShared<Width>>(
      grid_of(a),
      [&](EmulatedBlock& block, GlobalPoolShared<Width>& shared) { global_avg_pool_kernel<Width>(block, shared, a); });
}

// Kernels with a block for each tile.
void run_tiles(const GemmCall& call, Emulator& emulator) {
  switch (call.tile) {
    case GemmTile::rows128_columns64:
      return run_gemm<Tile128x64>(call, emulator);
    case GemmTile::rows64_columns64:
      return run_gemm<Tile64x64>(call, emulator);
    case GemmTile::rows64_columns32:
      return run_gemm<Tile64x32>(call, emulator);
  }
}

void run_host(const HostCall& call) {
  for (const HostStep::Copy& copy : call.step->down()) std::memcpy(copy.host, copy.device, copy.size_bytes);
  call.step->compute();
  for (const HostStep::Copy& copy : call.step->up()) std::memcpy(copy.device, copy.host, copy.size_bytes);
}

}  // namespace

void emulate(const Work& work, Emulator& emulator) {
  if (const auto* gemm = std::get_if<GemmCall>(&work)) return run_tiles(*gemm, emulator);
  if (const auto* mma = std::get_if<MmaCall>(&work)) return run_mma(*mma, emulator);
  if (const auto* rows = std::get_if<RowProductArguments>(&work)) {
    return emulator.run(grid_of(*rows), [&](EmulatedBlock& block) { row_product_kernel(block, *rows); });
  }
  if (const auto* mlp = std::get_if<MlpCall>(&work)) {
    return emulator.run_with_shared<MlpShared>(
        grid_of(*mlp), [&](EmulatedBlock& block, MlpShared& shared) { mlp_kernel(block, shared, mlp->arguments); });
  }
  if (const auto* pool = std::get_if<GlobalAvgPoolArguments>(&work)) {
    return pool->moves_quads ? run_global_pool<4>(*pool, emulator) : run_global_pool<1>(*pool, emulator);
  }
  if (const auto* general = std::get_if<GeneralCall>(&work)) return emulate(*general, emulator);
  if (const auto* host = std::get_if<HostCall>(&work)) return run_host(*host);
  emulate_with_blocks(work, 0, emulator);
}

bool emulate_with_blocks(const Work& work, std::int64_t blocks, Emulator& emulator) {
  return std::visit(RunElements{emulator, blocks}, work);
}

}  // namespace rushlight::cuda::emulation
