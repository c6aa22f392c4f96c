// The indices of sparse and nested tensors, checked, and the strided tensors that sparse ones stand for.
// Sources: at::_validate_sparse_coo_tensor_args, at::_validate_sparse_compressed_tensor_args
// (aten/src/ATen/native/sparse).
#include <algorithm>
#include <array>
#include <complex>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/float_codes.hpp"
#include "base/no_memory.hpp"
#include "rushlight/limits.hpp"
#include "tensor/composite_impl.hpp"
#include "tensor/layout.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight {
namespace {

Error wrong_index(std::string_view part, std::size_t position, std::int64_t found, std::string expected) {
  return Error::of({.category = Category::tensor,
                    .code = "TENSOR-SPARSE-INDEX",
                    .message = std::string(part) + " " + std::to_string(position) + ", expected " + expected +
                               ", found " + std::to_string(found),
                    .found = std::to_string(found),
                    .expected = std::move(expected)});
}

Result<std::vector<std::int64_t>> read_indices(const Tensor& tensor) {
  // Indices that repeat a few bytes for terabytes are no tensor that a program would have made.
  RUSHLIGHT_TRY_ASSIGN(const Tensor dense,
                       tensor.contiguous(Limits{}.materialised_bytes + 2 * tensor.storage().size_bytes()));
  RUSHLIGHT_TRY_ASSIGN(const Tensor wide, dense.to(DType::i64));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::int64_t> values, wide.values<std::int64_t>());
  return std::vector<std::int64_t>(values.begin(), values.end());
}

// The facts about a compressed tensor that both the check and the conversion need. A batch is one matrix.
struct Compressed {
  bool by_rows = true;
  std::size_t batch_dim = 0;
  std::int64_t batches = 1;
  std::int64_t lines = 0;  // compressed rows or columns, of blocks
  std::int64_t across = 0;
  std::array<std::int64_t, 2> block = {1, 1};  // rows, columns
  std::vector<std::int64_t> pointers;          // batches x (lines + 1)
  std::vector<std::int64_t> places;            // batches x nnz
};

Result<Compressed> read_compressed(const CompositeTensor& tensor) {
  const auto parts = tensor.components();
  const Shape& shape = tensor.shape();
  Compressed read;
  read.by_rows = tensor.layout() == Layout::sparse_csr || tensor.layout() == Layout::sparse_bsr;
  const bool blocks = tensor.layout() == Layout::sparse_bsr || tensor.layout() == Layout::sparse_bsc;
  read.batch_dim = static_cast<std::size_t>(parts[0].second.dim() - 1);
  for (std::size_t i = 0; i < read.batch_dim; ++i) read.batches *= shape[i];
  if (blocks) read.block = {parts[2].second.shape()[read.batch_dim + 1], parts[2].second.shape()[read.batch_dim + 2]};
  const std::int64_t rows = shape[read.batch_dim] / read.block[0];
  const std::int64_t columns = shape[read.batch_dim + 1] / read.block[1];
  read.lines = read.by_rows ? rows : columns;
  read.across = read.by_rows ? columns : rows;
  RUSHLIGHT_TRY_ASSIGN(read.pointers, read_indices(parts[0].second));
  RUSHLIGHT_TRY_ASSIGN(read.places, read_indices(parts[1].second));
  return read;
}

Status check_compressed(const CompositeTensor& tensor, const Compressed& read) {
  const std::string_view pointer_name = tensor.components()[0].first;
  const std::string_view place_name = tensor.components()[1].first;
  const auto lines = static_cast<std::size_t>(read.lines);
  const auto nnz = static_cast<std::size_t>(tensor.nnz());
  for (std::size_t batch = 0; batch < static_cast<std::size_t>(read.batches); ++batch) {
    const std::int64_t* pointers = read.pointers.data() + batch * (lines + 1);
    const std::int64_t* places = read.places.data() + batch * nnz;
    if (pointers[0] != 0) return wrong_index(pointer_name, batch * (lines + 1), pointers[0], "0");
    for (std::size_t i = 0; i < lines; ++i) {
      const std::size_t position = batch * (lines + 1) + i + 1;
      const std::int64_t count = pointers[i + 1] - pointers[i];  // both lie in [0, nnz]: no overflow
      if (pointers[i + 1] < pointers[i] || pointers[i + 1] > tensor.nnz()) {
        return wrong_index(pointer_name, position, pointers[i + 1],
                           "from " + std::to_string(pointers[i]) + " to " + std::to_string(tensor.nnz()));
      }
      for (std::int64_t k = 0; k < count; ++k) {
        const auto at = static_cast<std::size_t>(pointers[i] + k);
        const std::int64_t least = k == 0 ? 0 : places[at - 1] + 1;  // sorted, and no place twice
        if (places[at] < least || places[at] >= read.across) {
          return wrong_index(place_name, batch * nnz + at, places[at],
                             "from " + std::to_string(least) + " to " + std::to_string(read.across - 1));
        }
      }
    }
    if (pointers[lines] != tensor.nnz()) {
      return wrong_index(pointer_name, batch * (lines + 1) + lines, pointers[lines], std::to_string(tensor.nnz()));
    }
  }
  return {};
}

