// What the packages make of our files: the live half of the golden comparisons.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>

#include "interchange/packages.hpp"
#include "interchange/writer_tensors.hpp"
#include "rushlight/interchange.hpp"
#include "rushlight/npy.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight {
namespace {

// Some tensors of the dtypes that `takes` lets through: some transposed, some expanded, some without elements.
template <class Takes>
StateDict random_tensors(std::mt19937& random, const Takes& takes) {
  StateDict tensors;
  const std::size_t count = random() % 10;
  for (std::size_t i = 0; i < count; ++i) {
    const DType dtype = dtype_at(random() % dtype_count()).dtype;
    if (!takes(dtype)) continue;
    Shape shape(1 + random() % 4);
    for (std::int64_t& size : shape) size = static_cast<std::int64_t>(random() % 6);
    Tensor tensor = test::counted_tensor(dtype, shape);
    const std::size_t kind = random() % 3;
    if (kind == 1) {
      const Strides strides = contiguous_strides(shape);
      tensor = test::view_of(tensor, {shape.rbegin(), shape.rend()}, {strides.rbegin(), strides.rend()});
    } else if (kind == 2 && tensor.numel() > 0) {
      tensor = test::view_of(tensor, {3, 2}, {0, 0}, tensor.numel() - 1);
    }
    const std::string name = i % 3 == 0 ? "layer." + std::to_string(i) + "." : "\xC3\xA9 /";
    tensors.insert(name + static_cast<char>('a' + random() % 26) + std::to_string(i), tensor);
  }
  return tensors;
}

TEST(SafetensorsPackage, ReadsWhatIsWrittenAndWritesTheSameBytes) {
  const test::TemporaryFolder folder;
  std::mt19937 random(11);
  for (int i = 0; i < 100; ++i) {
    const StateDict tensors = random_tensors(random, [](DType dtype) {
      const DTypeKind kind = info(dtype).kind;
      return kind != DTypeKind::quantized && kind != DTypeKind::bits &&
             (kind != DTypeKind::complex || dtype == DType::c64);
    });
    SafetensorsOptions options;
    if (i % 2 == 0) options.metadata.emplace_back("k" + std::to_string(i), "a\n\"\xC3\xA9");
    ASSERT_TRUE(write_safetensors(tensors, folder / (std::to_string(i) + ".safetensors"), options));
  }
  test::run_with_packages("torch safetensors", "compare_safetensors.py", folder.path());
}

TEST(NumpyPackage, ReadsWhatIsWrittenAndWritesTheSameBytes) {
  const test::TemporaryFolder folder;
  std::mt19937 random(13);
  for (int i = 0; i < 60; ++i) {
    StateDict tensors;
    for (const auto& [name, tensor] : random_tensors(random, [](DType dtype) {
           const DTypeKind kind = info(dtype).kind;
           return kind == DTypeKind::boolean || kind == DTypeKind::integer || kind == DTypeKind::natural ||
                  dtype == DType::f16 || dtype == DType::f32 || dtype == DType::f64 || dtype == DType::c64 ||
                  dtype == DType::c128;
         })) {
      std::string file_name = name;
      std::replace(file_name.begin(), file_name.end(), '/', '-');
      tensors.insert(file_name, tensor);
    }
    const std::string number = std::to_string(i);
    std::filesystem::create_directory(folder / number);
    for (const auto& [name, tensor] : tensors) ASSERT_TRUE(write_npy(tensor, folder / number / (name + ".npy")));
    ASSERT_TRUE(write_npz(tensors, folder / (number + ".npz")));
    ASSERT_TRUE(write_npz(tensors, folder / (number + ".compressed.npz"), {.compressed = true}));
  }
  test::run_with_packages("numpy", "compare_npz.py", folder.path());
}

}  // namespace
}  // namespace rushlight
