#include "rushlight/npy.hpp"

#include <memory>
#include <string>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "interchange/npy_header.hpp"
#include "interchange/npy_layout.hpp"
#include "io/atomic_file.hpp"
#include "tensor/byte_order.hpp"
#include "tensor/memory.hpp"

namespace rushlight {
namespace {

Result<Tensor> read_array(const Source& source, const Limits& limits) {
  RUSHLIGHT_TRY_ASSIGN(interchange::NpyLayout layout, interchange::read_npy_layout(source, limits));
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> memory, make_host_memory(layout.data_bytes));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> out, memory->mutable_bytes());
  RUSHLIGHT_TRY(source.read_at(layout.data_offset, out));
  if (layout.big_endian) swap_units(out, swap_unit(layout.dtype));
  return Tensor::view(Storage(std::move(memory)), layout.dtype, std::move(layout.shape), std::move(layout.strides), 0);
}

}  // namespace

Result<Tensor> read_npy(std::shared_ptr<const Source> source, const Limits& limits) {
  Result<Tensor> array = read_array(*source, limits);
  if (!array) return with_file(std::move(array).error(), source->name());
  return array;
}

Result<Tensor> read_npy(const std::filesystem::path& path, const Limits& limits) {
  // Read once from end to end: a mapping would gain nothing and could be truncated under us.
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<const Source> source, open_file(path, FileAccess::pread));
  return read_npy(std::move(source), limits);
}

Status write_npy(const Tensor& tensor, const std::filesystem::path& path, Progress* progress) {
  RUSHLIGHT_TRY_ASSIGN(const std::string header, interchange::format_npy_header(tensor.dtype(), tensor.shape()));
  RUSHLIGHT_TRY_ASSIGN(const Tensor on_host, tensor.to(Device::cpu()));
  RUSHLIGHT_TRY_ASSIGN(Tensor dense, on_host.contiguous());
  if (tensor.dtype() == DType::boolean) {
    // torch lets any byte but 0 mean true; NumPy only knows 0 and 1.
    RUSHLIGHT_TRY_ASSIGN(const Tensor view,
                         Tensor::view(dense.storage(), DType::u8, Shape(dense.shape().begin(), dense.shape().end()),
                                      Strides(dense.strides().begin(), dense.strides().end()), dense.storage_offset()));
    RUSHLIGHT_TRY_ASSIGN(dense, view.to(DType::boolean));
  }
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> elements, dense.bytes());
  RUSHLIGHT_TRY_ASSIGN(const std::unique_ptr<io::AtomicFile> file,
                       io::AtomicFile::create(path, header.size() + elements.size(), {.progress = progress}));
  RUSHLIGHT_TRY(file->write(as_byte_span(header)));
  RUSHLIGHT_TRY(file->write(elements));
  return file->commit();
}

}  // namespace rushlight
