#include "interchange/tensor_output.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "io/atomic_file.hpp"
#include "tensor/unfolded_bytes.hpp"

namespace rushlight::interchange {
namespace {

constexpr std::uint64_t kToldEveryBytes = std::uint64_t{4} << 20;

// Until the whole is there.
class MemorySink final : public Sink {
 public:
  Status write(std::span<const std::byte> bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return {};
  }
  [[nodiscard]] ByteSpan bytes() const noexcept { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

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

Status TensorOutput::advance(std::uint64_t bytes) {
  done_ += bytes;
  if (progress_ == nullptr || (done_ - told_ < kToldEveryBytes && done_ != total_)) return {};
  told_ = done_;
  if (progress_->on_progress("write", done_, total_)) return {};
  return Error::of(ErrorCode::cancelled,
                   {.category = Category::io, .code = "CANCELLED", .message = "the writing was cancelled"});
}

Status replace_file(const std::filesystem::path& path, const std::function<Status(Sink& sink)>& write) {
  MemorySink whole;
  RUSHLIGHT_TRY(write(whole));
  const std::array<ByteSpan, 1> pieces = {whole.bytes()};
  return io::write_file_atomically(path, pieces);
}

}  // namespace rushlight::interchange
