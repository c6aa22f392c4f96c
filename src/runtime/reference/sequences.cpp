// Embeddings and recurrence.
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/fail.hpp"
#include "runtime/failure.hpp"
#include "runtime/reference/operators.hpp"
#include "runtime/reference/walk.hpp"

namespace rushlight::runtime::reference {
namespace {

Result<std::size_t> checked_index(double value, std::size_t size) {
  if (value >= 0 && value < static_cast<double>(size)) return static_cast<std::size_t>(value);
  return index_outside(static_cast<std::int64_t>(value), static_cast<std::int64_t>(size));
}

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

// Of one layer and direction; empty where there is none.
struct Weights {
  std::span<const float> ih;
  std::span<const float> hh;
  std::span<const float> bias_ih;
  std::span<const float> bias_hh;
  std::span<const float> hr;
};

// Row `row` of weight times x, plus its bias.
double row_product(std::span<const float> weight, std::span<const float> bias, std::size_t row,
                   std::span<const double> x) {
  double sum = bias.empty() ? 0.0 : static_cast<double>(bias[row]);
  for (std::size_t k = 0; k < x.size(); ++k) sum += static_cast<double>(weight[row * x.size() + k]) * x[k];
  return sum;
}

// One step of one item: from x and the state h to `next`. An LSTM changes its cell c on the way; h is projected where
// it has a projection, c and `next` are not.

struct RnnStep {
  RnnNonlinearity nonlinearity;
  void operator()(const Weights& w, std::span<const double> x, std::span<const double> h, std::span<double>,
                  std::span<double> next) const {
    for (std::size_t j = 0; j < next.size(); ++j) {
      const double sum = row_product(w.ih, w.bias_ih, j, x) + row_product(w.hh, w.bias_hh, j, h);
      next[j] = nonlinearity == RnnNonlinearity::tanh ? std::tanh(sum) : sum < 0 ? 0.0 : sum;
    }
  }
};

// Gates stand in the order i, f, g, o.
struct LstmStep {
  void operator()(const Weights& w, std::span<const double> x, std::span<const double> h, std::span<double> c,
                  std::span<double> next) const {
    const std::size_t size = next.size();
    const auto gate = [&](std::size_t which, std::size_t j) {
      return row_product(w.ih, w.bias_ih, which * size + j, x) + row_product(w.hh, w.bias_hh, which * size + j, h);
    };
    for (std::size_t j = 0; j < size; ++j) {
      c[j] = sigmoid(gate(1, j)) * c[j] + sigmoid(gate(0, j)) * std::tanh(gate(2, j));
      next[j] = sigmoid(gate(3, j)) * std::tanh(c[j]);
    }
  }
};

// Gates stand in the order r, z, n; the reset gate acts after the product with the state.
struct GruStep {
  void operator()(const Weights& w, std::span<const double> x, std::span<const double> h, std::span<double>,
                  std::span<double> next) const {
    const std::size_t size = next.size();
    for (std::size_t j = 0; j < size; ++j) {
      const double r = sigmoid(row_product(w.ih, w.bias_ih, j, x) + row_product(w.hh, w.bias_hh, j, h));
      const double z = sigmoid(row_product(w.ih, w.bias_ih, size + j, x) + row_product(w.hh, w.bias_hh, size + j, h));
      const double n =
          std::tanh(row_product(w.ih, w.bias_ih, 2 * size + j, x) + r * row_product(w.hh, w.bias_hh, 2 * size + j, h));
      next[j] = (1 - z) * n + z * h[j];
    }
  }
};

// The parameters of the layers in the table's order: weight_ih, weight_hh, bias_ih and bias_hh, weight_hr.
class LayerWeights {
 public:
  LayerWeights(const Call& call, bool has_bias, bool has_projection)
      : call_(call), has_bias_(has_bias), has_projection_(has_projection) {}
  // Of the next direction, or of the next layer.
  Weights next() {
    Weights w;
    w.ih = take();
    w.hh = take();
    if (has_bias_) w.bias_ih = take();
    if (has_bias_) w.bias_hh = take();
    if (has_projection_) w.hr = take();
    return w;
  }

 private:
  std::span<const float> take() { return call_.parameter(call_.parameters[next_++].name); }

