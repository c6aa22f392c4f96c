// Checkpoints that are read to GPUs, over a CUDA runtime on the host.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cuda/fake_cuda.hpp"
#include "runtime/networks.hpp"
#include "rushlight/checkpoint.hpp"

namespace rushlight::cuda {
namespace {

const std::string kFile = RUSHLIGHT_GOLDEN_DIR "/fashion/fashion_cnn.pt";

class MapsToGpus : public testing::Test {
 protected:
  void SetUp() override { fake::reset({{}, {}}); }
  void TearDown() override { EXPECT_EQ(fake::live(), fake::Live{}) << "something was not given back"; }

  // Bytes of the elements, wherever they lie.
  static std::vector<std::byte> bytes_of(const Tensor& tensor) {
    const Tensor host = tensor.to(Device::cpu()).value();
    const std::span<const std::byte> bytes = host.bytes().value();
    return {bytes.begin(), bytes.end()};
  }
};

TEST_F(MapsToGpus, EveryTensorArrivesWithItsBytes) {
  const StateDict here = Checkpoint::open(kFile).value().state_dict().value();
  LoadOptions options;
  options.map_location = Device::cuda(1);
  const StateDict there = Checkpoint::open(kFile, options).value().state_dict().value();
  ASSERT_EQ(here.size(), there.size());
  for (const auto& [name, tensor] : there) {
    SCOPED_TRACE(name);
    EXPECT_EQ(tensor.device(), Device::cuda(1));
    EXPECT_TRUE(bytes_of(tensor) == bytes_of(*here.find(name)));
  }
}

TEST_F(MapsToGpus, AFunctionSendsEachStorageToItsPlaceAndTensorsMoveOn) {
  int storages = 0;
  LoadOptions options;
  options.map_location =
      MapLocation::function([&](std::string_view) { return ++storages % 2 == 0 ? Device::cpu() : Device::cuda(0); });
  const StateDict mixed = Checkpoint::open(kFile, options).value().state_dict().value();
  int on_gpu = 0;
  for (const auto& [name, tensor] : mixed) {
    SCOPED_TRACE(name);
    if (tensor.device() == Device::cuda(0)) ++on_gpu;
    const Tensor moved = tensor.to(Device::cuda(1)).value();
    EXPECT_EQ(moved.device(), Device::cuda(1));
    EXPECT_TRUE(bytes_of(moved) == bytes_of(tensor));
  }
  EXPECT_GT(on_gpu, 0);
  EXPECT_LT(on_gpu, static_cast<int>(mixed.size()));
}

TEST_F(MapsToGpus, ADamagedRecordIsRefusedOnTheWay) {
  std::ifstream file(kFile, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  // The largest tensor takes most of the file: its middle is in it.
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  const std::filesystem::path damaged = std::filesystem::path(testing::TempDir()) / "map_location_damaged.pt";
  std::ofstream(damaged, std::ios::binary) << bytes;
  LoadOptions options;
  options.map_location = Device::cuda(0);
  const auto checkpoint = Checkpoint::open(damaged, options);
  ASSERT_FALSE(checkpoint);
  EXPECT_EQ(checkpoint.error().code, ErrorCode::checksum_mismatch);
  EXPECT_NE(checkpoint.error().finding.record, "");
  // Nobody asked: nothing is checked.
  options.checksums = Checksums::ignore;
  EXPECT_TRUE(Checkpoint::open(damaged, options));
  std::filesystem::remove(damaged);
}

TEST_F(MapsToGpus, AGpuThatIsTooSmallIsSaid) {
  fake::reset({{.memory_bytes = 1000}});
  LoadOptions options;
  options.map_location = Device::cuda(0);
  const auto checkpoint = Checkpoint::open(kFile, options);
  ASSERT_FALSE(checkpoint);
  EXPECT_EQ(checkpoint.error().code, ErrorCode::out_of_memory);
  EXPECT_NE(checkpoint.error().finding.message.find("bytes of tensors"), std::string::npos)
      << checkpoint.error().finding.message;
}

}  // namespace
}  // namespace rushlight::cuda
