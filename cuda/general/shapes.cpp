// Elements that only change their places.
#include <algorithm>
#include <cstring>

#include "cuda/general/maker.hpp"

namespace rushlight::cuda {
namespace {

int word_of(DType dtype) noexcept {
  return static_cast<int>(size_bytes(dtype));
}
bool is_word(DType dtype) noexcept {
  const std::size_t bytes = size_bytes(dtype);
  return bytes == 1 || bytes == 4 || bytes == 8;
}

// From an input of the shape of `to`, which begins so many elements behind the output's first one.
bool add_copy(GeneralMaker& maker, std::size_t i, const runtime::Operand& to, std::int64_t offset) {
  const runtime::Operand& from = maker.input(i);
  if (from.elements() == 0) return true;
  MoveArguments a;
  a.yes = maker.input_at(i);
  a.output = maker.output_at() + offset * static_cast<std::int64_t>(size_bytes(to.dtype));
  a.word_bytes = word_of(to.dtype);
  const Strides none(from.shape.size(), 0);
  const auto shape = strided<4>(from.shape, {to.strides, from.strides, none, none});
  if (!shape) return false;
  a.shape = *shape;
  maker.add(a);
  return true;
}

bool add_cat(GeneralMaker& maker, std::int64_t dim_in) {
  const runtime::Operand& to = maker.output();
  const auto rank = static_cast<std::int64_t>(to.shape.size());
  const auto dim = static_cast<std::size_t>(dim_in < 0 ? dim_in + rank : dim_in);
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < maker.input_count(); ++i) {
    if (!add_copy(maker, i, to, offset)) return false;
    offset += maker.input(i).shape[dim] * to.strides[dim];
  }
  return true;
}

bool add_where(GeneralMaker& maker) {
  const runtime::Operand& output = maker.output();
  if (maker.input(0).dtype != DType::boolean) return false;
  MoveArguments a;
  a.mask = reinterpret_cast<const std::uint8_t*>(maker.input_at(0));
  a.yes = maker.input_at(1);
  a.no = maker.input_at(2);
  a.output = maker.output_at();
  a.word_bytes = word_of(output.dtype);
  const auto shape = strided<4>(
      output.shape, {output.strides, broadcast_strides(maker.input(1), output.shape),
                     broadcast_strides(maker.input(2), output.shape), broadcast_strides(maker.input(0), output.shape)});
  if (!shape) return false;
  a.shape = *shape;
  maker.add(a);
  return true;
}

// A number that no integer holds means nothing there, as on the CPU.
std::uint64_t fill_word(DType dtype, double value) noexcept {
  std::uint64_t word = 0;
  const bool fits = value > -9e18 && value < 9e18;
  const std::int64_t whole = fits ? static_cast<std::int64_t>(value) : 0;
  const auto copy = [&word](auto number) { std::memcpy(&word, &number, sizeof(number)); };
  if (dtype == DType::f32) copy(static_cast<float>(value));
  if (dtype == DType::i64) copy(whole);
  if (dtype == DType::i32) copy(static_cast<std::int32_t>(whole));
  if (dtype == DType::boolean) copy(static_cast<std::uint8_t>(value != 0));
  return word;
}

// What a dimension of the output shows of the input's.
struct Shown {
  std::int64_t before = 0;  // places in front of the first; negative: the first ones are not shown
  std::int64_t first = 0;   // of the input
  std::int64_t size = 0;    // places of the input that are shown
};

// One Shown for each dimension. The dimension that lies densest in the output comes last.
bool add_pad(GeneralMaker& maker, Beyond beyond, double value, const std::vector<Shown>& shown) {
  const runtime::Operand& from = maker.input();
  const runtime::Operand& to = maker.output();
  const std::size_t rank = to.shape.size();
  if (rank > static_cast<std::size_t>(kStridedDims)) return false;
  PadArguments a;
  a.input = maker.input_at();
  a.output = maker.output_at();
  a.word_bytes = word_of(to.dtype);
  a.beyond = beyond;
  a.fill = fill_word(to.dtype, value);
  a.elements = to.elements();
  a.dims = static_cast<std::int32_t>(rank);
  std::vector<bool> taken(rank, false);
  for (std::size_t place = 0; place < rank; ++place) {
    std::size_t d = rank;
    for (std::size_t candidate = 0; candidate < rank; ++candidate) {
      if (!taken[candidate] && (d == rank || to.strides[candidate] > to.strides[d])) d = candidate;
    }
    taken[d] = true;
    a.sizes[place] = Divisor64(to.shape[d]);
    a.output_strides[place] = to.strides[d];
    a.input_strides[place] = from.strides[d];
    a.before[place] = shown[d].before;
    a.first[place] = shown[d].first;
    a.size[place] = shown[d].size;
  }
  maker.add(a);
  return true;
}

Beyond beyond_of(PadMode mode) noexcept {
  switch (mode) {
    case PadMode::constant:
      return Beyond::fill;
    case PadMode::replicate:
      return Beyond::replicate;
    case PadMode::reflect:
      return Beyond::reflect;
    case PadMode::circular:
      return Beyond::circular;
  }
  return Beyond::fill;
}

// Negative amounts crop. Circular padding repeats what is left, the other modes look at the whole dimension.
bool add_pad(GeneralMaker& maker, const Pad& op) {
  const runtime::Operand& from = maker.input();
  const std::size_t rank = from.shape.size();
  std::vector<Shown> shown(rank);
  for (std::size_t d = 0; d < rank; ++d) {
    const std::size_t pair = 2 * (rank - 1 - d);
    const std::int64_t before = pair < op.pad.size() ? op.pad[pair] : 0;
    const std::int64_t after = pair < op.pad.size() ? op.pad[pair + 1] : 0;
    shown[d] = {before, 0, from.shape[d]};
    if (op.mode != PadMode::circular) continue;
    const std::int64_t cropped = std::max<std::int64_t>(-before, 0);
    shown[d] = {std::max<std::int64_t>(before, 0), cropped,
                from.shape[d] - cropped - std::max<std::int64_t>(-after, 0)};
  }
  return add_pad(maker, beyond_of(op.mode), op.value, shown);
}

// Over the flattened tensor: a copy in C order is rolled, and copied to where the output has it.
bool add_flat_roll(GeneralMaker& maker, std::int64_t shift_in) {
  const runtime::Operand& from = maker.input();
  const runtime::Operand& to = maker.output();
  const std::int64_t count = from.elements();
  const std::int64_t shift = shift_in % count;
  const auto bytes = static_cast<std::int64_t>(size_bytes(to.dtype));
  const auto memory = [&] {
    constexpr auto kWord = static_cast<std::int64_t>(sizeof(float));
    return maker.scratch((count * bytes + kWord - 1) / kWord);
  };
  float* const flat = memory();
  float* const rolled = memory();
  Strides dense(from.shape.size(), 1);
  for (std::size_t d = dense.size(); d-- > 1;) dense[d - 1] = dense[d] * from.shape[d];
  const Strides none(from.shape.size(), 0);
  MoveArguments move;
  move.word_bytes = word_of(to.dtype);
  const auto in = strided<4>(from.shape, {dense, from.strides, none, none});
  const auto out = strided<4>(from.shape, {to.strides, dense, none, none});
  if (!in || !out) return false;
  move.yes = maker.input_at();
  move.output = flat;
  move.shape = *in;
  maker.add(move);
  PadArguments roll;
  roll.input = flat;
  roll.output = rolled;
  roll.word_bytes = word_of(to.dtype);
  roll.beyond = Beyond::circular;
  roll.elements = count;
  roll.dims = 1;
  roll.sizes[0] = Divisor64(count);
  roll.output_strides[0] = roll.input_strides[0] = 1;
  roll.before[0] = shift < 0 ? shift + count : shift;
  roll.size[0] = count;
  maker.add(roll);
  move.yes = rolled;
  move.output = maker.output_at();
  move.shape = *out;
  maker.add(move);
  return true;
}

// What leaves at the end comes back at the beginning.
bool add_roll(GeneralMaker& maker, const Roll& op) {
  if (op.dims.empty()) return add_flat_roll(maker, op.shifts[0]);
  const runtime::Operand& from = maker.input();
  const auto rank = static_cast<std::int64_t>(from.shape.size());
  std::vector<Shown> shown(from.shape.size());
  for (std::size_t d = 0; d < shown.size(); ++d) {
    const std::int64_t size = from.shape[d];
    std::int64_t shift = 0;
    for (std::size_t i = 0; i < op.dims.size(); ++i) {
      const std::int64_t dim = op.dims[i] < 0 ? op.dims[i] + rank : op.dims[i];
      if (dim == static_cast<std::int64_t>(d)) shift = op.shifts[i] % size;
    }
    shown[d] = {shift < 0 ? shift + size : shift, 0, size};
  }
  return add_pad(maker, Beyond::circular, 0, shown);
}

}  // namespace

bool make_shapes(GeneralMaker& maker) {
  if (!is_word(maker.output().dtype)) return false;
  switch (maker.op().kind()) {
    case OperatorKind::Cat:
      return add_cat(maker, maker.get<Cat>().dim);
    case OperatorKind::Pad:
      return add_pad(maker, maker.get<Pad>());
    case OperatorKind::Roll:
      return add_roll(maker, maker.get<Roll>());
    case OperatorKind::Where:
      return add_where(maker);
    default:
      return add_copy(maker, 0, maker.output(), 0);
  }
}

}  // namespace rushlight::cuda
