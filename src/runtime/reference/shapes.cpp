// What moves values and computes none.
#include <algorithm>
#include <cmath>

#include "base/fail.hpp"
#include "runtime/failure.hpp"
#include "runtime/reference/operators.hpp"
#include "runtime/reference/walk.hpp"

namespace rushlight::runtime::reference {
namespace {

Status copy(const Call& call) {
  std::copy(call.input().values.begin(), call.input().values.end(), call.output().values.begin());
  return {};
}

// Places `first`, `first + step`, ... of a dimension.
void take_places(const ConstArray& from, std::int64_t dim, std::int64_t first, std::int64_t step, const Array& to) {
  const Axis in = axis_of(from.shape, dim);
  const std::size_t size = in.outer * in.inner == 0 ? 0 : to.values.size() / (in.outer * in.inner);
  const Axis out = {in.outer, size, in.inner};
  for_each_line(out, [&](std::size_t o, std::size_t i) {
    for (std::size_t k = 0; k < out.size; ++k) {
      const std::int64_t place = first + static_cast<std::int64_t>(k) * step;
      to.values[out.place(o, k, i)] = from.values[in.place(o, at(place), i)];
    }
  });
}

// The pieces of Chunk, Split and Unbind, one after the other.
Status take_pieces(const Call& call, std::int64_t dim) {
  const Axis in = axis_of(call.input().shape, dim);
  const std::size_t line = in.outer * in.inner;
  std::int64_t first = 0;
  for (const Array& piece : call.outputs) {
    take_places(call.input(), dim, first, 1, piece);
    if (line != 0) first += static_cast<std::int64_t>(piece.values.size() / line);
  }
  return {};
}

std::int64_t size_along(const ConstArray& array, std::int64_t dim) {
  return static_cast<std::int64_t>(axis_of(array.shape, dim).size);
}

// Places of the output are those of the input in another order: source(d, place) says where dimension d's place comes
// from.
template <class Source>
void move_places(const ConstArray& from, const Array& to, const Source& source) {
  for (std::size_t flat = 0; flat < to.values.size(); ++flat) {
    std::size_t rest = flat;
    std::size_t step = 1;
    std::size_t place = 0;
    for (std::size_t d = to.shape.size(); d-- > 0;) {
      const std::size_t size = at(to.shape[d]);
      place += source(d, rest % size) * step;
      rest /= size;
      step *= at(from.shape[d]);
    }
    to.values[flat] = from.values[place];
  }
}

// Dimension d of the output is dimension dims(d) of the input.
template <class Dims>
void permute(const ConstArray& from, const Array& to, const Dims& dims) {
  for (std::size_t flat = 0; flat < to.values.size(); ++flat) {
    std::size_t rest = flat;
    std::size_t place = 0;
    for (std::size_t d = to.shape.size(); d-- > 0;) {
      const std::size_t size = at(to.shape[d]);
      place += rest % size * count_of(from.shape.subspan(dims(d) + 1));
      rest /= size;
    }
    to.values[flat] = from.values[place];
  }
}

bool names(const Shape& dims, std::size_t d, std::span<const std::int64_t> shape) {
  return std::any_of(dims.begin(), dims.end(), [&](std::int64_t dim) { return dimension_of(dim, shape) == d; });
}

// The place that an index stands for; -1 when it is none.
std::int64_t index_of(double value, std::size_t size) {
  return value >= 0 && value < static_cast<double>(size) ? static_cast<std::int64_t>(value) : -1;
}

// Sizes of 1, and missing leading dimensions, repeat.
Status expand(const Call& call) {
  for (std::size_t i = 0; i < call.output().values.size(); ++i) {
    call.output().values[i] = call.input().values[broadcast_place(i, call.output().shape, call.input().shape)];
  }
  return {};
}

}  // namespace

Status compute(const Identity&, const Call& call) {
  return copy(call);
}
Status compute(const Dropout&, const Call& call) {
  return copy(call);
}
Status compute(const Flatten&, const Call& call) {
  return copy(call);
}
Status compute(const Unflatten&, const Call& call) {
  return copy(call);
}
Status compute(const Reshape&, const Call& call) {
  return copy(call);
}
Status compute(const Squeeze&, const Call& call) {
  return copy(call);
}
Status compute(const Unsqueeze&, const Call& call) {
  return copy(call);
}

Status compute(const Permute& op, const Call& call) {
  permute(call.input(), call.output(), [&](std::size_t d) { return dimension_of(op.dims[d], call.input().shape); });
  return {};
}
Status compute(const Transpose& op, const Call& call) {
  const std::size_t a = dimension_of(op.dim0, call.input().shape);
  const std::size_t b = dimension_of(op.dim1, call.input().shape);
  permute(call.input(), call.output(), [&](std::size_t d) { return d == a ? b : d == b ? a : d; });
  return {};
}

Status compute(const Chunk& op, const Call& call) {
  return take_pieces(call, op.dim);
}
Status compute(const Split& op, const Call& call) {
  return take_pieces(call, op.dim);
}
Status compute(const Unbind& op, const Call& call) {
  return take_pieces(call, op.dim);
}

// Bounds beyond the dimension are its ends, as in Python.
Status compute(const Slice& op, const Call& call) {
  const std::int64_t size = size_along(call.input(), op.dim);
  std::int64_t first = op.start;
  if (first < 0) first = first < -size ? 0 : first + size;
  take_places(call.input(), op.dim, std::min(first, size), op.step, call.output());
  return {};
}
Status compute(const Narrow& op, const Call& call) {
  const std::int64_t first = op.start < 0 ? op.start + size_along(call.input(), op.dim) : op.start;
  take_places(call.input(), op.dim, first, 1, call.output());
  return {};
}
Status compute(const Select& op, const Call& call) {
  const std::int64_t place = op.index < 0 ? op.index + size_along(call.input(), op.dim) : op.index;
  take_places(call.input(), op.dim, place, 1, call.output());
  return {};
}

Status compute(const IndexSelect& op, const Call& call) {
  const Axis in = axis_of(call.input(0).shape, op.dim);
  const std::span<const double> indices = call.input(1).values;
  const Axis out = {in.outer, indices.size(), in.inner};
  for (std::size_t k = 0; k < indices.size(); ++k) {
    const std::int64_t place = index_of(indices[k], in.size);
    if (place < 0) return index_outside(static_cast<std::int64_t>(indices[k]), static_cast<std::int64_t>(in.size));
    for_each_line(in, [&](std::size_t o, std::size_t i) {
      call.output().values[out.place(o, k, i)] = call.input(0).values[in.place(o, at(place), i)];
    });
  }
  return {};
}

// output[i][j] = input[i][index[i][j]] for dim 1. The index may be smaller than the input in the other dimensions.
Status compute(const Gather& op, const Call& call) {
  const ConstArray input = call.input(0);
  const ConstArray index = call.input(1);
  const std::size_t dim = dimension_of(op.dim, input.shape);
  for (std::size_t flat = 0; flat < index.values.size(); ++flat) {
    std::size_t rest = flat;
    std::size_t step = 1;
    std::size_t place = 0;
    const std::size_t size_along_dim = input.shape.empty() ? 1 : at(input.shape[dim]);
    const std::int64_t chosen = index_of(index.values[flat], size_along_dim);
    if (chosen < 0) {
      return index_outside(static_cast<std::int64_t>(index.values[flat]), static_cast<std::int64_t>(size_along_dim));
    }
    for (std::size_t d = index.shape.size(); d-- > 0;) {
      const std::size_t size = at(index.shape[d]);
      place += (d == dim ? at(chosen) : rest % size) * step;
      rest /= size;
      step *= at(input.shape[d]);
    }
    call.output().values[flat] = input.values[place];
  }
  return {};
}

Status compute(const Cat& op, const Call& call) {
  const Axis out = axis_of(call.output().shape, op.dim);
  std::size_t first = 0;
  for (const ConstArray& piece : call.inputs) {
    const Axis in = axis_of(piece.shape, op.dim);
    for_each_line(in, [&](std::size_t o, std::size_t i) {
      for (std::size_t k = 0; k < in.size; ++k) {
        call.output().values[out.place(o, first + k, i)] = piece.values[in.place(o, k, i)];
      }
    });
    first += in.size;
  }
  return {};
}

Status compute(const Stack& op, const Call& call) {
  const Axis out = axis_of(call.output().shape, op.dim);
  for (std::size_t k = 0; k < call.inputs.size(); ++k) {
    for_each_line(out, [&](std::size_t o, std::size_t i) {
      call.output().values[out.place(o, k, i)] = call.input(k).values[o * out.inner + i];
    });
  }
  return {};
}

Status compute(const Expand&, const Call& call) {
  return expand(call);
}
Status compute(const ExpandAs&, const Call& call) {
  return expand(call);
}

Status compute(const Repeat&, const Call& call) {
  const ConstArray in = call.input();
  const Array out = call.output();
  for (std::size_t flat = 0; flat < out.values.size(); ++flat) {
    std::size_t rest = flat;
    std::size_t step = 1;
    std::size_t place = 0;
    for (std::size_t d = 0; d < in.shape.size(); ++d) {
      const std::size_t own = at(in.shape[in.shape.size() - 1 - d]);
      const std::size_t size = at(out.shape[out.shape.size() - 1 - d]);
      place += rest % size % own * step;
      rest /= size;
      step *= own;
    }
    out.values[flat] = in.values[place];
  }
  return {};
}

Status compute(const Flip& op, const Call& call) {
  const std::span<const std::int64_t> shape = call.input().shape;
  move_places(call.input(), call.output(), [&](std::size_t d, std::size_t place) {
    return names(op.dims, d, shape) ? at(shape[d]) - 1 - place : place;
  });
  return {};
}

// Without dims the tensor is rolled as if it were flat.
Status compute(const Roll& op, const Call& call) {
  const auto rolled = [](std::size_t place, std::int64_t shift, std::size_t size) {
    const auto length = static_cast<std::int64_t>(size);
    const std::int64_t back = (static_cast<std::int64_t>(place) - shift % length) % length;
    return at(back < 0 ? back + length : back);
  };
  const ConstArray in = call.input();
  if (op.dims.empty()) {
    for (std::size_t i = 0; i < in.values.size(); ++i) {
      call.output().values[i] = in.values[rolled(i, op.shifts[0], in.values.size())];
    }
    return {};
  }
  move_places(in, call.output(), [&](std::size_t d, std::size_t place) {
    for (std::size_t k = 0; k < op.dims.size(); ++k) {
      if (dimension_of(op.dims[k], in.shape) == d) place = rolled(place, op.shifts[k], at(in.shape[d]));
    }
    return place;
  });
  return {};
}

namespace {

// The element of a dimension of `size` that a place of the padded one shows, -1 where it is padding of a constant.
// Negative amounts crop: circular padding repeats what is left, the other modes look at the whole dimension.
std::int64_t shown_element(PadMode mode, std::int64_t place, std::int64_t size, std::int64_t before,
                           std::int64_t after) {
  if (mode != PadMode::circular) return padded_source(mode, place - before, size);
  const std::int64_t first = std::max<std::int64_t>(-before, 0);
  const std::int64_t left = size - first - std::max<std::int64_t>(-after, 0);
  return first + padded_source(mode, place - std::max<std::int64_t>(before, 0), left);
}

}  // namespace

Status compute(const Pad& op, const Call& call) {
  const ConstArray in = call.input();
  const Array out = call.output();
  for (std::size_t flat = 0; flat < out.values.size(); ++flat) {
    std::size_t rest = flat;
    std::size_t step = 1;
    std::size_t place = 0;
    bool is_inside = true;
    for (std::size_t back = 0; back < out.shape.size(); ++back) {
      const std::size_t d = out.shape.size() - 1 - back;
      const std::int64_t before = 2 * back < op.pad.size() ? op.pad[2 * back] : 0;
      const std::int64_t after = 2 * back < op.pad.size() ? op.pad[2 * back + 1] : 0;
      const auto position = static_cast<std::int64_t>(rest % at(out.shape[d]));
      const std::int64_t source = shown_element(op.mode, position, in.shape[d], before, after);
      is_inside = is_inside && source >= 0;
      if (is_inside) place += at(source) * step;
      rest /= at(out.shape[d]);
      step *= at(in.shape[d]);
    }
    out.values[flat] = is_inside ? in.values[place] : op.value;
  }
  return {};
}

// F.pad by the difference of the sizes: diff // 2 before in Python's division, or nothing, or what CenterCrop crops.
Status compute(const PadAs& op, const Call& call) {
  const ConstArray in = call.input();
  const Array out = call.output();
  const std::size_t rank = in.shape.size();
  // How many places come before those of the input, in each dimension; cropped ones are negative.
  const auto before = [&](std::size_t d) -> std::int64_t {
    const bool is_fitted = op.dims.empty() ? d >= 2 : names(op.dims, d, in.shape);
    if (!is_fitted || op.placement == PadPlacement::end) return 0;
    const double half = static_cast<double>(out.shape[d] - in.shape[d]) / 2;
    const bool rounds = op.placement == PadPlacement::center_crop && half < 0;
    return static_cast<std::int64_t>(rounds ? std::nearbyint(half) : std::floor(half));
  };
  for (std::size_t flat = 0; flat < out.values.size(); ++flat) {
    std::size_t rest = flat;
    std::size_t step = 1;
    std::size_t place = 0;
    bool is_inside = true;
    for (std::size_t d = rank; d-- > 0;) {
      const std::int64_t first = before(d);
      const std::int64_t after = out.shape[d] - in.shape[d] - first;
      const auto position = static_cast<std::int64_t>(rest % at(out.shape[d]));
      const std::int64_t source = shown_element(op.mode, position, in.shape[d], first, after);
      is_inside = is_inside && source >= 0;
      if (is_inside) place += at(source) * step;
      rest /= at(out.shape[d]);
      step *= at(in.shape[d]);
    }
    out.values[flat] = is_inside ? in.values[place] : op.value;
  }
  return {};
}

Status compute(const Parameter& op, const Call& call) {
  const std::span<double> y = call.output().values;
  const Tensor& tensor = call.parameters.front().tensor;
  if (op.integer) {
    RUSHLIGHT_TRY_ASSIGN(const std::span<const std::int64_t> values, tensor.values<std::int64_t>());
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = static_cast<double>(values[i]);
    return {};
  }
  const std::span<const float> values = call.parameter("");
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = static_cast<double>(values[i]);
  return {};
}

// float32 from the start, as the tensor that it stands for.
Status compute(const Constant& op, const Call& call) {
  for (std::size_t i = 0; i < op.values.size(); ++i) {
    const double value = op.values[i];
    call.output().values[i] = op.integer ? value : static_cast<double>(static_cast<float>(value));
  }
  return {};
}

}  // namespace rushlight::runtime::reference
