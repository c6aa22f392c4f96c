#include "tensor/element_stream.hpp"

#include <algorithm>
#include <cassert>
#include <string>

#include "base/fail.hpp"
#include "tensor/layout.hpp"
#include "tensor/memory.hpp"
#include "tensor/meta.hpp"

namespace rushlight {
namespace {

// A multiple of every element. Large enough that a piece costs little, small enough to stay in a cache.
constexpr std::uint64_t kPieceBytes = std::uint64_t{256} << 10;

}  // namespace

Result<ElementStream> ElementStream::open(const Tensor& tensor) {
  if (is_meta(tensor)) {
    return Error::of(ErrorCode::device, {.category = Category::device,
                                         .code = "TENSOR-META",
                                         .message = "a tensor on the meta device has a shape and no data"});
  }
  ElementStream stream(tensor);
  const DType dtype = tensor.dtype();
  const TensorOptions& options = tensor.options();
  const std::int64_t in_unit = values_per_unit(dtype);
  const bool in_order = tensor.is_contiguous() && tensor.storage_offset() % in_unit == 0;
  if (in_unit != 1 && !in_order) {
    return Error::of({.category = Category::unsup,
                      .code = "TENSOR-PACKED",
                      .message = "a view of " + std::string(to_string(dtype)) +
                                 " whose elements do not start a byte or lie apart cannot be copied"});
  }
  const bool as_they_lie = in_order && !options.conj && !options.neg && dtype != DType::boolean;
  if (Memory& memory = *tensor.storage().memory(); as_they_lie && tensor.numel() > 0 && memory.is_computed()) {
    RUSHLIGHT_TRY(memory.compute(0, {}));
    stream.computes_ = true;
    stream.piece_.resize(static_cast<std::size_t>(std::min(kPieceBytes, tensor.size_bytes())));
    return stream;
  }
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> bytes, tensor.bytes());
  if (tensor.numel() == 0) {
    stream.whole_.emplace();
    return stream;
  }
  if (as_they_lie) {
    stream.whole_ = bytes;
    return stream;
  }
  stream.reader_.emplace(bytes.data(), dtype, tensor.shape(), tensor.strides(), options.conj, options.neg);
  stream.piece_.resize(static_cast<std::size_t>(std::min(kPieceBytes, tensor.size_bytes())));
  return stream;
}

ByteSpan ElementStream::next() noexcept {
  const std::uint64_t begin = done_bytes_;
  const auto count = static_cast<std::size_t>(std::min(kPieceBytes, tensor_.size_bytes() - begin));
  done_bytes_ += count;
  if (whole_) return whole_->subspan(static_cast<std::size_t>(begin), count);
  if (computes_) {
    const auto first = static_cast<std::uint64_t>(tensor_.storage_offset() / values_per_unit(tensor_.dtype()));
    const std::span<std::byte> piece = std::span(piece_).first(count);
    // It succeeded when the stream was opened, and does from then on.
    [[maybe_unused]] const Status made =
        tensor_.storage().memory()->compute(first * size_bytes(tensor_.dtype()) + begin, piece);
    assert(made);
    return piece;
  }
  reader_->read(piece_.data(), count / size_bytes(tensor_.dtype()));
  const ByteSpan piece = ByteSpan(piece_).first(count);
  // Storages may hold any byte for True.
  if (tensor_.dtype() == DType::boolean) {
    std::transform(piece.begin(), piece.end(), piece_.begin(),
                   [](std::byte b) { return b == std::byte{0} ? std::byte{0} : std::byte{1}; });
  }
  return piece;
}

}  // namespace rushlight