  const Call& call_;
  bool has_bias_;
  bool has_projection_;
  std::size_t next_ = 0;
};

// Sequences of items as [time, item, feature], whatever the layout of the tensor.
struct Sequences {
  std::span<double> values;
  std::size_t time_step;
  std::size_t item_step;
  std::size_t features;
  [[nodiscard]] std::span<double> at(std::size_t time, std::size_t item) const {
    return values.subspan(time * time_step + item * item_step, features);
  }
};

template <class Rnn, class Step>
Status run_layers(const Rnn& op, const Call& call, std::size_t projected, const Step& step) {
  const ConstArray input = call.input();
  const bool is_batched = input.shape.size() == 3;
  const std::size_t items = is_batched ? at(input.shape[op.batch_first ? 0 : 1]) : 1;
  const std::size_t length = at(input.shape[is_batched && op.batch_first ? 1 : 0]);
  const std::size_t hidden = at(op.hidden_size);
  const std::size_t state_size = projected > 0 ? projected : hidden;
  const std::size_t directions = op.bidirectional ? 2 : 1;
  const auto sequences = [&](std::span<double> values, std::size_t features) {
    const bool items_first = is_batched && op.batch_first;
    return Sequences{values, items_first ? features : items * features, items_first ? length * features : features,
                     features};
  };
  // The input, then what each layer puts out: two rooms by turns.
  const std::size_t width = state_size * directions;
  std::span<double> rooms[2] = {call.take<double>(length * items * width), call.take<double>(length * items * width)};
  const std::span<double> first = call.take<double>(input.values.size());
  std::copy(input.values.begin(), input.values.end(), first.begin());
  Sequences x = sequences(first, at(op.input_size));
  const std::span<double> h = call.take<double>(state_size);
  const std::span<double> c = call.take<double>(hidden);
  const std::span<double> next = call.take<double>(hidden);
  LayerWeights weights(call, op.bias, projected > 0);
  for (std::size_t layer = 0; layer < at(op.num_layers); ++layer) {
    const Sequences y = sequences(rooms[layer % 2], width);
    for (std::size_t direction = 0; direction < directions; ++direction) {
      const Weights w = weights.next();
      for (std::size_t item = 0; item < items; ++item) {
        // States are [layer and direction, item, feature].
        const std::size_t state = (layer * directions + direction) * items + item;
        const auto begin = [&](std::size_t i, std::span<double> values) {
          std::fill(values.begin(), values.end(), 0.0);
          if (i < call.inputs.size()) {
            const auto from = call.input(i).values.subspan(state * values.size(), values.size());
            std::copy(from.begin(), from.end(), values.begin());
          }
        };
        begin(1, h);
        begin(2, c);
        for (std::size_t step_index = 0; step_index < length; ++step_index) {
          const std::size_t time = direction == 0 ? step_index : length - 1 - step_index;
          step(w, x.at(time, item), h, c, next);
          if (projected > 0) {
            for (std::size_t j = 0; j < projected; ++j) h[j] = row_product(w.hr, {}, j, next);
          } else {
            std::copy(next.begin(), next.end(), h.begin());
          }
          std::copy(h.begin(), h.end(), y.at(time, item).subspan(direction * state_size).begin());
        }
        const auto end = [&](std::size_t i, std::span<const double> values) {
          if (i >= call.outputs.size()) return;
          std::copy(values.begin(), values.end(), call.output(i).values.subspan(state * values.size()).begin());
        };
        end(1, h);
        end(2, c);
      }
    }
    x = y;
  }
  std::copy(x.values.begin(), x.values.end(), call.output().values.begin());
  return {};
}

// Cells take one step; without a state as input it is 0.
template <class Cell, class Step>
Status run_cell(const Cell& op, const Call& call, const Step& step) {
  const std::size_t in = at(op.input_size);
  const std::size_t hidden = at(op.hidden_size);
  const Weights w = {call.parameter("weight_ih"),
                     call.parameter("weight_hh"),
                     call.parameter("bias_ih"),
                     call.parameter("bias_hh"),
                     {}};
  const std::span<double> h = call.take<double>(hidden);
  const std::span<double> c = call.take<double>(hidden);
  const std::size_t items = call.input().shape.size() == 2 ? at(call.input().shape[0]) : 1;
  for (std::size_t item = 0; item < items; ++item) {
    const auto begin = [&](std::size_t i, std::span<double> values) {
      if (i >= call.inputs.size()) return;
      const auto from = call.input(i).values.subspan(item * hidden, hidden);
      std::copy(from.begin(), from.end(), values.begin());
    };
    begin(1, h);
    begin(2, c);
    step(w, call.input().values.subspan(item * in, in), h, c, call.output().values.subspan(item * hidden, hidden));
    if (call.outputs.size() > 1) std::copy(c.begin(), c.end(), call.output(1).values.subspan(item * hidden).begin());
    std::fill(c.begin(), c.end(), 0.0);
  }
  return {};
}

}  // namespace

Status compute(const Embedding&, const Call& call) {
  const std::span<const double> indices = call.input().values;
  const std::span<const float> weight = call.parameter("weight");
  const std::size_t size = at(call.output().shape.back());
  const std::size_t rows = size == 0 ? 0 : weight.size() / size;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    RUSHLIGHT_TRY_ASSIGN(const std::size_t row, checked_index(indices[i], rows));
    for (std::size_t k = 0; k < size; ++k) {
      call.output().values[i * size + k] = static_cast<double>(weight[row * size + k]);
    }
  }
  return {};
}