Status check_coo(const CompositeTensor& tensor, const std::vector<std::int64_t>& indices) {
  const auto nnz = static_cast<std::size_t>(tensor.nnz());
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const std::int64_t size = tensor.shape()[i / nnz];
    if (indices[i] < 0 || indices[i] >= size) {
      return wrong_index("indices", i, indices[i], "from 0 to " + std::to_string(size - 1));
    }
  }
  return {};
}

// Each row of the tables is a strided view on the buffer.
Status check_strided(const CompositeTensor& tensor) {
  const auto parts = tensor.components();
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::int64_t> sizes, read_indices(parts[1].second));
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::int64_t> strides, read_indices(parts[2].second));
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::int64_t> offsets, read_indices(parts[3].second));
  if (sizes.empty()) return {};
  const auto width = static_cast<std::size_t>(parts[1].second.shape()[1]);
  const std::uint64_t buffer_bytes = parts[0].second.size_bytes();
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const Result<Extent> extent =
        check_geometry(tensor.dtype(), std::span(sizes).subspan(i * width, width),
                       std::span(strides).subspan(i * width, width), offsets[i], buffer_bytes);
    if (extent) continue;
    Error error = extent.error();
    error.finding.message = "tensor " + std::to_string(i) + " of the nested one: " + error.finding.message;
    return error;
  }
  return {};
}

Status check_jagged(const CompositeTensor& tensor) {
  const auto parts = tensor.components();
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::int64_t> offsets, read_indices(parts[1].second));
  const std::int64_t end = parts[0].second.shape()[static_cast<std::size_t>(tensor.ragged_dim() - 1)];
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const std::int64_t least = i == 0 ? 0 : offsets[i - 1];
    if (offsets[i] < least || offsets[i] > end) {
      return wrong_index("offsets", i, offsets[i], "from " + std::to_string(least) + " to " + std::to_string(end));
    }
  }
  if (parts.size() < 3) return {};
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::int64_t> lengths, read_indices(parts[2].second));
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const std::int64_t room = i + 1 < offsets.size() ? offsets[i + 1] - offsets[i] : 0;
    if (lengths[i] < 0 || lengths[i] > room) {
      return wrong_index("lengths", i, lengths[i], "from 0 to " + std::to_string(room));
    }
  }
  return {};
}

template <class T>
void add_as(std::byte* to, const std::byte* from) {
  T a{};
  T b{};
  std::memcpy(&a, to, sizeof(T));
  std::memcpy(&b, from, sizeof(T));
  if constexpr (std::is_unsigned_v<T>) {
    a = static_cast<T>(a + b);
  } else {
    a += b;
  }
  std::memcpy(to, &a, sizeof(T));
}

// One value onto another. Integers wrap, as torch's do; signed ones are added as unsigned.
using Add = void (*)(std::byte* to, const std::byte* from);
std::optional<Add> adder(DType dtype) noexcept {
  switch (dtype) {
    case DType::boolean:
      return
          [](std::byte* to, const std::byte* from) { *to = std::byte{*to != std::byte{0} || *from != std::byte{0}}; };
    case DType::u8:
    case DType::i8:
      return add_as<std::uint8_t>;
    case DType::u16:
    case DType::i16:
      return add_as<std::uint16_t>;
    case DType::u32:
    case DType::i32:
      return add_as<std::uint32_t>;
    case DType::u64:
    case DType::i64:
      return add_as<std::uint64_t>;
    case DType::f32:
      return add_as<float>;
    case DType::f64:
      return add_as<double>;
    case DType::c64:
      return add_as<std::complex<float>>;
    case DType::c128:
      return add_as<std::complex<double>>;
    case DType::f16:
      return [](std::byte* to, const std::byte* from) {
        store_le(to, f32_to_f16(f16_to_f32(load_le<std::uint16_t>(to)) + f16_to_f32(load_le<std::uint16_t>(from))));
      };
    case DType::bf16:
      return [](std::byte* to, const std::byte* from) {
        store_le(to, f32_to_bf16(bf16_to_f32(load_le<std::uint16_t>(to)) + bf16_to_f32(load_le<std::uint16_t>(from))));
      };
    default:
      return std::nullopt;
  }
}

