// What one operator of the reference is given: its node, its tensors as arrays of doubles, its parameters as they are.
//
// Every dtype travels as doubles: float32 and bool are exact in them, indices up to 2^53. Values between operators are
// not rounded to float32; inputs and parameters are float32 from the start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "rushlight/dtype.hpp"
#include "rushlight/error.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::runtime::reference {

// In C order, dimensions as torch has them (NCHW).
struct Array {
  std::span<double> values;
  std::span<const std::int64_t> shape;
  DType dtype = DType::f32;
};
struct ConstArray {
  std::span<const double> values;
  std::span<const std::int64_t> shape;
  DType dtype = DType::f32;
};

// Memory for the length of one operator. It keeps what it has once taken, so that later runs allocate nothing.
class Scratch {
 public:
  // Zeros.
  template <class T>
  requires std::is_trivially_copyable_v<T> std::span<T> take(std::size_t count) {
    constexpr std::size_t kMost = static_cast<std::size_t>(-1) / 2;  // more than any machine has: std::bad_alloc
    T* const first = static_cast<T*>(take_bytes(count > kMost / sizeof(T) ? kMost : count * sizeof(T)));
    for (std::size_t i = 0; i < count; ++i) new (first + i) T();
    return {first, count};
  }
  // What was taken before may be used for something else.
  void rewind() noexcept {
    block_ = 0;
    used_ = 0;
  }

 private:
  struct Block {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t size = 0;
  };
  void* take_bytes(std::size_t size);

  std::vector<Block> blocks_;
  std::size_t block_ = 0;  // where the next piece comes from
  std::size_t used_ = 0;   // of it
};

class Call {
 public:
  // A parameter under its short name, "weight".
  struct Parameter {
    std::string_view name;
    Tensor tensor;
  };

  const Node* node = nullptr;
  std::vector<ConstArray> inputs;
  std::vector<Array> outputs;         // those that the node has, which may be fewer than the operator's
  std::vector<Parameter> parameters;  // those that are there, in the table's order
  Scratch* scratch = nullptr;

  [[nodiscard]] ConstArray input(std::size_t i = 0) const { return inputs[i]; }
  [[nodiscard]] Array output(std::size_t i = 0) const { return outputs[i]; }
  // Empty when the operator has none of that name: bias=False, affine=False.
  [[nodiscard]] std::span<const float> parameter(std::string_view name) const;
  template <class T>
  [[nodiscard]] std::span<T> take(std::size_t count) const {
    return scratch->take<T>(count);
  }
};

}  // namespace rushlight::runtime::reference
