#include "cuda/emulate_work.hpp"

namespace rushlight::cuda::emulation {
namespace {

struct RunGeneral {
  Emulator& emulator;

  void operator()(const MapArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) {
      if (cost_of(a) == MapCost::dear) {
        map_kernel<MapCost::dear>(block, a);
      } else {
        map_kernel<MapCost::cheap>(block, a);
      }
    });
  }
  void operator()(const MoveArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { move_kernel(block, a); });
  }
  void operator()(const PadArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { pad_kernel(block, a); });
  }
  void operator()(const CheckIndicesArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { check_indices_kernel(block, a); });
  }
  void operator()(const GatherArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { gather_kernel(block, a); });
  }
  void operator()(const ReduceArguments& a) const {
    emulator.run_with_shared<TeamShared>(grid_of(a), [&](EmulatedBlock& block, TeamShared& shared) {
      if (a.lanes == 1) {
        reduce_kernel<1>(block, shared, a);
      } else if (a.lanes == kWarpThreads) {
        reduce_kernel<kWarpThreads>(block, shared, a);
      } else {
        reduce_kernel<kTeamThreads>(block, shared, a);
      }
    });
  }
  void operator()(const NormaliseArguments& a) const {
    emulator.run_with_shared<TeamShared>(grid_of(a), [&](EmulatedBlock& block, TeamShared& shared) {
      if (a.lanes == 1) {
        normalise_kernel<1>(block, shared, a);
      } else if (a.lanes == kWarpThreads) {
        normalise_kernel<kWarpThreads>(block, shared, a);
      } else {
        normalise_kernel<kTeamThreads>(block, shared, a);
      }
    });
  }
  void operator()(const BatchedProductArguments& a) const {
    emulator.run_with_shared<BatchedProductShared>(grid_of(a), [&](EmulatedBlock& block, BatchedProductShared& shared) {
      batched_product_kernel(block, shared, a);
    });
  }
  void operator()(const AttentionArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { attention_kernel(block, a); });
  }
  void operator()(const VolumePoolArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { volume_pool_kernel(block, a); });
  }
  void operator()(const VolumeConvArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { volume_conv_kernel(block, a); });
  }
  void operator()(const ResizeArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { resize_kernel(block, a); });
  }
  void operator()(const AntialiasArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { antialias_kernel(block, a); });
  }
  void operator()(const GridSampleArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { grid_sample_kernel(block, a); });
  }
  void operator()(const AffineGridArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { affine_grid_kernel(block, a); });
  }
  void operator()(const ResponseNormArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { response_norm_kernel(block, a); });
  }
  void operator()(const FoldArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { fold_kernel(block, a); });
  }
  void operator()(const BagArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { bag_kernel(block, a); });
  }
  void operator()(const TopKArguments& a) const {
    emulator.run_with_shared<TeamShared>(grid_of(a), [&](EmulatedBlock& block, TeamShared& shared) {
      if (a.lanes == 1) {
        top_k_kernel<1>(block, shared, a);
      } else if (a.lanes == kWarpThreads) {
        top_k_kernel<kWarpThreads>(block, shared, a);
      } else {
        top_k_kernel<kTeamThreads>(block, shared, a);
      }
    });
  }
  void operator()(const PairsArguments& a) const {
    emulator.run_with_shared<TeamShared>(grid_of(a), [&](EmulatedBlock& block, TeamShared& shared) {
      if (a.lanes == 1) {
        pairs_kernel<1>(block, shared, a);
      } else if (a.lanes == kWarpThreads) {
        pairs_kernel<kWarpThreads>(block, shared, a);
      } else {
        pairs_kernel<kTeamThreads>(block, shared, a);
      }
    });
  }
  void operator()(const UnpoolArguments& a) const {
    emulator.run_with_shared<UnpoolShared>(
        grid_of(a), [&](EmulatedBlock& block, UnpoolShared& shared) { unpool_kernel(block, shared, a); });
  }
  void operator()(const ContractArguments& a) const {
    emulator.run_with_shared<TeamShared>(grid_of(a), [&](EmulatedBlock& block, TeamShared& shared) {
      if (a.lanes == 1) {
        contract_kernel<1>(block, shared, a);
      } else if (a.lanes == kWarpThreads) {
        contract_kernel<kWarpThreads>(block, shared, a);
      } else {
        contract_kernel<kTeamThreads>(block, shared, a);
      }
    });
  }
  void operator()(const WindowMoveArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { window_move_kernel(block, a); });
  }
  void operator()(const WindowMaskArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { window_mask_kernel(block, a); });
  }
  void operator()(const DistanceBiasArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) { distance_bias_kernel(block, a); });
  }
  void operator()(const RecurrentStepArguments& a) const {
    emulator.run(grid_of(a), [&](EmulatedBlock& block) {
      switch (gates_of(a.rule)) {
        case 4:
          return recurrent_step_kernel<4>(block, a);
        case 3:
          return recurrent_step_kernel<3>(block, a);
        default:
          return recurrent_step_kernel<1>(block, a);
      }
    });
  }
};

}  // namespace

void emulate(const GeneralCall& call, Emulator& emulator) {
  std::visit(RunGeneral{emulator}, call.work);
}

}  // namespace rushlight::cuda::emulation
