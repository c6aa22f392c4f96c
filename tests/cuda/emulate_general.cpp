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
};

}  // namespace

void emulate(const GeneralCall& call, Emulator& emulator) {
  std::visit(RunGeneral{emulator}, call.work);
}

}  // namespace rushlight::cuda::emulation
