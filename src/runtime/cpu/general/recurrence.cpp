// RNN, LSTM, GRU and their cells. What the input gives to the gates is one product over all steps of time; what the
// state gives follows step by step, in tasks of a few items of the batch and one direction.
#include <algorithm>
#include <cmath>
#include <string>

#include "base/fail.hpp"
#include "runtime/cpu/general/builder.hpp"
#include "runtime/cpu/general/products.hpp"
#include "runtime/cpu/general/wide.hpp"

namespace rushlight::runtime::cpu {
namespace {

enum class Cell { tanh, relu, lstm, gru };

// One operator, whichever of the six it is.
struct Recurrence {
  Cell cell = Cell::tanh;
  std::size_t steps = 1;
  std::size_t items = 1;
  bool items_first = false;  // rows are [items][steps], not [steps][items]
  std::size_t input = 0;
  std::size_t hidden = 0;
  std::size_t state = 0;  // of the output: hidden, or what it is projected to
  std::size_t layers = 1;
  std::size_t directions = 1;
  bool has_bias = true;
  bool is_projected = false;

  [[nodiscard]] std::size_t gates() const noexcept { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }
  [[nodiscard]] std::size_t row(std::size_t step, std::size_t item) const noexcept {
    return items_first ? item * steps + step : step * items + item;
  }
};

// The state of one item after a step: from the gates' parts of the input and of the state before.
void advance(const Recurrence& r, const float* x, const float* h, float* state, float* cell) noexcept {
  const std::size_t size = r.hidden;
  for (std::size_t i = 0; i < size; ++i) {
    const auto gate = [&](std::size_t k) { return wide(x[k * size + i]) + wide(h[k * size + i]); };
    switch (r.cell) {
      case Cell::tanh:
        state[i] = static_cast<float>(std::tanh(gate(0)));
        break;
      case Cell::relu: {
        const double sum = gate(0);
        state[i] = static_cast<float>(sum < 0 ? 0 : sum);
        break;
      }
      case Cell::lstm: {
        const double next = sigmoid(gate(1)) * wide(cell[i]) + sigmoid(gate(0)) * std::tanh(gate(2));
        cell[i] = static_cast<float>(next);
        state[i] = static_cast<float>(sigmoid(gate(3)) * std::tanh(next));
        break;
      }
      case Cell::gru: {
        const double reset = sigmoid(gate(0));
        const double update = sigmoid(gate(1));
        const double fresh = std::tanh(wide(x[2 * size + i]) + reset * wide(h[2 * size + i]));
        state[i] = static_cast<float>((1 - update) * fresh + update * wide(state[i]));
        break;
      }
    }
  }
}

// Where a tensor of states lies: [layers * directions][items][size], or none.
struct States {
  TensorId tensor = kNone;
  std::size_t size = 0;
  [[nodiscard]] std::size_t at(std::size_t index, std::size_t items, std::size_t item) const noexcept {
    return (index * items + item) * size;
  }
};

struct Operands {
  States first_state, first_cell;  // before the first step; none: zeros
  States last_state, last_cell;    // after the last one
  TensorId output = kNone;         // of all steps, or none
};

Status add_recurrence(Builder& b, const Recurrence& r, const Operands& operands, bool has_suffix) {
  const TensorId shared = b.context().shared();
  const std::size_t rows = r.steps * r.items;
  const std::size_t width = r.directions * r.state;
  const std::size_t gate_columns = r.gates() * r.hidden;
  const std::size_t from_input = b.share({r.directions, rows, gate_columns});
  // Layers hand their outputs on through these in turn; the last one writes to the operator's.
  const std::size_t between[2] = {b.share({r.layers > 1 ? rows : 0, width}), b.share({r.layers > 2 ? rows : 0, width})};
  Rows in{b.input().tensor, 0, static_cast<std::ptrdiff_t>(r.input), 0};
  Projection::Options in_double;
  in_double.short_in_double = true;
  for (std::size_t layer = 0; layer < r.layers; ++layer) {
    Projection of_state[2];
    Projection of_output[2];
    for (std::size_t direction = 0; direction < r.directions; ++direction) {
      const std::string suffix =
          has_suffix ? "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "") : std::string();
      const auto bias = [&](const char* name) { return r.has_bias ? name + suffix : std::string(); };
      RUSHLIGHT_TRY_ASSIGN(const Projection of_input,
                           Projection::make(b, "weight_ih" + suffix, bias("bias_ih"), in_double));
      RUSHLIGHT_TRY_ASSIGN(of_state[direction], Projection::make(b, "weight_hh" + suffix, bias("bias_hh"), in_double));
      if (r.is_projected) {
        RUSHLIGHT_TRY_ASSIGN(of_output[direction], Projection::make(b, "weight_hr" + suffix, "", in_double));
      }
      add_projection(
          b, of_input, 0, 1, rows, in,
          {shared, from_input + direction * rows * gate_columns, static_cast<std::ptrdiff_t>(gate_columns), 0});
    }
    const bool is_last = layer + 1 == r.layers;
    const Rows out = is_last ? Rows{operands.output, 0, static_cast<std::ptrdiff_t>(width), 0}
                             : Rows{shared, between[layer % 2], static_cast<std::ptrdiff_t>(width), 0};
    constexpr std::size_t kItems = 16;
    const std::size_t blocks = parts_of(r.items, kItems);
    // Scratch: the state, what it was before a projection, the cell, the gates.
    const std::size_t floats = kItems * (r.state + 2 * r.hidden + gate_columns);
    const double operations =
        static_cast<double>(r.directions * rows) *
        (2.0 * static_cast<double>(gate_columns * r.state) + 100.0 * static_cast<double>(r.hidden));
    b.add(r.directions * blocks, operations, floats * sizeof(float),
          [=, state_a = of_state[0], state_b = of_state[1], output_a = of_output[0], output_b = of_output[1]](
              std::size_t task, const Frame& frame) {
            const std::size_t direction = task / blocks;
            const Range items = part_range(task % blocks, r.items, kItems);
            const std::size_t count = items.last - items.first;
            const Projection& project = direction == 0 ? state_a : state_b;
            const Projection& shorten = direction == 0 ? output_a : output_b;
            auto* const state = reinterpret_cast<float*>(frame.scratch);
            float* const long_state = state + kItems * r.state;
            float* const cell = long_state + kItems * r.hidden;
            float* const gates = cell + kItems * r.hidden;
            const std::size_t index = layer * r.directions + direction;
            const auto start = [&](const States& states, float* to, std::size_t size) {
              if (states.tensor == kNone) {
                std::fill_n(to, count * size, 0.0F);
              } else {
                std::copy_n(frame.at(states.tensor) + states.at(index, r.items, items.first), count * size, to);
              }
            };
            const auto finish = [&](const States& states, const float* from, std::size_t size) {
              if (states.tensor == kNone) return;
              std::copy_n(from, count * size, frame.at(states.tensor) + states.at(index, r.items, items.first));
            };
            start(operands.first_state, state, r.state);
            if (r.cell == Cell::lstm) start(operands.first_cell, cell, r.hidden);
            for (std::size_t i = 0; i < r.steps; ++i) {
              const std::size_t step = direction == 0 ? i : r.steps - 1 - i;
              project.run(0, state, static_cast<std::ptrdiff_t>(r.state), count, gates, gate_columns);
              for (std::size_t k = 0; k < count; ++k) {
                const std::size_t row = r.row(step, items.first + k);
                const float* x = frame.at(shared) + from_input + (direction * rows + row) * gate_columns;
                float* const to = r.is_projected ? long_state + k * r.hidden : state + k * r.state;
                advance(r, x, gates + k * gate_columns, to, cell + k * r.hidden);
              }
              if (r.is_projected) {
                shorten.run(0, long_state, static_cast<std::ptrdiff_t>(r.hidden), count, state, r.state);
              }
              if (out.tensor == kNone) continue;
              for (std::size_t k = 0; k < count; ++k) {
                const std::size_t row = r.row(step, items.first + k);
                std::copy_n(state + k * r.state, r.state,
                            frame.at(out.tensor) + out.offset + row * width + direction * r.state);
              }
            }
            finish(operands.last_state, state, r.state);
            if (r.cell == Cell::lstm) finish(operands.last_cell, cell, r.hidden);
          });
    in = out;
  }
  return {};
}

States states_of(bool is_there, const Operand& operand, std::size_t size) {
  return is_there ? States{operand.tensor, size} : States{};
}

template <class Rnn>
Status add_layers(Builder& b, const Rnn& op, Cell cell, std::int64_t proj_size) {
  const Shape& shape = b.input().shape;
  const bool is_batched = shape.size() == 3;
  Recurrence r;
  r.cell = cell;
  r.items_first = is_batched && op.batch_first;
  r.steps = size_of(is_batched ? shape[op.batch_first ? 1 : 0] : shape[0]);
  r.items = is_batched ? size_of(shape[op.batch_first ? 0 : 1]) : 1;
  r.input = size_of(op.input_size);
  r.hidden = size_of(op.hidden_size);
  r.is_projected = proj_size > 0;
  r.state = r.is_projected ? size_of(proj_size) : r.hidden;
  r.layers = size_of(op.num_layers);
  r.directions = op.bidirectional ? 2 : 1;
  r.has_bias = op.bias;
  Operands operands;
  operands.output = b.output().tensor;
  operands.first_state = states_of(b.input_count() > 1, b.input(b.input_count() > 1 ? 1 : 0), r.state);
  operands.first_cell = states_of(b.input_count() > 2, b.input(b.input_count() - 1), r.hidden);
  operands.last_state = states_of(b.output_count() > 1, b.output(b.output_count() > 1 ? 1 : 0), r.state);
  operands.last_cell = states_of(b.output_count() > 2, b.output(b.output_count() - 1), r.hidden);
  return add_recurrence(b, r, operands, true);
}

template <class CellOp>
Status add_cell(Builder& b, const CellOp& op, Cell cell) {
  const Shape& shape = b.input().shape;
  Recurrence r;
  r.cell = cell;
  r.items = shape.size() == 2 ? size_of(shape[0]) : 1;
  r.input = size_of(op.input_size);
  r.hidden = r.state = size_of(op.hidden_size);
  r.has_bias = op.bias;
  Operands operands;
  operands.first_state = states_of(b.input_count() > 1, b.input(b.input_count() > 1 ? 1 : 0), r.state);
  operands.first_cell = states_of(b.input_count() > 2, b.input(b.input_count() - 1), r.hidden);
  operands.last_state = states_of(true, b.output(), r.state);
  operands.last_cell = states_of(b.output_count() > 1, b.output(b.output_count() - 1), r.hidden);
  return add_recurrence(b, r, operands, false);
}

Cell cell_of(RnnNonlinearity nonlinearity) {
  return nonlinearity == RnnNonlinearity::relu ? Cell::relu : Cell::tanh;
}

}  // namespace

Status build_recurrence(Builder& b) {
  switch (b.op().kind()) {
    case OperatorKind::RNN:
      return add_layers(b, b.get<RNN>(), cell_of(b.get<RNN>().nonlinearity), 0);
    case OperatorKind::LSTM:
      return add_layers(b, b.get<LSTM>(), Cell::lstm, b.get<LSTM>().proj_size);
    case OperatorKind::GRU:
      return add_layers(b, b.get<GRU>(), Cell::gru, 0);
    case OperatorKind::RNNCell:
      return add_cell(b, b.get<RNNCell>(), cell_of(b.get<RNNCell>().nonlinearity));
    case OperatorKind::LSTMCell:
      return add_cell(b, b.get<LSTMCell>(), Cell::lstm);
    default:
      return add_cell(b, b.get<GRUCell>(), Cell::gru);
  }
}

}  // namespace rushlight::runtime::cpu
