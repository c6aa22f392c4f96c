#include "rushlight/device.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rushlight/tensor.hpp"
#include "tensor/memory.hpp"

namespace rushlight {
namespace {

bool has_usable_gpu() {
  for (const DeviceInfo& device : list_devices()) {
    if (device.device.kind == Device::Kind::cuda && device.usable) return true;
  }
  return false;
}

TEST(Devices, NamesAreTorchs) {
  EXPECT_EQ(Device::parse("cpu").value(), Device::cpu());
  EXPECT_EQ(Device::parse("meta").value(), Device::meta());
  EXPECT_EQ(Device::parse("cuda").value(), Device::cuda(0));
  EXPECT_EQ(Device::parse("cuda:0").value(), Device::cuda(0));
  EXPECT_EQ(Device::parse("cuda:15").value(), Device::cuda(15));
  for (const Device device : {Device::cpu(), Device::meta(), Device::cuda(0), Device::cuda(7)}) {
    EXPECT_EQ(Device::parse(to_string(device)).value(), device);
  }
  EXPECT_EQ(to_string(Device::cuda(3)), "cuda:3");
}

TEST(Devices, OtherNamesAreTheCallersMistake) {
  for (const char* text : {"", "CPU", "gpu", "cuda:", "cuda:-1", "cuda:01", "cuda:1x", "cuda: 1", "cuda:99999999999",
                           "cpu:0", "mps", "cuda:0\n"}) {
    const auto device = Device::parse(text);
    ASSERT_FALSE(device) << text;
    EXPECT_EQ(device.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_EQ(Device::parse("gpu\x1b").error().finding.message,
            "'gpu\\x1b' is no device, expected 'cpu', 'cuda' or 'cuda:N'");
}

TEST(Devices, TheProcessorComesFirstAndIsUsable) {
  const std::vector<DeviceInfo> devices = list_devices();
  ASSERT_GE(devices.size(), 2U);
  EXPECT_EQ(devices[0].device, Device::cpu());
  EXPECT_TRUE(devices[0].usable);
  EXPECT_TRUE(devices[0].why.empty());
  EXPECT_FALSE(devices[0].description.empty());
  EXPECT_GT(devices[0].memory_bytes, std::uint64_t{1} << 26);
  for (std::size_t i = 1; i < devices.size(); ++i) {
    EXPECT_EQ(devices[i].device.kind, Device::Kind::cuda);
    EXPECT_NE(devices[i].usable, !devices[i].why.empty()) << "an unusable device says why";
  }
}

TEST(Devices, ATensorMovesToWhereItIsByStayingThere) {
  const Tensor tensor = Tensor::from_values<float>(std::vector<float>{1, 2}, {2}).value();
  const Tensor same = tensor.to(Device::cpu()).value();
  EXPECT_TRUE(same.shares_storage_with(tensor));
}

TEST(Devices, OnTheMetaDeviceOnlyTheShapeIsLeft) {
  const Tensor tensor = Tensor::from_values<float>(std::vector<float>{1, 2, 3, 4}, {2, 2}).value();
  const Tensor view = Tensor::view(tensor.storage(), DType::f32, {2}, {2}, 1, {.requires_grad = true}).value();
  const Tensor meta = view.to(Device::meta()).value();
  EXPECT_EQ(meta.device(), Device::meta());
  EXPECT_EQ(meta.strides()[0], 2);
  EXPECT_EQ(meta.storage_offset(), 1);
  EXPECT_TRUE(meta.options().requires_grad);
  EXPECT_EQ(meta.to(Device::cpu()).error().code, ErrorCode::device);
}

TEST(Devices, AGpuThatIsNotThereIsNamed) {
  if (has_usable_gpu()) GTEST_SKIP() << "a GPU is there";
  const auto moved = Tensor::zeros(DType::f32, {2}).value().to(Device::cuda(0));
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().code, ErrorCode::device);
  EXPECT_EQ(moved.error().finding.category, Category::device);
  if (moved.error().finding.code == "DEVICE-NO-CUDA") {
    EXPECT_EQ(moved.error().finding.message, "device 'cuda:0' is not available, this build has no CUDA support");
    EXPECT_EQ(moved.error().finding.hint, "available: cpu");
  }
}

TEST(Devices, WhatMovesToAGpuAndBackIsTheElementsWithoutTheirGaps) {
  if (!has_usable_gpu()) GTEST_SKIP() << "no GPU is there";
  std::vector<float> values(100);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Tensor all = Tensor::from_values<float>(values, {10, 10}).value();
  const Tensor column = Tensor::view(all.storage(), DType::f32, {10}, {10}, 3).value();
  const Tensor moved = column.to(Device::cuda(0)).value();
  EXPECT_EQ(moved.device(), Device::cuda(0));
  EXPECT_EQ(moved.storage().size_bytes(), 40U);
  const Tensor back = moved.to(Device::cpu()).value();
  const auto have = back.values<float>().value();
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(have[i], static_cast<float>(10 * i + 3));
}

}  // namespace
}  // namespace rushlight
