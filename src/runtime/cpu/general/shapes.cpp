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

// Places of one dimension of the output that follow each other in the input too. However large the dimension, a few of
// these describe it.
struct Run {
  std::size_t first = 0;  // in the output
  std::size_t count = 0;
  bool is_inside = true;    // of the input; what is outside shows the filling
  std::ptrdiff_t from = 0;  // where the first place lies in the input, in elements
  std::ptrdiff_t step = 0;  // and the next one from it
};

// One dimension of the output, from its first place to its last.
class Mapping {
 public:
  void push(std::int64_t count, std::int64_t from, std::int64_t step) { push_run(count, true, from, step); }
  void push_outside(std::int64_t count) { push_run(count, false, 0, 0); }

  [[nodiscard]] const std::vector<Run>& runs() const noexcept { return runs_; }
  // Of the run with this place.
  [[nodiscard]] const Run& run_at(std::size_t place) const noexcept {
    const Run* run = runs_.data();
    while (place >= run->first + run->count) ++run;
    return *run;
  }

 private:
  void push_run(std::int64_t count, bool is_inside, std::int64_t from, std::int64_t step) {
    if (count <= 0) return;
    const std::size_t first = runs_.empty() ? 0 : runs_.back().first + runs_.back().count;
    runs_.push_back(
        {first, size_of(count), is_inside, static_cast<std::ptrdiff_t>(from), static_cast<std::ptrdiff_t>(step)});
  }

  std::vector<Run> runs_;  // none is empty
};

