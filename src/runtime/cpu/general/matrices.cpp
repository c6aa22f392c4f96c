// MatMul and its kin. Anything of a product is strided: rows, columns and batches of every operand.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "runtime/cpu/gemm_choice.hpp"
#include "runtime/cpu/general/builder.hpp"
#include "runtime/cpu/general/lines.hpp"
#include "runtime/cpu/general/products.hpp"

namespace rushlight::runtime::cpu {
namespace {

struct Matrix {
  TensorId tensor = kNone;
  std::ptrdiff_t row = 0;
  std::ptrdiff_t column = 0;
};

struct Product {
  Matrix a, b, c;  // [m][k] times [k][n] gives [m][n]; c's columns are adjacent
  std::size_t m = 1;
  std::size_t n = 1;
  std::size_t k = 1;
  Lines<3> batches;  // of c, a, b
  std::size_t batch_count = 1;

  [[nodiscard]] Lines<3>::Places batch(std::size_t i) const noexcept {
    auto places = batches.start(i / batches.length);
    const auto rest = static_cast<std::ptrdiff_t>(i % batches.length);
    for (std::size_t operand = 0; operand < 3; ++operand) places[operand] += rest * batches.steps[operand];
    return places;
  }
};

// Few columns waste a panel: dot products, in double.
void add_dots(Builder& builder, const Product& product) {
  builder.add_ranges(product.batch_count * product.m * product.n, 2 * static_cast<double>(product.k) + 8,
                     [product](Range range, const Frame& frame) {
                       for (std::size_t i = range.first; i < range.last; ++i) {
                         const auto places = product.batch(i / (product.m * product.n));
                         const auto m = static_cast<std::ptrdiff_t>(i / product.n % product.m);
                         const auto n = static_cast<std::ptrdiff_t>(i % product.n);
                         const float* a = frame.at(product.a.tensor) + places[1] + m * product.a.row;
                         const float* b = frame.at(product.b.tensor) + places[2] + n * product.b.column;
                         double sum = 0;
                         for (std::size_t k = 0; k < product.k; ++k, a += product.a.column, b += product.b.row) {
                           sum += static_cast<double>(*a) * static_cast<double>(*b);
                         }
                         frame.at(product.c.tensor)[places[0] + m * product.c.row + n] = static_cast<float>(sum);
                       }
                     });
}

void add_product(Builder& builder, const Product& product) {
  constexpr std::size_t kFewColumns = 4;
  if (product.n < kFewColumns || product.m == 1) return add_dots(builder, product);
  const GemmKernel kernel = choose_gemm(builder.kernels(), product.n, false).kernel;
  const std::size_t panels = panels_for(product.n, kernel.width);
  // A task packs a panel and passes it over some rows: enough of them that packing does not count.
  constexpr std::size_t kTaskRows = 8 * kProductRows;
  const std::size_t blocks = parts_of(product.m, kTaskRows);
  const bool copies_a = product.a.column != 1;
  const std::size_t panel_floats = (product.k * kernel.width + 15) / 16 * 16;
  const std::size_t scratch = panel_floats + (copies_a ? kProductRows * product.k : 0);
  const double each = 2.0 * static_cast<double>(std::min(product.m, kTaskRows) * product.k * kernel.width) + 100;
  builder.add_ranges(
      product.batch_count * blocks * panels, each,
      [=](Range range, const Frame& frame) {
        auto* const panel = reinterpret_cast<float*>(frame.scratch);
        float* const copy = panel + panel_floats;
        for (std::size_t task = range.first; task < range.last; ++task) {
          const auto places = product.batch(task / panels / blocks);
          const Range rows = part_range(task / panels % blocks, product.m, kTaskRows);
          const std::size_t column = task % panels * kernel.width;
          const std::size_t columns = std::min(kernel.width, product.n - column);
          pack_panel(frame.at(product.b.tensor) + places[2] + static_cast<std::ptrdiff_t>(column) * product.b.column,
                     product.b.row, product.b.column, product.k, columns, kernel.width, panel);
          for (std::size_t first = rows.first; first < rows.last; first += kProductRows) {
            PanelProduct part;
            part.rows = std::min(kProductRows, rows.last - first);
            part.a = frame.at(product.a.tensor) + places[1] + static_cast<std::ptrdiff_t>(first) * product.a.row;
            part.a_stride = product.a.row;
            if (copies_a) {
              for (std::size_t r = 0; r < part.rows; ++r) {
                const float* from = part.a + static_cast<std::ptrdiff_t>(r) * product.a.row;
                for (std::size_t k = 0; k < product.k; ++k, from += product.a.column) copy[r * product.k + k] = *from;
              }
              part.a = copy;
              part.a_stride = static_cast<std::ptrdiff_t>(product.k);
            }
            part.depth = product.k;
            part.panel = panel;
            part.columns = columns;
            part.output = frame.at(product.c.tensor) + places[0] + static_cast<std::ptrdiff_t>(first) * product.c.row +
                          static_cast<std::ptrdiff_t>(column);
            part.output_stride = static_cast<std::size_t>(product.c.row);
            multiply(kernel, part);
          }
        }
      },
      scratch * sizeof(float));
}

// The batches of three operands; what is one dimension of rows in a and c, and the same for all of b, becomes rows.
void set_batches(Product& product, Shape shape, std::array<Strides, 3> strides) {
  while (!shape.empty()) {
    const auto rows = static_cast<std::int64_t>(product.m);
    const bool joins = shape.back() == 1 || (strides[2].back() == 0 && strides[1].back() == rows * product.a.row &&
                                             strides[0].back() == rows * product.c.row);
    if (!joins) break;
    product.m *= size_of(shape.back());
    shape.pop_back();
    for (Strides& each : strides) each.pop_back();
  }
  product.batch_count = 1;
  for (const std::int64_t size : shape) product.batch_count *= size_of(size);
  product.batches = Lines<3>(shape, strides);
}

// torch.matmul: vectors are rows on the left and columns on the right.
void add_matmul(Builder& builder, const Operand& a_in, const Operand& b_in, const Operand& c) {
  Operand a = a_in;
  Operand b = b_in;
  if (a.shape.size() == 1) {
    a.shape.insert(a.shape.begin(), 1);
    a.strides.insert(a.strides.begin(), 0);
  }
  if (b.shape.size() == 1) {
    b.shape.push_back(1);
    b.strides.push_back(1);
  }
  const std::size_t a_rank = a.shape.size();
  const std::size_t b_rank = b.shape.size();
  Product product;
  product.m = size_of(a.shape[a_rank - 2]);
  product.k = size_of(a.shape[a_rank - 1]);
  product.n = size_of(b.shape[b_rank - 1]);
  product.a = {a.tensor, static_cast<std::ptrdiff_t>(a.strides[a_rank - 2]),
               static_cast<std::ptrdiff_t>(a.strides[a_rank - 1])};
  product.b = {b.tensor, static_cast<std::ptrdiff_t>(b.strides[b_rank - 2]),
               static_cast<std::ptrdiff_t>(b.strides[b_rank - 1])};
  product.c = {c.tensor, static_cast<std::ptrdiff_t>(product.n), 1};
  const std::size_t rank = std::max(a_rank, b_rank) - 2;
  Shape shape(rank, 1);
  std::array<Strides, 3> strides = {Strides(rank, 0), Strides(rank, 0), Strides(rank, 0)};
  const auto see = [&](const Operand& operand, Strides& into) {
    const std::size_t own = operand.shape.size() - 2;
    for (std::size_t d = 0; d < own; ++d) {
      if (operand.shape[d] == 1) continue;
      shape[rank - own + d] = operand.shape[d];
      into[rank - own + d] = operand.strides[d];
    }
  };
  see(a, strides[1]);
  see(b, strides[2]);
  std::int64_t step = static_cast<std::int64_t>(product.m * product.n);
  for (std::size_t d = rank; d-- > 0;) {
    strides[0][d] = step;
    step *= shape[d];
  }
  set_batches(product, std::move(shape), std::move(strides));
  if (c.elements() > 0) add_product(builder, product);
}

// beta * x + alpha * (a b), the product where the sum will be.
void add_addmm(Builder& builder, const AddMM& op) {
  const Operand& c = builder.output();
  add_matmul(builder, builder.input(1), builder.input(2), c);
  if (op.beta == 0 && op.alpha == 1) return;
  const Lines<2> lines(c.shape, {c.strides, broadcast_strides(builder.input(0), c.shape)});
  add_lines(builder, lines, 4,
            [alpha = op.alpha, beta = op.beta, x = builder.input(0).tensor, y = c.tensor, step = lines.steps](
                const auto& places, std::size_t count, const Frame& frame) {
              const float* from = frame.at(x) + places[1];
              float* to = frame.at(y) + places[0];
              for (std::size_t i = 0; i < count; ++i, from += step[1], to += step[0]) {
                const double scaled = alpha * static_cast<double>(*to);
                *to = static_cast<float>(beta == 0 ? scaled : beta * static_cast<double>(*from) + scaled);
              }
            });
}

// --- einsum ---

// A letter of the equation: its size, and its stride in each operand; the output last. 0 where it is not.
struct Letter {
  char name;
  std::int64_t size = 1;
  std::vector<std::int64_t> strides;
};

// One product where it is one: two operands, whose letters are batches, rows, columns and summed ones.
bool add_einsum_product(Builder& builder, const std::vector<Letter>& letters) {
  if (builder.input_count() != 2) return false;
  std::vector<const Letter*> rows;
  std::vector<const Letter*> columns;
  std::vector<const Letter*> sums;
  std::vector<const Letter*> batches;
  for (const Letter& letter : letters) {
    if (letter.size == 1) continue;
    const bool in_a = letter.strides[0] != 0;
    const bool in_b = letter.strides[1] != 0;
    const bool in_c = letter.strides[2] != 0;
    if (!in_c && !(in_a && in_b)) return false;  // summed over in one operand alone
    (!in_c ? sums : in_a && in_b ? batches : in_a ? rows : columns).push_back(&letter);
  }
  std::size_t left = 0;
  std::size_t right = 1;
  const auto ends_in_adjacent = [](const std::vector<const Letter*>& some) {
    return some.size() == 1 && some[0]->strides[2] == 1;
  };
  if (!ends_in_adjacent(columns)) {
    std::swap(rows, columns);
    std::swap(left, right);
  }
  if (!ends_in_adjacent(columns) || sums.size() > 1) return false;
  // One letter of rows makes the rows; others are more batches.
  Product product;
  const Letter none{' ', 1, {0, 0, 0}};
  const Letter& row = rows.empty() ? none : *rows.back();
  const Letter& sum = sums.empty() ? none : *sums[0];
  if (!rows.empty()) rows.pop_back();
  batches.insert(batches.end(), rows.begin(), rows.end());
  product.m = size_of(row.size);
  product.k = size_of(sum.size);
  product.n = size_of(columns[0]->size);
  product.a = {builder.input(left).tensor, row.strides[left], sum.strides[left]};
  product.b = {builder.input(right).tensor, sum.strides[right], columns[0]->strides[right]};
  product.c = {builder.output().tensor, row.size == 1 ? static_cast<std::ptrdiff_t>(product.n) : row.strides[2], 1};
  Shape shape;
  std::array<Strides, 3> strides;
  for (const Letter* letter : batches) {
    shape.push_back(letter->size);
    strides[0].push_back(letter->strides[2]);
    strides[1].push_back(letter->strides[left]);
    strides[2].push_back(letter->strides[right]);
  }
  for (const std::int64_t size : shape) product.batch_count *= size_of(size);
  product.batches = Lines<3>(shape, strides);
  add_product(builder, product);
  return true;
}

void add_einsum(Builder& builder, const Einsum& op) {
  if (builder.output().elements() == 0) return;
  const std::size_t operands = builder.input_count() + 1;
  std::vector<Letter> letters;
  const auto find = [&](char name) -> Letter& {
    const auto found = std::find_if(letters.begin(), letters.end(), [&](const Letter& l) { return l.name == name; });
    if (found != letters.end()) return *found;
    letters.push_back({name, 1, std::vector<std::int64_t>(operands, 0)});
    return letters.back();
  };
  std::size_t operand = 0;
  std::size_t place = 0;
  bool is_right = false;
  bool repeats = false;  // a letter twice in one operand: its diagonal
  for (const char name : op.equation) {
    if (name == ' ' || name == '-') continue;
    if (name == '>') is_right = true;
    if (name == ',' || name == '>') {
      ++operand;
      place = 0;
      continue;
    }
    Letter& letter = find(name);
    const Operand& seen = is_right ? builder.output() : builder.input(operand);
    if (seen.shape[place] != 1) {
      letter.size = seen.shape[place];
      repeats = repeats || letter.strides[operand] != 0;
      letter.strides[operand] += seen.strides[place];
    }
    ++place;
  }
  if (!repeats && add_einsum_product(builder, letters)) return;
  // All products, one after the other, in double.
  Nest kept;
  std::vector<Nest> kept_places(operands - 1);
  Nest gone;
  std::vector<Nest> gone_places(operands - 1);
  for (const Letter& letter : letters) {
    const bool stays = letter.strides.back() != 0 || letter.size == 1;
    (stays ? kept : gone).push(letter.size, letter.strides.back());
    for (std::size_t i = 0; i + 1 < operands; ++i) {
      (stays ? kept_places : gone_places)[i].push(letter.size, letter.strides[i]);
    }
  }
  std::vector<TensorId> tensors;
  for (std::size_t i = 0; i + 1 < operands; ++i) tensors.push_back(builder.input(i).tensor);
  builder.add_ranges(
      kept.count, 20 * static_cast<double>(gone.count),
      [=, y = builder.output().tensor](Range range, const Frame& frame) {
        for (std::size_t item = range.first; item < range.last; ++item) {
          double sum = 0;
          for (std::size_t k = 0; k < gone.count; ++k) {
            double all = 1;
            for (std::size_t i = 0; i < tensors.size(); ++i) {
              all *= static_cast<double>(frame.at(tensors[i])[kept_places[i].at(item) + gone_places[i].at(k)]);
            }
            sum += all;
          }
          frame.at(y)[kept.at(item)] = static_cast<float>(sum);
        }
      });
}

}  // namespace

Status build_matrices(Builder& b) {
  switch (b.op().kind()) {
    case OperatorKind::AddMM:
      add_addmm(b, b.get<AddMM>());
      return {};
    case OperatorKind::Einsum:
      add_einsum(b, b.get<Einsum>());
      return {};
    default:
      add_matmul(b, b.input(0), b.input(1), b.output());
      return {};
  }
}

}  // namespace rushlight::runtime::cpu
