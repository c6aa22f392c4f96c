// One dtype's elements as another's, with the semantics of torch's Tensor.to: for runs of elements that lie in a row.
#pragma once

#include <cstddef>

#include "base/bytes.hpp"
#include "rushlight/dtype.hpp"
#include "rushlight/result.hpp"

namespace rushlight {

class ElementCast {
 public:
  // TENSOR-CONVERT where there is no such conversion: of packed, quantised and uninterpreted elements.
  static Result<ElementCast> find(DType from, DType to);

  // `count` elements at `from` and at `out`, which do not overlap; neither needs alignment.
  void run(const std::byte* from, std::size_t count, std::byte* out) const noexcept;

  [[nodiscard]] std::size_t from_bytes() const noexcept { return from_bytes_; }  // of an element
  [[nodiscard]] std::size_t to_bytes() const noexcept { return to_bytes_; }

 private:
  // By way of carriers, which hold every value of the source.
  using Load = void (*)(const std::byte* elements, std::size_t count, std::byte* carriers) noexcept;
  using Store = void (*)(const std::byte* carriers, std::size_t count, std::byte* out) noexcept;
  ElementCast(Load load, Store store, std::size_t from_bytes, std::size_t to_bytes) noexcept
      : load_(load), store_(store), from_bytes_(from_bytes), to_bytes_(to_bytes) {}

  Load load_;
  Store store_;
  std::size_t from_bytes_;
  std::size_t to_bytes_;
};

}  // namespace rushlight
