// Bytes to a GPU, between GPUs and back, over a CUDA runtime on the host.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "checksum/crc32.hpp"
#include "cuda/device_memory.hpp"
#include "cuda/fake_cuda.hpp"
#include "cuda/small_network.hpp"
#include "cuda/stream.hpp"
#include "cuda/upload.hpp"
#include "runtime/networks.hpp"
#include "tensor/memory.hpp"

namespace rushlight::cuda {
namespace {

std::vector<std::byte> bytes_of(std::size_t count, unsigned seed = 1) {
  std::vector<std::byte> bytes(count);
  unsigned state = seed;
  for (std::byte& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

// A record of a file that nobody has checked yet.
class Record final : public Memory {
 public:
  Record(std::vector<std::byte> bytes, std::uint32_t crc) : bytes_(std::move(bytes)), crc_(crc) {}
  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return bytes_.size(); }
  [[nodiscard]] Result<ByteSpan> bytes() override {
    ++reads;
    if (checksum::crc32(bytes_) != crc_ && !is_mended) {
      return Error::of(ErrorCode::checksum_mismatch,
                       {.category = Category::crc, .code = "ZIP-CRC", .message = "the record is damaged"});
    }
    return ByteSpan(bytes_);
  }
  [[nodiscard]] std::optional<Unchecked> unchecked_bytes() override { return Unchecked{bytes_, crc_}; }

  int reads = 0;
  bool is_mended = false;

 private:
  std::vector<std::byte> bytes_;
  std::uint32_t crc_;
};

class Uploads : public testing::Test {
 protected:
  void SetUp() override { fake::reset({{}, {}}); }
  void TearDown() override { EXPECT_EQ(fake::live(), fake::Live{}) << "something was not given back"; }

  static std::vector<std::byte> host_bytes(Memory& there) {
    const auto back = rushlight::copy_to_device(there, Device::cpu()).value();
    const ByteSpan bytes = back->bytes().value();
    return {bytes.begin(), bytes.end()};
  }
};

constexpr std::size_t kStaged = Upload::kStagedBytes;

TEST_F(Uploads, OfAnySizeArriveWhole) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, Upload::kBufferBytes + 1,
                                 kStaged - 1, kStaged, kStaged + 3 * Upload::kBufferBytes + 17}) {
    SCOPED_TRACE(size);
    const std::vector<std::byte> bytes = bytes_of(size);
    Record record(bytes, checksum::crc32(bytes));
    const int pinned = fake::calls_of("cudaHostAlloc");
    const auto there = cuda::copy_to_device(record, Device::cuda(0)).value();
    EXPECT_EQ(there->device(), Device::cuda(0));
    EXPECT_TRUE(host_bytes(*there) == bytes);
    EXPECT_EQ(record.reads, 0) << "the bytes were read twice";
    EXPECT_EQ(fake::calls_of("cudaHostAlloc") - pinned, size >= kStaged ? 2 : 0);
  }
}

// The stand-in for CUDA copies from page-locked memory when somebody waits: a buffer that is filled again too early
// would have the later bytes in both places.
TEST_F(Uploads, InPiecesOfAnySizeKeepTheirOrder) {
  const DeviceBuffer block = DeviceBuffer::allocate(0, kStaged + 1000, "a test").value();
  const CurrentDevice current = CurrentDevice::use(0).value();
  Upload upload = Upload::begin(block.data(), block.size_bytes()).value();
  const std::size_t sizes[] = {1, 255, Upload::kBufferBytes, 7, 2 * Upload::kBufferBytes + 3, 100};
  std::vector<std::vector<std::byte>> pieces;
  const int copies = fake::calls_of("cudaMemcpyAsync");
  for (const std::size_t size : sizes) {
    pieces.push_back(bytes_of(size, static_cast<unsigned>(size)));
    ASSERT_TRUE(upload.append(pieces.back()));
    ASSERT_TRUE(upload.pad(5));
  }
  ASSERT_TRUE(upload.finish());
  EXPECT_EQ(fake::calls_of("cudaMemcpyAsync") - copies, 4) << "small pieces share a copy";
  const std::byte* place = block.data();
  for (const std::vector<std::byte>& piece : pieces) {
    EXPECT_EQ(std::memcmp(place, piece.data(), piece.size()), 0) << piece.size();
    place += piece.size() + 5;
  }
}

TEST_F(Uploads, OfADamagedRecordAreRefusedInTheWordsOfTheRecord) {
  for (const std::size_t size : {std::size_t{1000}, kStaged + 5}) {
    const std::vector<std::byte> bytes = bytes_of(size);
    Record record(bytes, checksum::crc32(bytes) ^ 1U);
    const auto there = cuda::copy_to_device(record, Device::cuda(0));
    ASSERT_FALSE(there);
    EXPECT_EQ(there.error().code, ErrorCode::checksum_mismatch);
    EXPECT_EQ(there.error().finding.message, "the record is damaged");

    // It was damaged only while it was copied.
    record.is_mended = true;
    const auto changed = cuda::copy_to_device(record, Device::cuda(0));
    ASSERT_FALSE(changed);
    EXPECT_EQ(changed.error().code, ErrorCode::checksum_mismatch);
    EXPECT_EQ(changed.error().finding.message, "the bytes changed while they were copied");
  }
}

