// What moves elements and computes none, for every dtype: copies between orders, Cat, Pad, Roll, and gathering by
// index.
#include <array>
#include <cstring>
#include <type_traits>

#include "base/fail.hpp"
#include "runtime/cpu/general/builder.hpp"
#include "runtime/cpu/general/lines.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Calls f with a value of an unsigned type as wide as the dtype's elements.
template <class F>
void with_word(DType dtype, F f) {
  switch (size_bytes(dtype)) {
    case 1:
      return f(std::uint8_t{});
    case 4:
      return f(std::uint32_t{});
    default:
      return f(std::uint64_t{});
  }
}

// From one operand to another of the same shape. `offset`: where the output begins, in elements from its tensor.
template <class Word>
void add_copy(Builder& b, const Operand& from, const Operand& to, std::ptrdiff_t offset) {
  const Lines<2> lines(to.shape, {to.strides, from.strides});
  // A transposition: short steps on one side are long ones on the other. Blocks of both keep cache lines in use.
  if (!lines.outer.empty() && lines.steps[0] == 1 && lines.steps[1] != 1 && lines.length > 1) {
    for (std::size_t d = lines.outer.size(); d-- > 0;) {
      const auto across = lines.outer[d];
      if (across.strides[1] != 1 || across.size < 2) continue;
      Lines<2> rest = lines;
      rest.outer.erase(rest.outer.begin() + static_cast<std::ptrdiff_t>(d));
      rest.count /= across.size;
      constexpr std::size_t kBlock = 32;
      const std::size_t downs = parts_of(across.size, kBlock);
      b.add(rest.count * downs, 4.0 * static_cast<double>(lines.count * lines.length), 0,
            [rest, across, downs, offset, x = from.tensor, y = to.tensor](std::size_t task, const Frame& frame) {
              const auto places = rest.start(task / downs);
              const Range rows = part_range(task % downs, across.size, kBlock);
              const Word* source = frame.at<Word>(x) + places[1];
              Word* target = frame.at<Word>(y) + offset + places[0];
              for (std::size_t first = 0; first < rest.length; first += kBlock) {
                const std::size_t last = std::min(rest.length, first + kBlock);
                for (std::size_t r = rows.first; r < rows.last; ++r) {
                  const auto row = static_cast<std::ptrdiff_t>(r);
                  const Word* in = source + row;
                  Word* out = target + row * across.strides[0];
                  for (std::size_t i = first; i < last; ++i)
                    out[i] = in[static_cast<std::ptrdiff_t>(i) * rest.steps[1]];
                }
              }
            });
      return;
    }
  }
  add_lines(b, lines, 2,
            [=, x = from.tensor, y = to.tensor, step = lines.steps](const auto& places, std::size_t count,
                                                                    const Frame& frame) {
              const Word* source = frame.at<Word>(x) + places[1];
              Word* target = frame.at<Word>(y) + offset + places[0];
              if (step[0] == 1 && step[1] == 1) {
                std::memcpy(target, source, count * sizeof(Word));
                return;
              }
              for (std::size_t i = 0; i < count; ++i, source += step[1], target += step[0]) *target = *source;
            });
}

void add_cat(Builder& b, std::int64_t dim_in) {
  const Operand& to = b.output();
  const auto rank = static_cast<std::int64_t>(to.shape.size());
  const auto dim = static_cast<std::size_t>(dim_in < 0 ? dim_in + rank : dim_in);
  std::ptrdiff_t offset = 0;
  for (std::size_t i = 0; i < b.input_count(); ++i) {
    Operand piece = to;
    piece.shape = b.input(i).shape;
    with_word(to.dtype, [&](auto word) { add_copy<decltype(word)>(b, b.input(i), piece, offset); });
    offset += static_cast<std::ptrdiff_t>(piece.shape[dim] * to.strides[dim]);
  }
}

// For each dimension a table: which place of the input a place of the output shows, in elements; -1 for none.
struct Tables {
  static constexpr std::int64_t kOutside = -1;
  std::vector<std::vector<std::int64_t>> places;
};

