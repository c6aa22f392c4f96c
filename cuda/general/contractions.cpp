// Einsum and Bilinear: sums over products, one kernel's product of matrices where they are one.
#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked.hpp"
#include "cuda/general/nests.hpp"
#include "cuda/general/projections.hpp"

namespace rushlight::cuda {
namespace {

// A letter of an equation: its size, and its stride in each operand, the output last; 0 where it is not, or is
// expanded.
struct Letter {
  char name = ' ';
  std::int64_t size = 1;
  std::vector<std::int64_t> strides;
  std::vector<bool> is_in;  // each operand
};
using Letters = std::vector<Letter>;

// Two operands at most.
struct Contraction {
  Letters letters;  // with strides of a, b and the output
  const float* a = nullptr;
  const float* b = nullptr;
  bool has_b = false;
  const float* bias = nullptr;
  std::int64_t bias_stride = 0;  // along the last letter
  float* output = nullptr;
};

// One product where it is one of matrices: nothing is summed over in one operand alone, and one letter at most in both.
std::optional<BatchedProductArguments> product_of(const Contraction& c) {
  if (!c.has_b || c.bias_stride != 0) return std::nullopt;
  std::vector<const Letter*> rows;
  std::vector<const Letter*> columns;
  std::vector<const Letter*> batches;
  static const Letter kOne{' ', 1, {0, 0, 0}, {}};
  const Letter* sum = &kOne;
  for (const Letter& letter : c.letters) {
    if (letter.size == 1) continue;
    const bool in_a = letter.strides[0] != 0;
    const bool in_b = letter.strides[1] != 0;
    if (letter.strides[2] == 0) {
      if (!in_a || !in_b || sum != &kOne) return std::nullopt;
      sum = &letter;
    } else {
      (in_a && in_b ? batches : in_a ? rows : columns).push_back(&letter);
    }
  }
  if (rows.empty() || columns.empty()) return std::nullopt;
  // One letter makes the rows and one the columns, the longest; others are more batches.
  const auto take_longest = [&batches](std::vector<const Letter*>& letters) {
    const auto longest = std::max_element(letters.begin(), letters.end(),
                                          [](const Letter* x, const Letter* y) { return x->size < y->size; });
    const Letter* const taken = *longest;
    letters.erase(longest);
    batches.insert(batches.end(), letters.begin(), letters.end());
    return taken;
  };
  const Letter* const row = take_longest(rows);
  const Letter* const column = take_longest(columns);
  BatchedProductArguments p;
  p.m = row->size;
  p.n = column->size;
  p.k = sum->size;
  p.a = {c.a, row->strides[0], sum->strides[0]};
  p.b = {c.b, sum->strides[1], column->strides[1]};
  p.output = c.output;
  p.output_row = row->strides[2];
  p.output_column = column->strides[2];
  Nest nest;
  for (const Letter* letter : batches) {
    nest.push(letter->size, {letter->strides[2], letter->strides[0], letter->strides[1], 0});
  }
  const auto walk = nest.walk<4>(false);
  if (!walk) return std::nullopt;
  p.batches = *walk;
  return p;
}

bool add_contraction(GeneralMaker& maker, const Contraction& c) {
  if (const auto product = product_of(c)) {
    if (add_product(maker, *product)) return true;
  }
  Nest kept;
  Nest gone;
  for (const Letter& letter : c.letters) {
    if (letter.strides[2] != 0 || letter.size == 1) {
      const std::int64_t bias = letter.name == c.letters.back().name ? c.bias_stride : 0;
      kept.push(letter.size, {letter.strides[2], letter.strides[0], letter.strides[1], bias});
    } else {
      gone.push(letter.size, {letter.strides[0], letter.strides[1]});
    }
  }
  const auto kept_walk = kept.walk<4>(false);
  const auto gone_walk = gone.walk<2>(true);
  if (!kept_walk || !gone_walk) return false;
  ContractArguments a;
  a.a = c.a;
  a.b = c.b;
  a.bias = c.bias;
  a.output = c.output;
  a.kept = *kept_walk;
  a.gone = *gone_walk;
  a.lanes = lanes_for(kept_walk->elements, gone_walk->elements, kept.is_adjacent(1) && !gone.is_adjacent(0));
  maker.add(a);
  return true;
}

// Between two operands: more than any memory holds.
constexpr std::int64_t kMostBetween = std::int64_t{1} << 40;

// --- einsum ---

Letters letters_of(const GeneralMaker& maker, std::string_view equation) {
  const std::size_t operands = maker.input_count() + 1;
  Letters letters;
  std::size_t operand = 0;
  std::size_t place = 0;
  bool is_right = false;
  for (const char name : equation) {
    if (name == ' ' || name == '-') continue;
    if (name == '>') is_right = true;
    if (name == ',' || name == '>') {
      ++operand;
      place = 0;
      continue;
    }
    auto letter = std::find_if(letters.begin(), letters.end(), [&](const Letter& l) { return l.name == name; });
    if (letter == letters.end()) {
      letters.push_back({name, 1, std::vector<std::int64_t>(operands, 0), std::vector<bool>(operands, false)});
      letter = letters.end() - 1;
    }
    const runtime::Operand& seen = is_right ? maker.output() : maker.input(operand);
    if (seen.shape[place] != 1) {
      letter->size = seen.shape[place];
      letter->strides[operand] += seen.strides[place];  // twice in one operand: its diagonal
      letter->is_in[operand] = true;
    }
    ++place;
  }
  return letters;
}

// What has been contracted so far.
struct Left {
  const float* first = nullptr;
  std::vector<std::int64_t> strides;  // of each letter
  std::vector<bool> is_in;
};

// `left` and the next input, into the output or into memory that keeps the letters that come again; nullopt as make().
std::optional<Left> contract_next(GeneralMaker& maker, const Letters& letters, const Left& left, std::size_t next) {
  const std::size_t output = maker.input_count();
  const bool is_last = next + 1 >= output;
  Contraction c;
  c.a = left.first;
  c.has_b = next < output;
  if (c.has_b) c.b = maker.floats_in(next);
  Left made{nullptr, std::vector<std::int64_t>(letters.size(), 0), std::vector<bool>(letters.size(), false)};
  std::int64_t count = 1;
  for (std::size_t i = letters.size(); i-- > 0;) {
    const Letter& letter = letters[i];
    const bool is_here = left.is_in[i] || (c.has_b && letter.is_in[next]);
    if (!is_here) continue;
    made.is_in[i] = std::find(letter.is_in.begin() + static_cast<std::ptrdiff_t>(std::min(next + 1, output)),
                              letter.is_in.end(), true) != letter.is_in.end();
    if (is_last) {
      made.strides[i] = letter.strides[output];
    } else if (made.is_in[i]) {
      made.strides[i] = count;
      const auto product = checked_mul(count, letter.size);
      if (!product || *product > kMostBetween) return std::nullopt;
      count = *product;
    }
    c.letters.push_back(
        {letter.name, letter.size, {left.strides[i], c.has_b ? letter.strides[next] : 0, made.strides[i]}, {}});
  }
  std::reverse(c.letters.begin(), c.letters.end());
  c.output = is_last ? maker.floats_out() : maker.scratch(count);
  if (!add_contraction(maker, c)) return std::nullopt;
  made.first = c.output;
  return made;
}

// From left to right, as torch does.
bool add_einsum(GeneralMaker& maker, const Einsum& op) {
  const Letters letters = letters_of(maker, op.equation);
  Left left{maker.floats_in(0), {}, {}};
  const bool is_empty = std::any_of(letters.begin(), letters.end(), [](const Letter& l) { return l.size == 0; });
  if (is_empty) {  // sums of nothing: zeros
    Contraction c;
    c.a = left.first;
    c.output = maker.floats_out();
    for (const Letter& letter : letters)
      c.letters.push_back({letter.name, letter.size, {0, 0, letter.strides.back()}, {}});
    return add_contraction(maker, c);
  }
  for (const Letter& letter : letters) {
    left.strides.push_back(letter.strides[0]);
    left.is_in.push_back(letter.is_in[0]);
  }
  const std::size_t count = maker.input_count();
  for (std::size_t next = 1; next < std::max<std::size_t>(count, 2); ++next) {
    std::optional<Left> made = contract_next(maker, letters, left, next);
    if (!made) return false;
    left = std::move(*made);
  }
  return true;
}

// --- bilinear ---

// x1 W_o for each output o, and its products with x2.
bool add_bilinear(GeneralMaker& maker, const Bilinear& op) {
  const std::int64_t in1 = op.in1_features;
  const std::int64_t in2 = op.in2_features;
  const std::int64_t outputs = op.out_features;
  const std::int64_t rows = maker.output().elements() / outputs;
  const auto per_row = checked_mul(outputs, in2);
  const auto between_floats = per_row ? checked_mul(*per_row, rows) : std::nullopt;
  if (!between_floats || *between_floats > kMostBetween) return false;
  float* const between = maker.scratch(*between_floats);
  const float* const weight = maker.parameter("weight");
  BatchedProductArguments p;
  p.m = rows;
  p.n = in2;
  p.k = in1;
  p.a = {maker.floats_in(0), in1, 1};
  p.b = {weight, in2, 1};
  p.output = between;
  p.output_row = *per_row;
  p.output_column = 1;
  const auto walk = strided<4>({outputs}, {Strides{in2}, Strides{0}, Strides{in1 * in2}, Strides{0}});
  if (!walk) return false;
  p.batches = *walk;
  if (!add_product(maker, p)) return false;
  Contraction c;
  c.a = between;
  c.b = maker.floats_in(1);
  c.has_b = true;
  if (op.bias) {
    c.bias = maker.parameter("bias");
    c.bias_stride = 1;
  }
  c.output = maker.floats_out();
  c.letters = {{'j', in2, {1, 1, 0}, {}}, {'r', rows, {*per_row, in2, outputs}, {}}, {'o', outputs, {in2, 0, 1}, {}}};
  return add_contraction(maker, c);
}

}  // namespace

bool make_contractions(GeneralMaker& maker) {
  if (maker.op().kind() == OperatorKind::Bilinear) return add_bilinear(maker, maker.get<Bilinear>());
  return add_einsum(maker, maker.get<Einsum>());
}

}  // namespace rushlight::cuda
