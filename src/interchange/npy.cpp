#include "rushlight/npy.hpp"

#include <limits>
#include <utility>

#include "base/bytes.hpp"
#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "interchange/npy_layout.hpp"
#include "interchange/tensor_output.hpp"
#include "interchange/write_checked.hpp"
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

Status write_array(const interchange::NpyArray& array, Sink& sink, Progress* progress) {
  RUSHLIGHT_TRY_ASSIGN(ElementStream elements, interchange::elements_of(array.elements));
  interchange::TensorOutput output(sink, progress, array.elements.size_bytes());
  RUSHLIGHT_TRY(output.write(as_byte_span(array.header)));
  return output.write_elements(std::move(elements));
}

}  // namespace

Result<Tensor> read_npy(std::shared_ptr<const Source> source, const Limits& limits) {
  return or_no_memory([&]() -> Result<Tensor> {
    Result<Tensor> array = read_array(*source, limits);
    if (!array) return with_file(std::move(array).error(), source->name());
    return array;
  });
}

Result<Tensor> read_npy(const std::filesystem::path& path, const Limits& limits) {
  return or_no_memory([&]() -> Result<Tensor> {
    // Read once from end to end: a mapping would gain nothing and could be truncated under us.
    RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<const Source> source, open_file(path, FileAccess::pread));
    return read_npy(std::move(source), limits);
  });
}

Status write_npy(const Tensor& tensor, Sink& sink, const NpyOptions& options) {
  return or_no_memory([&]() -> Status {
    RUSHLIGHT_TRY_ASSIGN(const interchange::NpyArray array, interchange::lay_out_npy(tensor));
    return write_array(array, sink, options.progress);
  });
}

Result<std::uint64_t> interchange::write_npy_checked(const Tensor& tensor, const std::filesystem::path& path,
                                                     const NpyOptions& options, const io::AtomicFile::Check& check) {
  RUSHLIGHT_TRY_ASSIGN(const interchange::NpyArray array, interchange::lay_out_npy(tensor));
  const std::uint64_t size_bytes = checked_add<std::uint64_t>(array.header.size(), array.elements.size_bytes())
                                       .value_or(std::numeric_limits<std::uint64_t>::max());
  return interchange::write_file(
      path, size_bytes, {.overwrite = options.overwrite},
      [&](Sink& sink) { return write_array(array, sink, options.progress); }, check);
}

Status write_npy(const Tensor& tensor, const std::filesystem::path& path, const NpyOptions& options) {
  return or_no_memory([&]() -> Status {
    RUSHLIGHT_TRY(interchange::write_npy_checked(tensor, path, options));
    return {};
  });
}

}  // namespace rushlight