// Copies by tables; places outside show `fill`.
template <class Word>
void add_tables(Builder& b, Tables tables, Word fill) {
  const Operand& from = b.input();
  const Operand& to = b.output();
  const std::size_t rank = to.shape.size();
  // The line is the dimension that lies densest in the output.
  std::size_t line = rank;
  for (std::size_t d = 0; d < rank; ++d) {
    if (to.shape[d] > 1 && (line == rank || to.strides[d] < to.strides[line])) line = d;
  }
  if (line == rank) line = rank == 0 ? 0 : rank - 1;
  Nest outer;
  std::vector<std::vector<std::int64_t>> outer_places;
  std::vector<std::int64_t> line_places = rank == 0 ? std::vector<std::int64_t>{0} : tables.places[line];
  const std::ptrdiff_t line_step = rank == 0 ? 1 : static_cast<std::ptrdiff_t>(to.strides[line]);
  for (std::size_t d = 0; d < rank; ++d) {
    if (d == line) continue;
    outer.push(to.shape[d], to.strides[d]);
    outer_places.push_back(tables.places[d]);
  }
  bool is_run = true;  // the whole line, as it lies
  for (std::size_t i = 0; i < line_places.size(); ++i) {
    is_run = is_run && line_places[i] == static_cast<std::int64_t>(i);
  }
  is_run = is_run && line_step == 1;
  const auto length = static_cast<double>(line_places.size());
  b.add_ranges(outer.count, 4 * length + 8, [=, x = from.tensor, y = to.tensor](Range range, const Frame& frame) {
    for (std::size_t item = range.first; item < range.last; ++item) {
      std::int64_t source = 0;
      std::size_t rest = item;
      for (std::size_t d = outer_places.size(); d-- > 0;) {
        const std::size_t size = outer.dimensions[d].size;
        const std::int64_t place = outer_places[d][rest % size];
        source = place < 0 || source < 0 ? Tables::kOutside : source + place;
        rest /= size;
      }
      Word* target = frame.at<Word>(y) + outer.at(item);
      if (source < 0) {
        for (std::size_t i = 0; i < line_places.size(); ++i, target += line_step) *target = fill;
        continue;
      }
      const Word* in = frame.at<Word>(x) + source;
      if (is_run) {
        std::memcpy(target, in, line_places.size() * sizeof(Word));
        continue;
      }
      for (std::size_t i = 0; i < line_places.size(); ++i, target += line_step) {
        *target = line_places[i] < 0 ? fill : in[line_places[i]];
      }
    }
  });
}

template <class Word>
Word fill_word(DType dtype, double value) noexcept {
  Word word{};
  const auto copy = [&](auto number) {
    if constexpr (sizeof(number) == sizeof(Word)) std::memcpy(&word, &number, sizeof(Word));
  };
  // A number that no integer holds means nothing there.
  const bool fits = value > -9e18 && value < 9e18;
  if (dtype == DType::f32) copy(static_cast<float>(value));
  if (dtype == DType::i64) copy(fits ? static_cast<std::int64_t>(value) : std::int64_t{0});
  if (dtype == DType::i32) copy(fits ? static_cast<std::int32_t>(static_cast<std::int64_t>(value)) : std::int32_t{0});
  if (dtype == DType::boolean) copy(static_cast<std::uint8_t>(value != 0));
  return word;
}

// Negative amounts crop first.
void add_pad(Builder& b, const Pad& op) {
  const Operand& from = b.input();
  const std::size_t rank = from.shape.size();
  Tables tables;
  for (std::size_t d = 0; d < rank; ++d) {
    const std::size_t pair = 2 * (rank - 1 - d);
    const std::int64_t before = pair < op.pad.size() ? op.pad[pair] : 0;
    const std::int64_t after = pair < op.pad.size() ? op.pad[pair + 1] : 0;
    const std::int64_t first = std::max<std::int64_t>(-before, 0);
    const std::int64_t size = from.shape[d] - first - std::max<std::int64_t>(-after, 0);
    std::vector<std::int64_t> places(size_of(b.output().shape[d]));
    for (std::size_t i = 0; i < places.size(); ++i) {
      std::int64_t place = static_cast<std::int64_t>(i) - std::max<std::int64_t>(before, 0);
      if (place < 0 || place >= size) {
        if (op.mode == PadMode::constant) {
          places[i] = Tables::kOutside;
          continue;
        }
        if (op.mode == PadMode::replicate) place = place < 0 ? 0 : size - 1;
        if (op.mode == PadMode::reflect) place = place < 0 ? -place : 2 * (size - 1) - place;
        if (op.mode == PadMode::circular) place = place < 0 ? place + size : place - size;
      }
      places[i] = (first + place) * from.strides[d];
    }
    tables.places.push_back(std::move(places));
  }
  with_word(from.dtype, [&](auto word) { add_tables(b, tables, fill_word<decltype(word)>(from.dtype, op.value)); });
}

void add_roll(Builder& b, const Roll& op) {
  const Operand& from = b.input();
  Tables tables;
  for (std::size_t d = 0; d < from.shape.size(); ++d) {
    const std::int64_t size = from.shape[d];
    std::int64_t shift = 0;
    for (std::size_t i = 0; i < op.dims.size(); ++i) {
      const auto rank = static_cast<std::int64_t>(from.shape.size());
      if ((op.dims[i] < 0 ? op.dims[i] + rank : op.dims[i]) == static_cast<std::int64_t>(d)) {
        shift = size == 0 ? 0 : op.shifts[i] % size;
      }
    }
    std::vector<std::int64_t> places(size_of(size));
    for (std::int64_t i = 0; i < size; ++i) {
      places[size_of(i)] = ((i - shift) % size + size) % size * from.strides[d];
    }
    tables.places.push_back(std::move(places));
  }
  with_word(from.dtype, [&](auto word) { add_tables(b, tables, decltype(word){}); });
}

