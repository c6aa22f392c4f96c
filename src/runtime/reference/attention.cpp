// Attention: scaled products, torch's MultiheadAttention, and the shifted windows of Swin Transformers.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/checked.hpp"
#include "runtime/reference/operators.hpp"
#include "runtime/reference/walk.hpp"

namespace rushlight::runtime::reference {
namespace {

// What a row becomes when all of its scores are -inf.
enum class AllMasked { nan, zeros };

void softmax(std::span<double> row, AllMasked all_masked) {
  double largest = -HUGE_VAL;
  bool has_nan = false;
  for (const double score : row) {
    largest = std::max(largest, score);
    has_nan = has_nan || std::isnan(score);
  }
  if (largest == -HUGE_VAL && !has_nan && all_masked == AllMasked::zeros) {
    std::fill(row.begin(), row.end(), 0.0);
    return;
  }
  double sum = 0;
  for (double& score : row) {
    score = std::exp(score - largest);  // NaN where both are infinite
    sum += score;
  }
  for (double& score : row) score /= sum;
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// y = weight x + bias, for rows [first, first + y.size()) of the weight.
void project(std::span<const float> weight, std::span<const float> bias, std::size_t first, std::span<const double> x,
             std::span<double> y) {
  for (std::size_t o = 0; o < y.size(); ++o) {
    double sum = bias.empty() ? 0.0 : static_cast<double>(bias[first + o]);
    for (std::size_t i = 0; i < x.size(); ++i) sum += static_cast<double>(weight[(first + o) * x.size() + i]) * x[i];
    y[o] = sum;
  }
}

}  // namespace

// A boolean mask says which keys take part. is_causal is aligned at the first query and key, whatever the lengths.
Status compute(const ScaledDotProductAttention& op, const Call& call) {
  const ConstArray query = call.input(0);
  const ConstArray key = call.input(1);
  const ConstArray value = call.input(2);
  const Array out = call.output();
  const std::size_t rank = out.shape.size();
  const std::size_t queries = at(out.shape[rank - 2]);
  const std::size_t keys = at(key.shape[rank - 2]);
  const std::size_t size = at(query.shape.back());
  const std::size_t value_size = at(value.shape.back());
  const double scale = op.scale.value_or(1 / std::sqrt(static_cast<double>(size)));
  const std::span<const std::int64_t> batch = out.shape.first(rank - 2);
  const std::size_t items = count_of(batch);
  const std::span<std::int64_t> score_shape = call.take<std::int64_t>(rank);
  std::copy(out.shape.begin(), out.shape.end(), score_shape.begin());
  score_shape[rank - 1] = static_cast<std::int64_t>(keys);
  // With grouped heads several neighbouring queries share one head of keys and values.
  const auto matrix_of = [&](const ConstArray& array, std::size_t item) {
    const std::span<const std::int64_t> own = array.shape.first(rank - 2);
    if (!op.enable_gqa || rank < 3) return broadcast_place(item, batch, own);
    const std::size_t heads = at(batch.back());
    const std::size_t own_heads = at(own.back());
    const std::size_t head = item % heads / (heads / own_heads);
    const auto before = [](std::span<const std::int64_t> shape) { return shape.first(shape.size() - 1); };
    return broadcast_place(item / heads, before(batch), before(own)) * own_heads + head;
  };
  const std::span<double> scores = call.take<double>(keys);
  for (std::size_t item = 0; item < items; ++item) {
    const std::size_t first_query = matrix_of(query, item) * queries;
    const std::size_t first_key = matrix_of(key, item) * keys;
    const std::size_t first_value = matrix_of(value, item) * keys;
    for (std::size_t i = 0; i < queries; ++i) {
      for (std::size_t j = 0; j < keys; ++j) {
        scores[j] = scale * dot(query.values.subspan((first_query + i) * size, size),
                                key.values.subspan((first_key + j) * size, size));
        if (op.is_causal && j > i) scores[j] = -HUGE_VAL;
        if (call.inputs.size() < 4) continue;
        const ConstArray mask = call.input(3);
        const double masked = mask.values[broadcast_place((item * queries + i) * keys + j, score_shape, mask.shape)];
        if (mask.dtype == DType::boolean) {
          if (masked == 0) scores[j] = -HUGE_VAL;
        } else {
          scores[j] += masked;
        }
      }
      softmax(scores, AllMasked::zeros);
      for (std::size_t k = 0; k < value_size; ++k) {
        double sum = 0;
        for (std::size_t j = 0; j < keys; ++j) sum += scores[j] * value.values[(first_value + j) * value_size + k];
        out.values[(item * queries + i) * value_size + k] = sum;
      }
    }
  }
  return {};
}

// A boolean mask says which keys are left out. F.multi_head_attention_forward in torch/nn/functional.py.
Status compute(const MultiheadAttention& op, const Call& call) {
  const ConstArray query = call.input(0);
  const ConstArray key = call.input(1);
  const ConstArray value = call.input(2);
  const bool is_batched = query.shape.size() == 3;
  const std::size_t items = is_batched ? at(query.shape[op.batch_first ? 0 : 1]) : 1;
  const std::size_t length_dim = is_batched && op.batch_first ? 1 : 0;
  const std::size_t queries = at(query.shape[length_dim]);
  const std::size_t given_keys = at(key.shape[length_dim]);
  const std::size_t keys = given_keys + (op.add_bias_kv ? 1U : 0U) + (op.add_zero_attn ? 1U : 0U);
  const std::size_t embed = at(op.embed_dim);
  const std::size_t heads = at(op.num_heads);
  const std::size_t size = embed / heads;
  const auto row = [&](const ConstArray& array, std::size_t item, std::size_t place) {
    const std::size_t features = at(array.shape.back());
    const std::size_t length = at(array.shape[length_dim]);
    const std::size_t index = is_batched && op.batch_first ? item * length + place : place * items + item;
    return array.values.subspan(index * features, features);
  };
  // One matrix for queries, keys and values, in that order, or three where their sizes differ.
  const bool is_joined = !call.parameter("in_proj_weight").empty();
  const std::span<const float> joined = call.parameter("in_proj_weight");
  const std::span<const float> bias = call.parameter("in_proj_bias");
  const auto project_in = [&](std::size_t which, std::string_view name, std::span<const double> x,
                              std::span<double> y) {
    const std::span<const float> own = is_joined ? joined.subspan(which * embed * embed) : call.parameter(name);
    project(own, bias.empty() ? bias : bias.subspan(which * embed), 0, x, y);
  };
  const ConstArray* const attn_mask = op.attn_mask ? &call.inputs[3] : nullptr;
  const ConstArray* const padding = op.key_padding_mask ? &call.inputs.back() : nullptr;
  const auto masked = [](const ConstArray& mask, std::size_t place) {
    if (mask.dtype == DType::boolean) return mask.values[place] != 0 ? -HUGE_VAL : 0.0;
    return mask.values[place];
  };
  const std::span<double> k = call.take<double>(keys * embed);
  const std::span<double> v = call.take<double>(keys * embed);
  const std::span<double> q = call.take<double>(embed);
  const std::span<double> attended = call.take<double>(embed);
  const std::span<double> scores = call.take<double>(keys);
  const Array out = call.output();
  if (call.outputs.size() > 1) std::fill(call.output(1).values.begin(), call.output(1).values.end(), 0.0);
  for (std::size_t item = 0; item < items; ++item) {
    std::fill(k.begin(), k.end(), 0.0);  // what add_zero_attn appends
    std::fill(v.begin(), v.end(), 0.0);
    for (std::size_t j = 0; j < given_keys; ++j) {
      project_in(1, "k_proj_weight", row(key, item, j), k.subspan(j * embed, embed));
      project_in(2, "v_proj_weight", row(value, item, j), v.subspan(j * embed, embed));
    }
    if (op.add_bias_kv) {
      for (std::size_t i = 0; i < embed; ++i) {
        k[given_keys * embed + i] = static_cast<double>(call.parameter("bias_k")[i]);
        v[given_keys * embed + i] = static_cast<double>(call.parameter("bias_v")[i]);
      }
    }
    for (std::size_t i = 0; i < queries; ++i) {
      project_in(0, "q_proj_weight", row(query, item, i), q);
      for (std::size_t head = 0; head < heads; ++head) {
        for (std::size_t j = 0; j < keys; ++j) {
          scores[j] = dot(q.subspan(head * size, size), k.subspan(j * embed + head * size, size)) /
                      std::sqrt(static_cast<double>(size));
          if (j >= given_keys) continue;  // masks do not reach what was appended
          if (attn_mask != nullptr) {
            const std::size_t matrix = attn_mask->shape.size() == 3 ? item * heads + head : 0;
            scores[j] += masked(*attn_mask, (matrix * queries + i) * given_keys + j);
          }
          if (padding != nullptr) scores[j] += masked(*padding, item * given_keys + j);
        }
        // Without the weights torch takes the way of scaled_dot_product_attention.
        softmax(scores, op.need_weights ? AllMasked::nan : AllMasked::zeros);
        for (std::size_t c = 0; c < size; ++c) {
          double sum = 0;
          for (std::size_t j = 0; j < keys; ++j) sum += scores[j] * v[j * embed + head * size + c];
          attended[head * size + c] = sum;
        }
        if (call.outputs.size() < 2) continue;
        for (std::size_t j = 0; j < keys; ++j) {
          const std::size_t matrix = op.average_attn_weights ? item : item * heads + head;
          const double share = op.average_attn_weights ? static_cast<double>(heads) : 1.0;
          call.output(1).values[(matrix * queries + i) * keys + j] += scores[j] / share;
        }
      }
      const std::size_t index = is_batched && op.batch_first ? item * queries + i : i * items + item;
      project(call.parameter("out_proj.weight"), call.parameter("out_proj.bias"), 0, attended,
              out.values.subspan(index * embed, embed));
    }
  }
  return {};
}

namespace {

// One dimension of the windows of a map.
struct WindowSide {
  std::size_t size;  // of the map
  std::size_t window;
  std::size_t padded;  // a multiple of the window
  std::size_t shift;   // 0 where one window covers all

