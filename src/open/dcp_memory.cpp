#include "open/dcp_memory.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "tensor/layout.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight::open {
namespace {

using checkpoint::DcpChunk;
using checkpoint::DcpEntry;
using checkpoint::DcpItem;

// What Memory promises (checkpoint/record_memory.cpp).
constexpr std::uintptr_t kAlignment = 16;

// Copies a box of elements in C order to its place in the whole, row by row. Both are in C order without gaps.
void place_chunk(const DcpEntry& entry, const DcpChunk& chunk, ByteSpan from, std::span<std::byte> to) {
  if (from.empty()) return;
  const std::size_t dims = entry.shape.size();
  // As many inner dimensions as lie in one piece in both: all that the chunk covers whole, and one more.
  std::size_t split = dims;
  while (split > 0 && chunk.sizes[split - 1] == entry.shape[split - 1]) --split;
  if (split > 0) --split;
  const std::size_t unit = size_bytes(entry.dtype);
  const Strides strides = contiguous_strides(entry.shape);
  std::size_t row_bytes = unit;
  std::size_t at = 0;  // of the present row in the whole, in elements
  for (std::size_t i = 0; i < dims; ++i) {
    if (i >= split) row_bytes *= static_cast<std::size_t>(chunk.sizes[i]);
    at += static_cast<std::size_t>(chunk.offsets[i] * strides[i]);
  }
  std::vector<std::int64_t> index(split);
  for (std::size_t done = 0; done < from.size(); done += row_bytes) {
    std::memcpy(to.data() + at * unit, from.data() + done, row_bytes);
    for (std::size_t i = split; i-- > 0;) {
      at += static_cast<std::size_t>(strides[i]);
      if (++index[i] < chunk.sizes[i]) break;
      at -= static_cast<std::size_t>(strides[i] * chunk.sizes[i]);
      index[i] = 0;
    }
  }
}

// How sure one may be of bytes that come from several places: as of the worst.
int rank_of(Integrity integrity) noexcept {
  switch (integrity) {
    case Integrity::not_checked:
      return 0;
    case Integrity::verified:
      return 1;
    case Integrity::none:
      return 2;
    case Integrity::not_computed:
      return 3;
    case Integrity::mismatch:
      return 4;
  }
  return 0;
}

}  // namespace

Status open_item(const DcpFiles& files, std::size_t item, const LoadOptions& options, Opened& opened) {
  const Part& part = files.parts[item];
  const Status loaded = [&]() -> Status {
    RUSHLIGHT_TRY(open_window(part, options, opened));
    return load_archive(options, opened);
  }();
  for (Finding& finding : opened.findings) {
    if (finding.file.empty()) finding.file = printable_file(opened.file);
    if (finding.tensors.empty()) finding.tensors = {files.items[item].name};
  }
  if (loaded) return {};
  Error error = with_file(loaded.error(), opened.file);
  if (error.finding.tensors.empty()) error.finding.tensors = {files.items[item].name};
  return error;
}

Result<Tensor> open_chunk(const DcpFiles& files, const DcpEntry& entry, const DcpChunk& chunk,
                          const LoadOptions& options) {
  const DcpItem& item = files.items[chunk.item];
  const auto wrong = [&](Category category, std::string_view code, const std::string& what, const std::string& found,
                         const std::string& expected) {
    return Error::of(
        {.category = category,
         .code = std::string(code),
         .message = "chunk " + rushlight::quoted(item.name) + " is " + what + " " + found + ", expected " + expected,
         .file = printable_file(std::string(files.parts[chunk.item].source->name())),
         .offset = item.offset,
         .found = found,
         .expected = expected,
         .tensors = {entry.name}});
  };
  Opened opened;
  RUSHLIGHT_TRY(open_item(files, chunk.item, options, opened));
  const std::optional<Tensor> tensor = opened.root.as_tensor();
  if (!tensor) {
    return wrong(Category::type, "DCP-CHUNK-TYPE", "a", escaped(opened.root.class_name()), "a tensor");
  }
  if (tensor->dtype() != entry.dtype) {
    return wrong(Category::tensor, "DCP-CHUNK-DTYPE", "of dtype", std::string(to_string(tensor->dtype())),
                 std::string(to_string(entry.dtype)));
  }
  if (!std::equal(tensor->shape().begin(), tensor->shape().end(), chunk.sizes.begin(), chunk.sizes.end())) {
    return wrong(Category::tensor, "DCP-CHUNK-SHAPE", "of shape", shape_text(tensor->shape()), shape_text(chunk.sizes));
  }
  return *tensor;
}

DcpMemory::DcpMemory(std::shared_ptr<const DcpFiles> files, DcpEntry entry)
    : files_(std::move(files)), entry_(std::move(entry)) {
  // The product was checked when the metadata was read.
  std::uint64_t numel = 1;
  for (const std::int64_t size : entry_.shape) numel *= static_cast<std::uint64_t>(size);
  size_bytes_ = numel * rushlight::size_bytes(entry_.dtype);
  for (const DcpChunk& chunk : entry_.chunks) {
    const std::string& name = files_->parts[chunk.item].name;
    if (record_.empty()) {
      record_ = name;
    } else if (record_ != name) {
      record_ += " ...";
      break;
    }
  }
}

Result<ByteSpan> DcpMemory::bytes() {
  std::call_once(once_, [this] { answer_ = load(); });
  return *answer_;
}

void DcpMemory::note(Integrity integrity) noexcept {
  if (rank_of(integrity) > rank_of(integrity_.load(std::memory_order_acquire))) {
    integrity_.store(integrity, std::memory_order_release);
  }
}

Result<DcpMemory::Chunk> DcpMemory::load_chunk(const DcpChunk& chunk) {
  RUSHLIGHT_TRY_ASSIGN(const Tensor tensor, open_chunk(*files_, entry_, chunk, files_->options));
  const std::uint64_t most = files_->options.limits.materialised_bytes + 2 * tensor.storage().size_bytes();
  Result<Tensor> dense = tensor.contiguous(most);
  note(tensor.storage().integrity());
  if (!dense) return std::move(dense).error();
  return Chunk{tensor.storage(), *std::move(dense)};
}

Result<ByteSpan> DcpMemory::load() {
  // Each chunk is opened before memory is taken for the whole: what is claimed must be there.
  std::vector<Chunk> chunks;
  chunks.reserve(entry_.chunks.size());
  for (const DcpChunk& chunk : entry_.chunks) {
    RUSHLIGHT_TRY_ASSIGN(Chunk loaded, load_chunk(chunk));
    chunks.push_back(std::move(loaded));
  }
  const auto bytes_of = [&](std::size_t i) -> Result<ByteSpan> {
    // A tensor without elements reads no storage, and a copy in C order has another: what verify() looks at is this
    // one.
    Result<ByteSpan> stored = chunks[i].stored.bytes();
    note(chunks[i].stored.integrity());
    if (!stored) return stored;
    return chunks[i].dense.bytes();
  };
  if (chunks.size() == 1) {
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, bytes_of(0));
    if (bytes.empty() || reinterpret_cast<std::uintptr_t>(bytes.data()) % kAlignment == 0) {
      chunk_ = std::move(chunks[0].dense);
      return bytes;
    }
  }
  RUSHLIGHT_TRY_ASSIGN(whole_, make_host_memory(size_bytes_));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> target, whole_->mutable_bytes());
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, bytes_of(i));
    place_chunk(entry_, entry_.chunks[i], bytes, target);
  }
  return ByteSpan(target);
}

}  // namespace rushlight::open