// Without dims: of all elements in C order.
void add_flat_roll(Builder& b, const Roll& op) {
  const Operand& from = b.input();
  const Operand& to = b.output();
  const std::int64_t count = from.elements();
  const std::int64_t shift = count == 0 ? 0 : op.shifts[0] % count;
  Nest in;
  Nest out;
  for (std::size_t d = 0; d < from.shape.size(); ++d) {
    in.push(from.shape[d], from.strides[d]);
    out.push(to.shape[d], to.strides[d]);
  }
  with_word(from.dtype, [&](auto word) {
    using Word = decltype(word);
    b.add_ranges(size_of(count), 20, [=, x = from.tensor, y = to.tensor](Range range, const Frame& frame) {
      for (std::size_t i = range.first; i < range.last; ++i) {
        const std::int64_t source = ((static_cast<std::int64_t>(i) - shift) % count + count) % count;
        frame.at<Word>(y)[out.at(i)] = frame.at<Word>(x)[in.at(size_of(source))];
      }
    });
  });
}

// [outer][size][inner] to [outer][count][inner]; everything is dense.
void add_index_select(Builder& b, std::int64_t dim_in) {
  const Operand& from = b.input(0);
  const Operand& indices = b.input(1);
  Shape shape = from.shape;
  if (shape.empty()) shape = {1};
  const auto dim = size_of(dim_in < 0 ? dim_in + static_cast<std::int64_t>(shape.size()) : dim_in);
  std::size_t outer = 1;
  std::size_t inner = 1;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (d < dim) outer *= size_of(shape[d]);
    if (d > dim) inner *= size_of(shape[d]);
  }
  const std::size_t count = size_of(indices.elements());
  const std::size_t size = size_of(shape[dim]);
  b.check_indices(indices, shape[dim], false);
  const std::size_t bytes = inner * size_bytes(from.dtype);
  b.add_ranges(outer * count, static_cast<double>(bytes) / 2 + 8,
               [=, x = from.tensor, k = indices.tensor, type = indices.dtype, y = b.output().tensor](
                   Range range, const Frame& frame) {
                 for (std::size_t i = range.first; i < range.last; ++i) {
                   const auto index = size_of(index_at(frame.at(k), type, static_cast<std::int64_t>(i % count)));
                   std::memcpy(frame.at<std::byte>(y) + i * bytes,
                               frame.at<std::byte>(x) + (i / count * size + index) * bytes, bytes);
                 }
               });
}

void add_gather(Builder& b, std::int64_t dim_in) {
  const Operand& from = b.input(0);
  const Operand& indices = b.input(1);
  const std::size_t rank = from.shape.size();
  const auto dim = size_of(dim_in < 0 ? dim_in + std::max<std::int64_t>(1, static_cast<std::int64_t>(rank)) : dim_in);
  b.check_indices(indices, rank == 0 ? 1 : from.shape[dim], false);
  Strides source = from.strides;
  const std::ptrdiff_t stride = rank == 0 ? 0 : static_cast<std::ptrdiff_t>(source[dim]);
  if (rank > 0) source[dim] = 0;
  const Lines<3> lines(indices.shape, {b.output().strides, indices.strides, source});
  with_word(from.dtype, [&](auto word) {
    using Word = decltype(word);
    add_lines(b, lines, 6,
              [=, x = from.tensor, k = indices.tensor, type = indices.dtype, y = b.output().tensor, step = lines.steps](
                  auto places, std::size_t count, const Frame& frame) {
                for (std::size_t i = 0; i < count; ++i) {
                  const std::int64_t index = index_at(frame.at(k), type, places[1]);
                  frame.at<Word>(y)[places[0]] = frame.at<Word>(x)[places[2] + index * stride];
                  for (std::size_t n = 0; n < 3; ++n) places[n] += step[n];
                }
              });
  });
}

}  // namespace

Status build_shapes(Builder& b) {
  switch (b.op().kind()) {
    case OperatorKind::Cat:
      add_cat(b, b.get<Cat>().dim);
      return {};
    case OperatorKind::Pad:
      add_pad(b, b.get<Pad>());
      return {};
    case OperatorKind::Roll:
      if (b.get<Roll>().dims.empty()) {
        add_flat_roll(b, b.get<Roll>());
      } else {
        add_roll(b, b.get<Roll>());
      }
      return {};
    case OperatorKind::IndexSelect:
      add_index_select(b, b.get<IndexSelect>().dim);
      return {};
    case OperatorKind::Gather:
      add_gather(b, b.get<Gather>().dim);
      return {};
    default:
      with_word(b.output().dtype, [&](auto word) { add_copy<decltype(word)>(b, b.input(), b.output(), 0); });
      return {};
  }
}

}  // namespace rushlight::runtime::cpu
