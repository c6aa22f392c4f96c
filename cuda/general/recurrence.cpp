// RNN, LSTM, GRU and their cells: what the input gives to the gates is one product over all steps of time, what the
// state gives follows step by step, both directions of a layer at a time.
#include <string>

#include "cuda/general/projections.hpp"

namespace rushlight::cuda {
namespace {

// More launches than a graph should have: the host computes it.
constexpr std::int64_t kMostSteps = 1 << 16;

// One operator, whichever of the six it is.
struct Recurrence {
  RecurrentRule rule = RecurrentRule::tanh;
  std::int64_t steps = 1;
  std::int64_t items = 1;
  bool items_first = false;  // rows are [items][steps], not [steps][items]
  std::int64_t input = 0;
  std::int64_t hidden = 0;
  std::int64_t state = 0;  // of the output: hidden, or what it is projected to
  std::int64_t layers = 1;
  std::int64_t directions = 1;
  bool has_bias = true;
  bool is_projected = false;
  bool is_cell = false;
};

// [layers * directions][items][size], or null.
struct States {
  const float* first_state = nullptr;  // before the first step; null: zeros
  const float* first_cell = nullptr;
  float* output = nullptr;  // [steps][items][directions * state], or [items][steps]; of a cell its state
  bool keeps_state = false;
  bool keeps_cell = false;
  float* last_state = nullptr;  // after the last step, where it is kept
  float* last_cell = nullptr;
};

struct DirectionWeights {
  const float* of_state = nullptr;
  const float* bias = nullptr;
  const float* of_output = nullptr;
};

bool add_recurrence(GeneralMaker& maker, const Recurrence& r, const States& states) {
  if (r.steps == 0 || r.steps > kMostSteps / r.layers) return false;
  const std::int64_t rows = r.steps * r.items;
  const std::int64_t width = r.directions * r.state;
  const std::int64_t columns = gates_of(r.rule) * r.hidden;
  const bool is_lstm = r.rule == RecurrentRule::lstm;
  float* const x = maker.scratch(r.directions * rows * columns);
  float* const between[2] = {maker.scratch(r.layers > 1 ? rows * width : 0),
                             maker.scratch(r.layers > 2 ? rows * width : 0)};
  float* const cells = maker.scratch(is_lstm && !states.keeps_cell ? r.directions * r.items * r.hidden : 0);
  float* const unprojected = maker.scratch(r.is_projected ? r.directions * r.items * r.hidden : 0);
  // Distances in rows, of items and of steps.
  const std::int64_t item_rows = r.items_first ? r.steps : 1;
  const std::int64_t step_rows = r.items_first ? 1 : r.items;

  ItemRows in{reinterpret_cast<float*>(maker.input_at()), r.input, 0};
  std::int64_t in_features = r.input;
  for (std::int64_t layer = 0; layer < r.layers; ++layer) {
    DirectionWeights weights[2];
    for (std::int64_t direction = 0; direction < r.directions; ++direction) {
      const std::string suffix =
          r.is_cell ? std::string() : "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
      const float* const of_input = maker.parameter("weight_ih" + suffix);
      DirectionWeights& each = weights[direction];
      each.of_state = maker.parameter("weight_hh" + suffix);
      const float* const input_bias = r.has_bias ? maker.parameter("bias_ih" + suffix) : nullptr;
      if (r.has_bias) each.bias = maker.parameter("bias_hh" + suffix);
      if (r.is_projected) each.of_output = maker.parameter("weight_hr" + suffix);
      if (!add_projection(maker, 1, rows, in, in_features, of_input, input_bias,
                          {behind(x, direction * rows * columns), columns, 0}, columns)) {
        return false;
      }
    }
    float* const out = layer + 1 == r.layers ? states.output : between[layer % 2];
    const std::int64_t block = layer * r.directions * r.items;  // of states, in items
    for (std::int64_t i = 0; i < r.steps; ++i) {
      RecurrentStepArguments a;
      a.rule = r.rule;
      a.directions = static_cast<int>(r.directions);
      a.items = r.items;
      a.units = Divisor64(r.hidden);
      a.item_blocks = Divisor64(ceil_div<std::int64_t>(r.items, kRecurrentItems));
      a.depth = r.state;
      a.x_item = item_rows * columns;
      a.before_item = i == 0 ? r.state : item_rows * width;
      a.state_item = item_rows * width;
      RecurrentStepArguments projection = a;
      for (std::int64_t direction = 0; direction < r.directions; ++direction) {
        const std::int64_t step = direction == 0 ? i : r.steps - 1 - i;
        const std::int64_t step_before = direction == 0 ? step - 1 : step + 1;
        const std::int64_t state_block = block + direction * r.items;
        RecurrentDirection& d = a.at[direction];
        d.weights = weights[direction].of_state;
        d.bias = weights[direction].bias;
        d.x = behind(x, (direction * rows + step * step_rows) * columns);
        d.before = i == 0 ? behind(states.first_state, state_block * r.state)
                          : behind(out, step_before * step_rows * width + direction * r.state);
        d.state = behind(out, step * step_rows * width + direction * r.state);
        const bool is_last = i + 1 == r.steps;
        if (is_last && states.keeps_state) d.last = behind(states.last_state, state_block * r.state);
        if (is_lstm) {
          d.cell = states.keeps_cell ? behind(states.last_cell, state_block * r.hidden)
                                     : behind(cells, direction * r.items * r.hidden);
          d.cell_before = i == 0 ? behind(states.first_cell, state_block * r.hidden) : d.cell;
        }
        if (!r.is_projected) continue;
        RecurrentDirection& shortened = projection.at[direction];
        shortened.weights = weights[direction].of_output;
        shortened.before = behind(unprojected, direction * r.items * r.hidden);
        shortened.state = d.state;
        shortened.last = d.last;
        d.state = behind(unprojected, direction * r.items * r.hidden);
        d.last = nullptr;
      }
      if (r.is_projected) a.state_item = r.hidden;
      maker.add(a);
      if (!r.is_projected) continue;
      projection.rule = RecurrentRule::projection;
      projection.units = Divisor64(r.state);
      projection.depth = r.hidden;
      projection.before_item = r.hidden;
      maker.add(projection);
    }
    in = {out, width, 0};
    in_features = width;
  }
  return true;
}

// What all recurrent operators have: the output, and the states before the first step where they are given.
States output_and_first_states(GeneralMaker& maker) {
  States states;
  states.output = maker.floats_out();
  if (maker.input_count() > 1) states.first_state = maker.floats_in(1);
  if (maker.input_count() > 2) states.first_cell = maker.floats_in(2);
  return states;
}

template <class Rnn>
bool add_layers(GeneralMaker& maker, const Rnn& op, RecurrentRule rule, std::int64_t proj_size) {
  const Shape& shape = maker.input().shape;
  const bool is_batched = shape.size() == 3;
  Recurrence r;
  r.rule = rule;
  r.items_first = is_batched && op.batch_first;
  r.steps = is_batched ? shape[op.batch_first ? 1 : 0] : shape[0];
  r.items = is_batched ? shape[op.batch_first ? 0 : 1] : 1;
  r.input = op.input_size;
  r.hidden = op.hidden_size;
  r.is_projected = proj_size > 0;
  r.state = r.is_projected ? proj_size : r.hidden;
  r.layers = op.num_layers;
  r.directions = op.bidirectional ? 2 : 1;
  r.has_bias = op.bias;
  States states = output_and_first_states(maker);
  states.keeps_state = maker.output_count() > 1;
  if (states.keeps_state) states.last_state = maker.floats_out(1);
  states.keeps_cell = maker.output_count() > 2;
  if (states.keeps_cell) states.last_cell = maker.floats_out(2);
  return add_recurrence(maker, r, states);
}

template <class Cell>
bool add_cell(GeneralMaker& maker, const Cell& op, RecurrentRule rule) {
  const Shape& shape = maker.input().shape;
  Recurrence r;
  r.rule = rule;
  r.is_cell = true;
  r.items = shape.size() == 2 ? shape[0] : 1;
  r.input = op.input_size;
  r.hidden = r.state = op.hidden_size;
  r.has_bias = op.bias;
  States states = output_and_first_states(maker);
  states.keeps_cell = maker.output_count() > 1;
  if (states.keeps_cell) states.last_cell = maker.floats_out(1);
  return add_recurrence(maker, r, states);
}

RecurrentRule rule_of(RnnNonlinearity nonlinearity) {
  return nonlinearity == RnnNonlinearity::relu ? RecurrentRule::relu : RecurrentRule::tanh;
}

}  // namespace

bool make_recurrence(GeneralMaker& maker) {
  switch (maker.op().kind()) {
    case OperatorKind::RNN:
      return add_layers(maker, maker.get<RNN>(), rule_of(maker.get<RNN>().nonlinearity), 0);
    case OperatorKind::LSTM:
      return add_layers(maker, maker.get<LSTM>(), RecurrentRule::lstm, maker.get<LSTM>().proj_size);
    case OperatorKind::GRU:
      return add_layers(maker, maker.get<GRU>(), RecurrentRule::gru, 0);
    case OperatorKind::RNNCell:
      return add_cell(maker, maker.get<RNNCell>(), rule_of(maker.get<RNNCell>().nonlinearity));
    case OperatorKind::LSTMCell:
      return add_cell(maker, maker.get<LSTMCell>(), RecurrentRule::lstm);
    default:
      return add_cell(maker, maker.get<GRUCell>(), RecurrentRule::gru);
  }
}

}  // namespace rushlight::cuda