// padding_idx counts nowhere, not in the divisor of a mean either. An empty bag is 0.
Status compute(const EmbeddingBag& op, const Call& call) {
  const ConstArray indices = call.input(0);
  const std::span<const float> weight = call.parameter("weight");
  const std::span<double> y = call.output().values;
  const std::size_t size = at(call.output().shape.back());
  const std::size_t bags = at(call.output().shape[0]);
  const std::size_t rows = size == 0 ? 0 : weight.size() / size;
  const bool is_matrix = indices.shape.size() == 2;
  const std::size_t weights_input = is_matrix ? 1 : 2;
  const bool is_weighted = call.inputs.size() > weights_input;
  std::optional<std::int64_t> padding = op.padding_idx;
  if (padding && *padding < 0) *padding += static_cast<std::int64_t>(rows);
  const auto bag_begin = [&](std::size_t bag) -> Result<std::size_t> {
    if (is_matrix) return bag * at(indices.shape[1]);
    const std::span<const double> offsets = call.input(1).values;
    if (bag == offsets.size()) return indices.values.size();
    return checked_index(offsets[bag], indices.values.size() + 1);
  };
  std::fill(y.begin(), y.end(), 0.0);
  for (std::size_t bag = 0; bag < bags; ++bag) {
    RUSHLIGHT_TRY_ASSIGN(const std::size_t begin, bag_begin(bag));
    RUSHLIGHT_TRY_ASSIGN(const std::size_t end, bag_begin(bag + 1));
    double count = 0;
    for (std::size_t i = begin; i < end; ++i) {
      RUSHLIGHT_TRY_ASSIGN(const std::size_t row, checked_index(indices.values[i], rows));
      if (padding && *padding == static_cast<std::int64_t>(row)) continue;
      const double factor = is_weighted ? call.input(weights_input).values[i] : 1.0;
      for (std::size_t k = 0; k < size; ++k) {
        const double value = static_cast<double>(weight[row * size + k]) * factor;
        double& target = y[bag * size + k];
        if (op.mode == BagMode::max) {
          target = count == 0 || value > target || std::isnan(value) ? value : target;
        } else {
          target += value;
        }
      }
      ++count;
    }
    if (op.mode != BagMode::mean || count == 0) continue;
    for (std::size_t k = 0; k < size; ++k) y[bag * size + k] /= count;
  }
  return {};
}

Status compute(const RNN& op, const Call& call) {
  return run_layers(op, call, 0, RnnStep{op.nonlinearity});
}
Status compute(const LSTM& op, const Call& call) {
  return run_layers(op, call, at(op.proj_size), LstmStep{});
}
Status compute(const GRU& op, const Call& call) {
  return run_layers(op, call, 0, GruStep{});
}
Status compute(const RNNCell& op, const Call& call) {
  return run_cell(op, call, RnnStep{op.nonlinearity});
}
Status compute(const LSTMCell& op, const Call& call) {
  return run_cell(op, call, LstmStep{});
}
Status compute(const GRUCell& op, const Call& call) {
  return run_cell(op, call, GruStep{});
}

}  // namespace rushlight::runtime::reference
