#include "rushlight/npy.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "interchange/npy_header.hpp"
#include "io/atomic_file.hpp"
#include "tensor/layout.hpp"
#include "tensor/memory.hpp"

namespace rushlight {
namespace {

using interchange::kNpyMagic;
using interchange::NpyHeader;

// numpy.load itself refuses more than 10,000 unless told otherwise; structured dtypes, which need it, are not read.
constexpr std::uint64_t kMaxHeaderBytes = 65535;

Error truncated(std::uint64_t offset, std::string message) {
  return Error::of(
      {.category = Category::trunc, .code = "NPY-TRUNCATED", .message = std::move(message), .offset = offset});
}

struct Located {
  NpyHeader header;
  std::uint64_t data_offset;
};

Result<Located> read_header(const Source& source, const Limits& limits) {
  const std::uint64_t size = source.size_bytes();
  std::array<std::byte, 12> start{};
  const std::size_t have = static_cast<std::size_t>(std::min<std::uint64_t>(size, start.size()));
  RUSHLIGHT_TRY(source.read_at(0, std::span(start).first(have)));
  const std::string_view begin = as_text(std::span(start).first(have));
  if (have == 0 || !begin.starts_with(kNpyMagic.substr(0, have))) {
    return Error::of({.category = Category::kind,
                      .code = "NPY-MAGIC",
                      .message = have == 0 ? "the file is empty, expected a NumPy array"
                                           : "no NumPy array: the file does not begin with '\\x93NUMPY'",
                      .offset = 0});
  }
  if (have < 10) return truncated(size, "the file ends within the header's first 10 bytes");
  const auto major = std::to_integer<unsigned>(start[6]);
  const auto minor = std::to_integer<unsigned>(start[7]);
  if (major < 1 || major > 3 || minor != 0) {
    const std::string version = std::to_string(major) + "." + std::to_string(minor);
    return Error::of({.category = Category::unsup,
                      .code = "NPY-VERSION",
                      .message = "version " + version + " of the .npy format, expected 1.0, 2.0 or 3.0",
                      .offset = 6,
                      .found = version,
                      .expected = "1.0, 2.0 or 3.0"});
  }
  if (major > 1 && have < 12) return truncated(size, "the file ends within the header's first 12 bytes");
  const std::uint64_t offset = major == 1 ? 10 : 12;
  const std::uint64_t length =
      major == 1 ? load_le<std::uint16_t>(start.data() + 8) : load_le<std::uint32_t>(start.data() + 8);
  if (length > kMaxHeaderBytes) {
    return Error::of({.category = Category::limit,
                      .code = "NPY-HEADER-SIZE",
                      .message = "the header takes " + std::to_string(length) + " bytes, expected at most " +
                                 std::to_string(kMaxHeaderBytes),
                      .offset = 8,
                      .found = std::to_string(length),
                      .expected = "at most " + std::to_string(kMaxHeaderBytes)});
  }
  if (length > size - offset) {
    return truncated(8, "the header takes " + std::to_string(length) + " bytes, " + std::to_string(size - offset) +
                            " are left in the file");
  }
  std::string text(static_cast<std::size_t>(length), '\0');
  RUSHLIGHT_TRY(source.read_at(offset, std::as_writable_bytes(std::span(text))));
  RUSHLIGHT_TRY_ASSIGN(NpyHeader header, interchange::parse_npy_header(text, offset, limits));
  return Located{std::move(header), offset + length};
}

template <class Word>
void swap_words(std::span<std::byte> bytes) noexcept {
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(Word)) {
    Word word;
    std::memcpy(&word, bytes.data() + i, sizeof word);
    word = byte_swapped(word);
    std::memcpy(bytes.data() + i, &word, sizeof word);
  }
}

// Each half of a complex number is swapped by itself.
void swap_elements(std::span<std::byte> bytes, DType dtype) noexcept {
  const std::uint32_t width = info(dtype).kind == DTypeKind::complex ? size_bytes(dtype) / 2 : size_bytes(dtype);
  if (width == 2) swap_words<std::uint16_t>(bytes);
  if (width == 4) swap_words<std::uint32_t>(bytes);
  if (width == 8) swap_words<std::uint64_t>(bytes);
}

Result<Tensor> read_array(const Source& source, const Limits& limits) {
  RUSHLIGHT_TRY_ASSIGN(Located located, read_header(source, limits));
  const auto& [header, offset] = located;
  Result<std::int64_t> counted = checked_numel(header.shape);
  if (!counted) {
    counted.error().finding.offset = 0;
    return std::move(counted).error();
  }
  const std::int64_t numel = *counted;
  const std::uint64_t left = source.size_bytes() - offset;
  const std::uint64_t width = size_bytes(header.dtype);
  // The bytes that are there bound the memory that is asked for.
  if (static_cast<std::uint64_t>(numel) > left / width) {
    return truncated(offset, "an array of " + shape_text(header.shape) + " " + std::string(to_string(header.dtype)) +
                                 " does not fit the " + std::to_string(left) + " bytes behind the header");
  }
  const std::uint64_t needed = static_cast<std::uint64_t>(numel) * width;
  if (left != needed) {
    return Error::of({.category = Category::ambig,
                      .code = "NPY-TRAILING",
                      .message = std::to_string(left - needed) + " bytes follow the array",
                      .offset = offset + needed,
                      .found = std::to_string(left),
                      .expected = std::to_string(needed)});
  }
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> memory, make_host_memory(needed));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> out, memory->mutable_bytes());
  RUSHLIGHT_TRY(source.read_at(offset, out));
  if (header.big_endian) swap_elements(out, header.dtype);

  Strides strides(header.shape.size());
  if (header.fortran_order) {
    Shape reversed(header.shape.rbegin(), header.shape.rend());
    fill_contiguous_strides(reversed, strides);
    std::reverse(strides.begin(), strides.end());
  } else {
    fill_contiguous_strides(header.shape, strides);
  }
  return Tensor::view(Storage(std::move(memory)), header.dtype, header.shape, std::move(strides), 0);
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

Status write_npy(const Tensor& tensor, const std::filesystem::path& path) {
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
  const std::array<ByteSpan, 2> pieces = {as_byte_span(header), elements};
  return io::write_file_atomically(path, pieces);
}

}  // namespace rushlight
