// The elements of a tensor as files hold them, piece by piece: in C order, conj and neg resolved, True as 1. A copy of
// a tensor takes its memory again; this takes a buffer, and none where the elements lie so already.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"
#include "tensor/strided_reader.hpp"

namespace rushlight {

class ElementStream {
 public:
  // Reads the storage, which must be on the host; a computed one that lies in C order is not kept, others are.
  // ErrorCode::device for meta tensors; TENSOR-PACKED for views of values that share bytes and do not lie in C order.
  static Result<ElementStream> open(const Tensor& tensor);

  // All of them in one piece, where they lie in memory as they are to be written.
  [[nodiscard]] const std::optional<ByteSpan>& whole() const noexcept { return whole_; }
  // The next elements; nothing when there are no more. Every stream of one dtype and number of elements is cut at the
  // same places. What a call gives is valid until the next one.
  [[nodiscard]] ByteSpan next() noexcept;

 private:
  explicit ElementStream(const Tensor& tensor) : tensor_(tensor) {}

  Tensor tensor_;  // keeps the bytes
  std::optional<ByteSpan> whole_;
  bool computes_ = false;
  std::optional<StridedReader> reader_;
  std::vector<std::byte> piece_;
  std::uint64_t done_bytes_ = 0;
};

}  // namespace rushlight