TEST_F(Uploads, GoFromGpuToGpuAndBack) {
  const Tensor tensor = test::made_up("x", {3, 1000});
  const Tensor first = tensor.to(Device::cuda(0)).value();
  const Tensor second = first.to(Device::cuda(1)).value();
  EXPECT_EQ(second.device(), Device::cuda(1));
  EXPECT_EQ(fake::calls_of("cudaMemcpyPeerAsync"), 1);
  EXPECT_EQ(test::floats_of(second.to(Device::cpu()).value()), test::floats_of(tensor));
  int current = -1;
  ASSERT_EQ(cudaGetDevice(&current), cudaSuccess);
  EXPECT_EQ(current, 0) << "the caller's device stays current";
}

// All forms of a model's weights were on the host together before the first of them went up.
TEST_F(Uploads, OfWeightsHoldOneFormOnTheHostAtATime) {
  constexpr std::int64_t kChannels = 256;
  constexpr std::uint64_t kLayerBytes = kChannels * kChannels * 9 * sizeof(float);
  constexpr int kLayers = 18;
  std::vector<Layer> layers;
  for (int i = 0; i < kLayers; ++i) {
    layers.emplace_back("conv" + std::to_string(i),
                        Conv2d{.in_channels = kChannels, .out_channels = kChannels, .kernel_size = 3, .padding = 1});
  }
  const Sequential network(std::move(layers));
  // The largest forms: Winograd's F(2x2) has 16 numbers for 9, F(4x4) 36.
  struct Way {
    Precision precision;
    std::uint64_t largest_form;
  };
  for (const auto& [precision, largest_form] :
       {Way{Precision::strict, kLayerBytes * 16 / 9}, Way{Precision::fast, kLayerBytes * 4},
        Way{Precision::bf16, kLayerBytes / 2}}) {
    const Model model = test::made_up_model(network.graph({kChannels, 8, 8}).value());
    meet_the_gpu();
    fake::skip_kernels();
    const auto in_use = [] {
      const struct mallinfo2 info = mallinfo2();
      return info.uordblks + info.hblkhd - fake::device_bytes();
    };
    const std::uint64_t before = in_use();
    std::uint64_t most = before;
    fake::watch([&] { most = std::max(most, static_cast<std::uint64_t>(in_use())); });
    const Session session = model.session(Device::cuda(0), {.precision = precision, .limits = {}}).value();
    const std::uint64_t bound = largest_form + 2 * Upload::kBufferBytes + (std::uint64_t{2} << 20);
    EXPECT_LE(most - before, bound);
    EXPECT_GT(most - before, 2 * Upload::kBufferBytes) << "nothing was seen";
    // All forms together, the least they may take.
    EXPECT_LT(bound, kLayers * (precision == Precision::bf16 ? kLayerBytes / 2 : kLayerBytes));
  }
  fake::reset();
}

TEST_F(Uploads, ThatFailAtAnyCallLeaveNothingBehind) {
  const std::vector<std::byte> bytes = bytes_of(kStaged + Upload::kBufferBytes);
  const auto there_and_back = [&]() -> Result<bool> {
    Record record(bytes, checksum::crc32(bytes));
    RUSHLIGHT_TRY_ASSIGN(const auto first, cuda::copy_to_device(record, Device::cuda(0)));
    RUSHLIGHT_TRY_ASSIGN(const auto second, cuda::copy_to_device(*first, Device::cuda(1)));
    RUSHLIGHT_TRY_ASSIGN(const auto back, cuda::copy_to_host(*second));
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan found, back->bytes());
    return std::equal(found.begin(), found.end(), bytes.begin(), bytes.end());
  };
  EXPECT_TRUE(there_and_back().value());
  const int calls = fake::calls();
  int errors = 0;
  for (int i = 0; i < calls; ++i) {
    fake::reset({{}, {}});
    fake::fail_any(cudaErrorInvalidValue, i);
    const auto outcome = there_and_back();
    SCOPED_TRACE(std::to_string(i) + ": " + fake::failed_call());
    EXPECT_EQ(fake::live(), fake::Live{});
    if (outcome) {
      EXPECT_TRUE(outcome.value());
    } else {
      ++errors;
      EXPECT_NE(outcome.error().finding.message.find(fake::failed_call()), std::string::npos)
          << outcome.error().finding.message;
    }
  }
  EXPECT_GT(errors, 20);
}

}  // namespace
}  // namespace rushlight::cuda
