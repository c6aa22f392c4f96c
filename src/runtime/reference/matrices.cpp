// Products of matrices.
#include <algorithm>
#include <array>

#include "runtime/reference/operators.hpp"
#include "runtime/reference/walk.hpp"

namespace rushlight::runtime::reference {
namespace {

// The last two dimensions of an operand; a vector is a row on the left and a column on the right.
struct Matrix {
  ConstArray array;
  std::size_t rows;
  std::size_t columns;
  std::span<const std::int64_t> batch;

  Matrix(const ConstArray& from, bool is_left) : array(from) {
    const std::span<const std::int64_t> shape = from.shape;
    const std::size_t last = at(shape.back());
    const bool is_vector = shape.size() == 1;
    rows = !is_vector ? at(shape[shape.size() - 2]) : is_left ? 1 : last;
    columns = is_vector && !is_left ? 1 : last;
    if (!is_vector) batch = shape.first(shape.size() - 2);
  }
};

// torch.matmul: dimensions before the last two broadcast.
Status multiply(const Call& call) {
  const Matrix a(call.input(0), true);
  const Matrix b(call.input(1), false);
  const std::size_t own = (call.input(0).shape.size() > 1 ? 1U : 0U) + (call.input(1).shape.size() > 1 ? 1U : 0U);
  const std::span<const std::int64_t> batch = call.output().shape.first(call.output().shape.size() - own);
  const std::span<double> y = call.output().values;
  const std::size_t size = a.rows * b.columns;
  for (std::size_t place = 0; place < y.size(); ++place) {
    const std::size_t item = place / size;
    const std::size_t row = place % size / b.columns;
    const std::size_t column = place % b.columns;
    const std::size_t first_a = broadcast_place(item, batch, a.batch) * a.rows * a.columns;
    const std::size_t first_b = broadcast_place(item, batch, b.batch) * b.rows * b.columns;
    double sum = 0;
    for (std::size_t k = 0; k < a.columns; ++k) {
      sum += a.array.values[first_a + row * a.columns + k] * b.array.values[first_b + k * b.columns + column];
    }
    y[place] = sum;
  }
  return {};
}

}  // namespace

Status compute(const MatMul&, const Call& call) {
  return multiply(call);
}
Status compute(const Bmm&, const Call& call) {
  return multiply(call);
}

// beta 0 ignores the first input, NaN and all.
Status compute(const AddMM& op, const Call& call) {
  const Matrix a(call.input(1), true);
  const Matrix b(call.input(2), false);
  const std::span<double> y = call.output().values;
  for (std::size_t place = 0; place < y.size(); ++place) {
    double sum = 0;
    for (std::size_t k = 0; k < a.columns; ++k) {
      sum += a.array.values[place / b.columns * a.columns + k] * b.array.values[k * b.columns + place % b.columns];
    }
    sum *= op.alpha;
    if (op.beta != 0) {
      sum += op.beta * call.input(0).values[broadcast_place(place, call.output().shape, call.input(0).shape)];
    }
    y[place] = sum;
  }
  return {};
}

// Letters name dimensions, and each combination of their places is a product that counts where the letters of the right
// side say.
Status compute(const Einsum& op, const Call& call) {
  constexpr std::size_t kLetters = 128;
  std::array<std::size_t, kLetters> sizes{};  // 0: not on the left side
  std::array<std::size_t, kLetters> places{};
  const std::string_view equation = op.equation;
  const std::size_t arrow = equation.find("->");
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  bool is_empty = false;
  std::size_t operand = 0;
  std::size_t dim = 0;
  for (const char c : equation.substr(0, arrow)) {
    if (c == ',') {
      ++operand;
      dim = 0;
    }
    if (!is_letter(c)) continue;
    const std::size_t size = at(call.input(operand).shape[dim++]);
    std::size_t& known = sizes[static_cast<std::size_t>(c)];
    known = known <= 1 ? size : known;  // a size of 1 broadcasts
    is_empty = is_empty || size == 0;
  }
  const std::span<double> y = call.output().values;
  std::fill(y.begin(), y.end(), 0.0);
  if (is_empty) return {};
  // Where the letters of one operand, or of the right side, point.
  const auto place_of = [&](std::string_view letters, std::span<const std::int64_t> shape) {
    std::size_t place = 0;
    std::size_t d = 0;
    for (const char c : letters) {
      if (!is_letter(c)) continue;
      const std::size_t size = at(shape[d++]);
      place = place * size + (size == 1 ? 0 : places[static_cast<std::size_t>(c)]);
    }
    return place;
  };
  while (true) {
    double product = 1;
    std::string_view left = equation.substr(0, arrow);
    for (const ConstArray& input : call.inputs) {
      const std::size_t comma = std::min(left.find(','), left.size());
      product *= input.values[place_of(left.substr(0, comma), input.shape)];
      left.remove_prefix(std::min(comma + 1, left.size()));
    }
    y[place_of(equation.substr(arrow + 2), call.output().shape)] += product;
    // The next combination; none when every letter has turned over.
    std::size_t letter = 0;
    while (letter < kLetters && (sizes[letter] == 0 || ++places[letter] == sizes[letter])) places[letter++] = 0;
    if (letter == kLetters) return {};
  }
}

}  // namespace rushlight::runtime::reference