// One mapping for each dimension of the output; places outside show `fill`. The output has elements.
template <class Word>
void add_mapped(Builder& b, std::vector<Mapping> mappings, Word fill) {
  const Operand& from = b.input();
  const Operand& to = b.output();
  const std::size_t rank = to.shape.size();
  // The line is the dimension that lies densest in the output.
  std::size_t line = rank;
  for (std::size_t d = 0; d < rank; ++d) {
    if (to.shape[d] > 1 && (line == rank || to.strides[d] < to.strides[line])) line = d;
  }
  if (line == rank) line = 0;
  Mapping along;
  std::ptrdiff_t line_step = 1;
  std::size_t length = 1;
  Nest outer;
  std::vector<Mapping> outer_mappings;
  for (std::size_t d = 0; d < rank; ++d) {
    if (d == line) {
      along = std::move(mappings[d]);
      line_step = static_cast<std::ptrdiff_t>(to.strides[d]);
      length = size_of(to.shape[d]);
    } else {
      outer.push(to.shape[d], to.strides[d]);
      outer_mappings.push_back(std::move(mappings[d]));
    }
  }
  if (rank == 0) along.push(1, 0, 1);
  const std::size_t part = std::min(length, Builder::part_of(4));
  const std::size_t parts = parts_of(length, part);
  b.add_ranges(outer.count * parts, 4 * static_cast<double>(part) + 8,
               [=, x = from.tensor, y = to.tensor](Range range, const Frame& frame) {
                 for (std::size_t item = range.first; item < range.last; ++item) {
                   const std::size_t number = item / parts;
                   const Range piece = part_range(item % parts, length, part);
                   std::ptrdiff_t source = 0;
                   bool is_inside = true;
                   std::size_t rest = number;
                   for (std::size_t d = outer_mappings.size(); d-- > 0;) {
                     const std::size_t place = rest % outer.dimensions[d].size;
                     const Run& run = outer_mappings[d].run_at(place);
                     is_inside = is_inside && run.is_inside;
                     source += run.from + static_cast<std::ptrdiff_t>(place - run.first) * run.step;
                     rest /= outer.dimensions[d].size;
                   }
                   Word* target = frame.at<Word>(y) + outer.at(number);
                   for (const Run& run : along.runs()) {
                     const std::size_t first = std::max(run.first, piece.first);
                     const std::size_t last = std::min(run.first + run.count, piece.last);
                     if (first >= last) continue;
                     Word* out = target + static_cast<std::ptrdiff_t>(first) * line_step;
                     if (!is_inside || !run.is_inside) {
                       for (std::size_t i = first; i < last; ++i, out += line_step) *out = fill;
                       continue;
                     }
                     const Word* in = frame.at<Word>(x) + source + run.from +
                                      static_cast<std::ptrdiff_t>(first - run.first) * run.step;
                     if (run.step == 1 && line_step == 1) {
                       std::memcpy(out, in, (last - first) * sizeof(Word));
                       continue;
                     }
                     for (std::size_t i = first; i < last; ++i, in += run.step, out += line_step) *out = *in;
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

// Negative amounts crop. Circular padding repeats what is left, the other modes look at the whole dimension.
void add_pad(Builder& b, const Pad& op) {
  const Operand& from = b.input();
  const std::size_t rank = from.shape.size();
  std::vector<Mapping> mappings(rank);
  for (std::size_t d = 0; d < rank; ++d) {
    const std::size_t pair = 2 * (rank - 1 - d);
    std::int64_t before = pair < op.pad.size() ? op.pad[pair] : 0;
    std::int64_t after = pair < op.pad.size() ? op.pad[pair + 1] : 0;
    const std::int64_t stride = from.strides[d];
    std::int64_t size = from.shape[d];
    std::int64_t first = 0;
    if (op.mode == PadMode::circular) {
      const std::int64_t cropped = std::max<std::int64_t>(-before, 0);
      size -= cropped + std::max<std::int64_t>(-after, 0);
      first = cropped * stride;
      before = std::max<std::int64_t>(before, 0);
      after = std::max<std::int64_t>(after, 0);
    }
    const std::int64_t last = first + (size - 1) * stride;
    // The places [-before, size + after), in front of the elements, among them and behind.
    const std::int64_t end = size + after;
    const std::int64_t inner = std::max<std::int64_t>(-before, 0);
    const std::int64_t outer = std::max(-before, size);
    const std::int64_t in_front = std::min<std::int64_t>(end, 0) + before;
    const std::int64_t inside = std::min(end, size) - inner;
    const std::int64_t behind = end - outer;
    Mapping& mapping = mappings[d];
    switch (op.mode) {
      case PadMode::constant:
        mapping.push_outside(in_front);
        mapping.push(inside, first + inner * stride, stride);
        mapping.push_outside(behind);
        break;
      case PadMode::replicate:
        mapping.push(in_front, first, 0);
        mapping.push(inside, first + inner * stride, stride);
        mapping.push(behind, last, 0);
        break;
      case PadMode::reflect:
        mapping.push(in_front, first + before * stride, -stride);
        mapping.push(inside, first + inner * stride, stride);
        mapping.push(behind, last - (outer - size + 1) * stride, -stride);
        break;
      case PadMode::circular:
        mapping.push(in_front, last - (before - 1) * stride, stride);
        mapping.push(inside, first, stride);
        mapping.push(behind, first, stride);
        break;
    }
  }
  with_word(from.dtype,
            [&](auto word) { add_mapped(b, std::move(mappings), fill_word<decltype(word)>(from.dtype, op.value)); });
}

void add_roll(Builder& b, const Roll& op) {
  const Operand& from = b.input();
  const std::size_t rank = from.shape.size();
  std::vector<Mapping> mappings(rank);
  for (std::size_t d = 0; d < rank; ++d) {
    const std::int64_t size = from.shape[d];
    std::int64_t shift = 0;
    for (std::size_t i = 0; i < op.dims.size(); ++i) {
      const std::int64_t dim = op.dims[i] < 0 ? op.dims[i] + static_cast<std::int64_t>(rank) : op.dims[i];
      if (dim == static_cast<std::int64_t>(d)) shift = op.shifts[i] % size;
    }
    if (shift < 0) shift += size;
    // What leaves at the end comes back at the beginning.
    mappings[d].push(shift, (size - shift) * from.strides[d], from.strides[d]);
    mappings[d].push(size - shift, 0, from.strides[d]);
  }
  with_word(from.dtype, [&](auto word) { add_mapped(b, std::move(mappings), decltype(word){}); });
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
