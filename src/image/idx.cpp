// IDX files, as yann.lecun.com/exdb/mnist describes them: two zero bytes, the type of the elements, the number of
// dimensions, each size as a big-endian 32-bit number, then the elements in C order.
#include <cstdint>
#include <string>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "image/file_bytes.hpp"
#include "rushlight/image.hpp"

namespace rushlight {
namespace {

constexpr std::uint8_t kUnsignedByte = 0x08;

std::string_view type_name(std::uint8_t type) noexcept {
  switch (type) {
    case 0x09:
      return "int8";
    case 0x0B:
      return "int16";
    case 0x0C:
      return "int32";
    case 0x0D:
      return "float32";
    case 0x0E:
      return "float64";
    default:
      return {};
  }
}

}  // namespace

Result<Tensor> read_idx(const std::filesystem::path& path, const Limits& limits) {
  RUSHLIGHT_TRY_ASSIGN(const image::FileBytes file, image::map_file(path));
  ByteReader reader(file.bytes);
  const auto truncated = [&] {
    return image::damaged(file, ErrorCode::truncated, "IDX-TRUNCATED",
                          "the IDX header ends early, the file has " + std::to_string(file.bytes.size()) + " bytes");
  };

  const std::optional<ByteSpan> magic = reader.read_bytes(4);
  if (!magic) return truncated();
  const auto byte = [&](std::size_t i) { return std::to_integer<std::uint8_t>((*magic)[i]); };
  if (byte(0) == 0x1F && byte(1) == 0x8B) {
    return image::damaged(file, ErrorCode::unsupported, "IDX-GZIP", "the file is compressed with gzip",
                          "gunzip it first");
  }
  const std::string_view other = type_name(byte(2));
  if (byte(0) != 0 || byte(1) != 0 || (byte(2) != kUnsignedByte && other.empty())) {
    return image::damaged(file, ErrorCode::not_a_checkpoint, "IDX-MAGIC",
                          "no IDX file: it begins with " + hex8(byte_swapped(load_le<std::uint32_t>(magic->data()))) +
                              ", expected 000008 and the number of dimensions");
  }
  if (byte(2) != kUnsignedByte) {
    return image::damaged(file, ErrorCode::unsupported, "IDX-TYPE",
                          "IDX elements of type " + std::string(other) + " are not built, only uint8");
  }
  const std::size_t dims = byte(3);
  if (dims == 0 || dims > limits.tensor_dims) {
    return image::damaged(file, ErrorCode::limit_exceeded, "LIMIT-TENSOR-DIMS",
                          "the IDX file claims " + std::to_string(dims) + " dimensions, expected 1 to " +
                              std::to_string(limits.tensor_dims));
  }
  Shape shape;
  std::optional<std::uint64_t> elements = 1;
  for (std::size_t i = 0; i < dims; ++i) {
    const std::optional<std::uint32_t> size = reader.read<std::uint32_t>();
    if (!size) return truncated();
    shape.push_back(byte_swapped(*size));
    if (elements) elements = checked_mul(*elements, static_cast<std::uint64_t>(shape.back()));
  }
  if (!elements || *elements != reader.bytes_left()) {
    const std::string expected = elements ? std::to_string(*elements) : "more than 64 bits count";
    const bool cut = !elements || *elements > reader.bytes_left();
    Error error =
        image::damaged(file, cut ? ErrorCode::truncated : ErrorCode::corrupt, cut ? "IDX-TRUNCATED" : "IDX-SIZE",
                       "the IDX elements have " + std::to_string(reader.bytes_left()) + " bytes, expected " + expected);
    error.finding.offset = reader.position();
    return error;
  }
  return Tensor::from_bytes(file.bytes.subspan(reader.position()), DType::u8, std::move(shape));
}

}  // namespace rushlight
