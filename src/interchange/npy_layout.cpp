#include "interchange/npy_layout.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "interchange/npy_header.hpp"
#include "tensor/layout.hpp"
#include "tensor/meta.hpp"

namespace rushlight::interchange {
namespace {

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
  RUSHLIGHT_TRY_ASSIGN(NpyHeader header, parse_npy_header(text, offset, limits));
  return Located{std::move(header), offset + length};
}

}  // namespace

Result<NpyLayout> read_npy_layout(const Source& source, const Limits& limits) {
  RUSHLIGHT_TRY_ASSIGN(Located located, read_header(source, limits));
  auto& [header, offset] = located;
  Result<std::int64_t> counted = checked_numel(header.shape);
  if (!counted) {
    counted.error().finding.offset = 0;
    return std::move(counted).error();
  }
  const auto numel = static_cast<std::uint64_t>(*counted);
  const std::uint64_t left = source.size_bytes() - offset;
  const std::uint64_t width = size_bytes(header.dtype);
  // The bytes that are there bound the memory that is asked for.
  if (numel > left / width) {
    return truncated(offset, "an array of " + shape_text(header.shape) + " " + std::string(to_string(header.dtype)) +
                                 " does not fit the " + std::to_string(left) + " bytes behind the header");
  }
  const std::uint64_t needed = numel * width;
  if (left != needed) {
    return Error::of({.category = Category::ambig,
                      .code = "NPY-TRAILING",
                      .message = std::to_string(left - needed) + " bytes follow the array",
                      .offset = offset + needed,
                      .found = std::to_string(left),
                      .expected = std::to_string(needed)});
  }
  Strides strides(header.shape.size());
  if (header.fortran_order) {
    const Shape reversed(header.shape.rbegin(), header.shape.rend());
    fill_contiguous_strides(reversed, strides);
    std::reverse(strides.begin(), strides.end());
  } else {
    fill_contiguous_strides(header.shape, strides);
  }
  return NpyLayout{header.dtype, header.big_endian, std::move(header.shape), std::move(strides), offset, needed};
}

Result<NpyArray> lay_out_npy(const Tensor& tensor) {
  if (is_meta(tensor)) {
    return Error::of({.category = Category::unsup,
                      .code = "TENSOR-META",
                      .message = "on the meta device it has a shape and no data"});
  }
  const std::span<const std::int64_t> shape = tensor.shape();
  const Shape reversed(shape.rbegin(), shape.rend());
  const Strides strides(tensor.strides().rbegin(), tensor.strides().rend());
  const bool fortran_order = !tensor.is_contiguous() && is_contiguous(reversed, strides);
  RUSHLIGHT_TRY_ASSIGN(std::string header, format_npy_header(tensor.dtype(), shape, fortran_order));
  if (!fortran_order) return NpyArray{std::move(header), tensor};
  RUSHLIGHT_TRY_ASSIGN(Tensor elements, Tensor::view(tensor.storage(), tensor.dtype(), reversed, strides,
                                                     tensor.storage_offset(), tensor.options()));
  return NpyArray{std::move(header), std::move(elements)};
}

}  // namespace rushlight::interchange