  WindowSide(std::int64_t map_size, std::int64_t window_size, std::int64_t shift_size)
      : size(at(map_size)),
        window(at(window_size)),
        padded((size + window - 1) / window * window),
        shift(window >= padded ? 0 : at(shift_size)) {}
  [[nodiscard]] std::size_t windows() const { return padded / window; }
  // Where in the padded map place `i` of window `w` lies: windows see a map that was rolled back by the shift.
  [[nodiscard]] std::size_t place(std::size_t w, std::size_t i) const { return (w * window + i + shift) % padded; }
  // Which part of the rolled map it belongs to. Parts that were no neighbours before do not see each other.
  [[nodiscard]] int part(std::size_t w, std::size_t i) const {
    const std::size_t rolled = w * window + i;
    if (shift > 0 && rolled + shift >= padded) return 2;
    return rolled + window < padded ? 0 : 1;
  }
};

// What the score of a head gains for the distance of two places: a table that was learnt, or with v2 what a small
// network makes of the distances on a logarithmic scale.
void fill_position_bias(const ShiftedWindowAttention& op, const Call& call, std::span<double> bias) {
  const std::size_t heads = at(op.num_heads);
  const std::int64_t rows = 2 * op.window_size.h - 1;
  const std::int64_t columns = 2 * op.window_size.w - 1;
  if (!op.v2) {
    const std::span<const float> table = call.parameter("relative_position_bias_table");
    for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<double>(table[i]);
    return;
  }
  // 8 at the far end. A side of one place has 0 / 0: NaN, as in torchvision.
  const auto scaled = [](std::int64_t place, std::int64_t window) {
    const double far = 8 * static_cast<double>(place - (window - 1)) / static_cast<double>(window - 1);
    return std::copysign(std::log2(std::fabs(far) + 1) / 3, far);
  };
  const std::span<const float> weight = call.parameter("cpb_mlp.0.weight");
  const std::span<const float> first_bias = call.parameter("cpb_mlp.0.bias");
  const std::span<const float> second = call.parameter("cpb_mlp.2.weight");
  const std::span<double> hidden = call.take<double>(first_bias.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      const double distance[] = {scaled(row, op.window_size.h), scaled(column, op.window_size.w)};
      project(weight, first_bias, 0, distance, hidden);
      for (double& value : hidden) value = value < 0 ? 0.0 : value;
      const std::span<double> to = bias.subspan(at(row * columns + column) * heads, heads);
      project(second, {}, 0, hidden, to);
      for (double& value : to) value = 16 / (1 + std::exp(-value));
    }
  }
}

// F.normalize.
void normalise(std::span<double> row) {
  const double norm = std::max(std::sqrt(dot(row, row)), 1e-12);
  for (double& value : row) value /= norm;
}

}  // namespace

// shifted_window_attention in torchvision/models/swin_transformer.py. The map is padded with zeros behind to whole
// windows, and rolled; what the padding attends to is dropped, but the map attends to the padding.
Status compute(const ShiftedWindowAttention& op, const Call& call) {
  const ConstArray in = call.input();
  const Array out = call.output();
  const std::size_t dim = at(op.dim);
  const std::size_t heads = at(op.num_heads);
  const std::size_t size = dim / heads;
  const WindowSide rows(in.shape[1], op.window_size.h, op.shift_size.h);
  const WindowSide columns(in.shape[2], op.window_size.w, op.shift_size.w);
  const bool is_shifted = rows.shift + columns.shift > 0;
  const std::size_t places = rows.window * columns.window;
  const std::size_t table_columns = 2 * columns.window - 1;
  const std::span<double> position_bias = call.take<double>((2 * rows.window - 1) * table_columns * heads);
  fill_position_bias(op, call, position_bias);
  const std::span<double> qkv = call.take<double>(places * 3 * dim);  // of one window: [place][q, k, v][dim]
  const std::span<double> none = call.take<double>(dim);              // padding
  const std::span<double> scores = call.take<double>(places);
  const std::span<double> attended = call.take<double>(dim);
  const std::span<const float> bias = call.parameter("qkv.bias");
  const auto part = [&](std::size_t which, std::size_t place, std::size_t head) {
    return qkv.subspan((place * 3 + which) * dim + head * size, size);
  };
  for (std::size_t window = 0; window < at(in.shape[0]) * rows.windows() * columns.windows(); ++window) {
    const std::size_t column = window % columns.windows();
    const std::size_t row = window / columns.windows() % rows.windows();
    const std::size_t item = window / columns.windows() / rows.windows();
    // Index of a place's vector in the map; nothing for padding.
    const auto vector_of = [&](std::size_t place) -> std::optional<std::size_t> {
      const std::size_t h = rows.place(row, place / columns.window);
      const std::size_t w = columns.place(column, place % columns.window);
      if (h >= rows.size || w >= columns.size) return std::nullopt;
      return ((item * rows.size + h) * columns.size + w) * dim;
    };
    for (std::size_t place = 0; place < places; ++place) {
      const std::optional<std::size_t> vector = vector_of(place);
      const std::span<const double> x = vector ? in.values.subspan(*vector, dim) : std::span<const double>(none);
      for (std::size_t which = 0; which < 3; ++which) {
        const bool has_bias = !op.v2 || which != 1;  // v2's keys have none, whatever the file holds
        project(call.parameter("qkv.weight"), has_bias ? bias : std::span<const float>(), which * dim, x,
                qkv.subspan((place * 3 + which) * dim, dim));
      }
      if (!op.v2) continue;
      for (std::size_t head = 0; head < heads; ++head) {
        normalise(part(0, place, head));
        normalise(part(1, place, head));
      }
    }
    for (std::size_t i = 0; i < places; ++i) {
      const std::optional<std::size_t> vector = vector_of(i);
      if (!vector) continue;
      for (std::size_t head = 0; head < heads; ++head) {
        double scale = 1 / std::sqrt(static_cast<double>(size));
        if (op.v2)
          scale = std::exp(std::min(static_cast<double>(call.parameter("logit_scale")[head]), std::log(100.0)));
        for (std::size_t j = 0; j < places; ++j) {
          const std::size_t down = i / columns.window + rows.window - 1 - j / columns.window;
          const std::size_t right = i % columns.window + columns.window - 1 - j % columns.window;
          scores[j] = scale * dot(part(0, i, head), part(1, j, head)) +
                      position_bias[(down * table_columns + right) * heads + head];
          const bool are_apart = rows.part(row, i / columns.window) != rows.part(row, j / columns.window) ||
                                 columns.part(column, i % columns.window) != columns.part(column, j % columns.window);
          if (is_shifted && are_apart) scores[j] -= 100;  // not -inf: torchvision's
        }
        softmax(scores, AllMasked::nan);
        for (std::size_t c = 0; c < size; ++c) {
          double sum = 0;
          for (std::size_t j = 0; j < places; ++j) sum += scores[j] * part(2, j, head)[c];
          attended[head * size + c] = sum;
        }
      }
      project(call.parameter("proj.weight"), call.parameter("proj.bias"), 0, attended,
              out.values.subspan(*vector, dim));
    }
  }
  return {};
}

std::optional<std::uint64_t> scratch_bytes(const Operator& op) {
  const auto* const windows = op.get_if<ShiftedWindowAttention>();
  if (windows == nullptr) return 0;
  const auto count = [](std::initializer_list<std::int64_t> factors) {
    std::optional<std::uint64_t> product = sizeof(double);
    for (const std::int64_t factor : factors) {
      if (product) product = checked_mul(*product, static_cast<std::uint64_t>(factor));
    }
    return product;
  };
  const IntPair window = windows->window_size;
  constexpr std::int64_t kMost = std::int64_t{1} << 61;
  if (window.h > kMost || window.w > kMost) return std::nullopt;
  const auto vectors = count({window.h, window.w, 3, windows->dim});
  const auto table = count({2 * window.h - 1, 2 * window.w - 1, windows->num_heads});
  return vectors && table ? checked_add(*vectors, *table) : std::nullopt;
}

}  // namespace rushlight::runtime::reference
