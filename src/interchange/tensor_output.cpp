#include "interchange/tensor_output.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checksum/crc32.hpp"
#include "tensor/memory.hpp"
#include "tensor/unfolded_bytes.hpp"

namespace rushlight::interchange {
namespace {

constexpr std::uint64_t kToldEveryBytes = std::uint64_t{4} << 20;
// In a cache between the check and the write.
constexpr std::size_t kCheckedPieceBytes = std::size_t{1} << 20;

}  // namespace

Error of_tensor(Error error, std::string_view name) {
  error.finding.message.insert(0, "tensor " + rushlight::quoted(name) + ": ");
  if (error.finding.tensors.empty()) error.finding.tensors.emplace_back(name);
  return error;
}

std::vector<NamedTensor> items_of(const StateDict& tensors) {
  std::vector<NamedTensor> items;
  items.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) items.push_back({name, tensor});
  return items;
}

Result<std::uint64_t> bytes_to_write(std::span<const NamedTensor> tensors) {
  std::vector<const Tensor*> all;
  all.reserve(tensors.size());
  for (const NamedTensor& named : tensors) all.push_back(&named.tensor);
  return unfolded_bytes(all, "LIMIT-WRITE", "to be written out");
}

Result<ElementStream> elements_of(const Tensor& tensor) {
  const Device::Kind kind = tensor.device().kind;
  if (kind == Device::Kind::cpu || kind == Device::Kind::meta) return ElementStream::open(tensor);
  RUSHLIGHT_TRY_ASSIGN(const Tensor on_host, tensor.to(Device::cpu()));
  return ElementStream::open(on_host);
}

Status TensorOutput::write(ByteSpan bytes) {
  RUSHLIGHT_TRY(sink_.write(bytes));
  offset_ += bytes.size();
  return {};
}

Status TensorOutput::write_elements(ElementStream elements) {
  for (ByteSpan piece = elements.next(); !piece.empty(); piece = elements.next()) {
    RUSHLIGHT_TRY(write(piece));
    RUSHLIGHT_TRY(advance(piece.size()));
  }
  return {};
}

Status TensorOutput::write_tensor(const NamedTensor& named) {
  const Tensor& tensor = named.tensor;
  const TensorOptions& options = tensor.options();
  const bool is_whole_storage = tensor.is_contiguous() && tensor.storage_offset() == 0 && !options.conj &&
                                !options.neg && tensor.dtype() != DType::boolean &&
                                tensor.size_bytes() == tensor.storage().size_bytes();
  const std::optional<Memory::Unchecked> unchecked =
      is_whole_storage ? tensor.storage().memory()->unchecked_bytes() : std::nullopt;
  if (!unchecked) {
    Result<ElementStream> elements = elements_of(tensor);
    if (!elements) return of_tensor(std::move(elements).error(), named.name);
    return write_elements(*std::move(elements));
  }
  std::uint32_t crc = 0;
  for (ByteSpan left = unchecked->bytes; !left.empty();) {
    const ByteSpan piece = left.first(std::min(left.size(), kCheckedPieceBytes));
    crc = checksum::crc32(piece, crc);
    RUSHLIGHT_TRY(write(piece));
    RUSHLIGHT_TRY(advance(piece.size()));
    left = left.subspan(piece.size());
  }
  if (crc == unchecked->crc) return {};
  // Reading it says what is wrong, and where.
  if (Result<std::span<const std::byte>> again = tensor.storage().bytes(); !again) {
    return of_tensor(std::move(again).error(), named.name);
  }
  return of_tensor(Error::of(ErrorCode::checksum_mismatch, {.category = Category::crc,
                                                            .code = "SAVE-CHANGED",
                                                            .message = "its bytes changed while they were copied"}),
                   named.name);
}

Status TensorOutput::advance(std::uint64_t bytes) {
  done_ += bytes;
  if (progress_ == nullptr || (done_ - told_ < kToldEveryBytes && done_ != total_)) return {};
  told_ = done_;
  if (progress_->on_progress("write", done_, total_)) return {};
  return Error::of(ErrorCode::cancelled,
                   {.category = Category::io, .code = "CANCELLED", .message = "the writing was cancelled"});
}

Result<std::uint64_t> write_file(const std::filesystem::path& path, std::uint64_t expected_bytes,
                                 const io::AtomicFileOptions& options, const std::function<Status(Sink& sink)>& write,
                                 const io::AtomicFile::Check& check) {
  RUSHLIGHT_TRY_ASSIGN(const std::unique_ptr<io::AtomicFile> file,
                       io::AtomicFile::create(path, expected_bytes, options));
  RUSHLIGHT_TRY(write(*file));
  RUSHLIGHT_TRY(file->commit(check));
  return file->written_bytes();
}

}  // namespace rushlight::interchange