std::int64_t product(std::span<const std::int64_t> sizes) noexcept {
  std::int64_t all = 1;
  for (const std::int64_t size : sizes) all *= size;
  return all;
}

}  // namespace

Status CompositeTensor::check_indices() const {
  return or_no_memory([&]() -> Status {
    switch (layout()) {
      case Layout::sparse_coo: {
        RUSHLIGHT_TRY_ASSIGN(const std::vector<std::int64_t> indices, read_indices(components()[0].second));
        return check_coo(*this, indices);
      }
      case Layout::strided:
        return check_strided(*this);
      case Layout::jagged:
        return check_jagged(*this);
      default: {
        RUSHLIGHT_TRY_ASSIGN(const Compressed read, read_compressed(*this));
        return check_compressed(*this, read);
      }
    }
  });
}

Result<Tensor> CompositeTensor::to_dense(std::uint64_t max_bytes) const {
  return or_no_memory([&]() -> Result<Tensor> {
    const std::optional<Add> add = adder(dtype());
    if (!is_sparse() || !add) {
      return Error::of({.category = Category::unsup,
                        .code = "TENSOR-DENSE",
                        .message = "there is no strided tensor for a " + std::string(rushlight::to_string(layout())) +
                                   " tensor of " + std::string(rushlight::to_string(dtype()))});
    }
    RUSHLIGHT_TRY_ASSIGN(const std::int64_t numel, checked_numel(shape()));
    const std::uint64_t width = size_bytes(dtype());
    const std::optional<std::uint64_t> needed = checked_mul(static_cast<std::uint64_t>(numel), width);
    if (!needed || *needed > max_bytes) {
      return Error::of({.category = Category::limit,
                        .code = "TENSOR-MATERIALISE",
                        .message = "a strided tensor of " + shape_text(shape()) + " takes more than " +
                                   std::to_string(max_bytes) + " bytes",
                        .expected = "at most " + std::to_string(max_bytes)});
    }
    const Tensor& stored = components().back().second;
    RUSHLIGHT_TRY_ASSIGN(const Tensor values, stored.contiguous(max_bytes));
    RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> from, values.bytes());
    RUSHLIGHT_TRY_ASSIGN(Tensor dense, Tensor::zeros(dtype(), shape()));
    RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> to, dense.mutable_bytes());
    const auto put = [&](std::int64_t target, std::int64_t source, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) {
        (*add)(to.data() + static_cast<std::uint64_t>(target + i) * width,
               from.data() + static_cast<std::uint64_t>(source + i) * width);
      }
    };
    if (layout() == Layout::sparse_coo) {
      RUSHLIGHT_TRY_ASSIGN(const std::vector<std::int64_t> indices, read_indices(components()[0].second));
      RUSHLIGHT_TRY(check_coo(*this, indices));
      const auto sparse_dim = static_cast<std::size_t>(components()[0].second.shape()[0]);
      const std::int64_t inner = product(std::span(shape()).subspan(sparse_dim));
      for (std::int64_t k = 0; k < nnz(); ++k) {
        std::int64_t target = 0;
        for (std::size_t d = 0; d < sparse_dim; ++d) {
          target = target * shape()[d] + indices[d * static_cast<std::size_t>(nnz()) + static_cast<std::size_t>(k)];
        }
        put(target * inner, k * inner, inner);
      }
      return dense;
    }
    RUSHLIGHT_TRY_ASSIGN(const Compressed read, read_compressed(*this));
    RUSHLIGHT_TRY(check_compressed(*this, read));
    const std::int64_t inner = product(std::span(shape()).subspan(read.batch_dim + 2));
    const std::int64_t columns = shape()[read.batch_dim + 1];
    const std::int64_t matrix = shape()[read.batch_dim] * columns;
    for (std::int64_t batch = 0; batch < read.batches; ++batch) {
      for (std::int64_t line = 0; line < read.lines; ++line) {
        const auto at = static_cast<std::size_t>(batch * (read.lines + 1) + line);
        for (std::int64_t k = read.pointers[at]; k < read.pointers[at + 1]; ++k) {
          const std::int64_t place = read.places[static_cast<std::size_t>(batch * nnz() + k)];
          const std::int64_t row = (read.by_rows ? line : place) * read.block[0];
          const std::int64_t column = (read.by_rows ? place : line) * read.block[1];
          for (std::int64_t r = 0; r < read.block[0]; ++r) {
            const std::int64_t target = batch * matrix + (row + r) * columns + column;
            const std::int64_t source = ((batch * nnz() + k) * read.block[0] + r) * read.block[1];
            put(target * inner, source * inner, read.block[1] * inner);
          }
        }
      }
    }
    return dense;
  });
}

}  // namespace rushlight
