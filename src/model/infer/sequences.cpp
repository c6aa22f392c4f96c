// Embeddings, attention, recurrence.
#include <algorithm>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "model/describe.hpp"
#include "model/infer/infer.hpp"

namespace rushlight::model {
namespace {

Status check_last(const std::string& what, std::int64_t expected, const Shape& shape) {
  if (expected == kFromWeights || shape.back() == kUnknown || shape.back() == expected) return {};
  return expected_found(what + " of " + std::to_string(expected), std::to_string(shape.back()), shape);
}

Status check_shape(const std::string& what, const Shape& expected, const Shape& found) {
  bool fits = expected.size() == found.size();
  for (std::size_t i = 0; fits && i < found.size(); ++i) {
    fits = expected[i] == kUnknown || found[i] == kUnknown || expected[i] == found[i];
  }
  if (fits) return {};
  return misfit(what + ": expected " + shape_text(expected) + ", found " + shape_text(found), shape_text(expected),
                shape_text(found));
}

std::int64_t known(std::int64_t size) {
  return size == kFromWeights ? kUnknown : size;
}

// [L, N, C], [N, L, C] or [L, C], and a state [layers * directions, N, C] or without N for each further input.
template <class Rnn>
Inferred infer_recurrent(const Rnn& op, const Operands& operands, std::size_t states, std::int64_t proj_size) {
  for (std::size_t i = 0; i < operands.inputs.size(); ++i) RUSHLIGHT_TRY(check_float(operands, i));
  const Shape& in = operands.shape();
  if (in.size() != 2 && in.size() != 3) return wrong_rank("2 or 3", in);
  RUSHLIGHT_TRY(check_last("an item", op.input_size, in));
  if (operands.inputs.size() != 1 && operands.inputs.size() != 1 + states) {
    return misfit("expected 1 or " + count_text(1 + states, "input") + ", found " +
                  std::to_string(operands.inputs.size()));
  }
  const std::int64_t directions = op.bidirectional ? 2 : 1;
  const std::int64_t size = proj_size > 0 ? proj_size : op.hidden_size;
  if (proj_size > 0 && proj_size >= op.hidden_size) return misfit("proj_size must be smaller than hidden_size");
  const std::int64_t batch = in.size() == 2 ? kUnknown : in[op.batch_first ? 0 : 1];
  const std::int64_t length = in.size() == 3 && op.batch_first ? in[1] : in[0];
  if (length == 0) return misfit("expected at least one step of time, found " + shape_text(in));
  const auto state_shape = [&](std::int64_t columns) {
    Shape shape = {op.num_layers * directions};
    if (in.size() == 3) shape.push_back(batch);
    shape.push_back(columns);
    return shape;
  };
  for (std::size_t i = 1; i < operands.inputs.size(); ++i) {
    RUSHLIGHT_TRY(check_shape("state", state_shape(i == 1 ? size : op.hidden_size), operands.shape(i)));
  }
  Shape out = in;
  out.back() = size * directions;
  std::vector<EdgeType> outputs = {{DType::f32, std::move(out)}, {DType::f32, state_shape(size)}};
  if (states == 2) outputs.push_back({DType::f32, state_shape(op.hidden_size)});
  return outputs;
}

template <class Cell>
Inferred infer_cell(const Cell& op, const Operands& operands, std::size_t states) {
  for (std::size_t i = 0; i < operands.inputs.size(); ++i) RUSHLIGHT_TRY(check_float(operands, i));
  const Shape& in = operands.shape();
  if (in.size() != 1 && in.size() != 2) return wrong_rank("1 or 2", in);
  RUSHLIGHT_TRY(check_last("an item", op.input_size, in));
  if (operands.inputs.size() != 1 && operands.inputs.size() != 1 + states) {
    return misfit("expected 1 or " + count_text(1 + states, "input") + ", found " +
                  std::to_string(operands.inputs.size()));
  }
  Shape state = in;
  state.back() = known(op.hidden_size);
  for (std::size_t i = 1; i < operands.inputs.size(); ++i)
    RUSHLIGHT_TRY(check_shape("state", state, operands.shape(i)));
  return std::vector<EdgeType>(states, {DType::f32, state});
}

}  // namespace

Inferred infer(const Embedding& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_indices(operands, 0));
  Shape shape = operands.shape();
  shape.push_back(known(op.embedding_dim));
  return one(std::move(shape));
}

// A matrix has a bag in each row; a vector has bags that begin where the second input says. The last input may hold
// weights.
Inferred infer(const EmbeddingBag& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_indices(operands, 0));
  const Shape& in = operands.shape();
  if (in.size() == 2) {
    if (operands.inputs.size() > 2) return misfit("a matrix has no offsets");
    if (in[1] == 0) return misfit("expected bags that are not empty, found " + shape_text(in));
    if (operands.inputs.size() == 2) {
      RUSHLIGHT_TRY(check_float(operands, 1));
      RUSHLIGHT_TRY(check_shape("weights", in, operands.shape(1)));
    }
    return one({in[0], known(op.embedding_dim)});
  }
  if (in.size() != 1) return wrong_rank("1 or 2", in);
  if (operands.inputs.size() < 2) return misfit("a vector wants offsets as second input");
  RUSHLIGHT_TRY(check_indices(operands, 1));
  if (operands.shape(1).size() != 1) return wrong_rank("1", operands.shape(1));
  if (operands.inputs.size() == 3) {
    RUSHLIGHT_TRY(check_float(operands, 2));
    RUSHLIGHT_TRY(check_shape("weights", in, operands.shape(2)));
    if (op.mode != BagMode::sum) return misfit("weights go with mode sum alone");
  }
  std::int64_t bags = operands.shape(1)[0];
  if (op.include_last_offset && bags == 0) return misfit("include_last_offset wants an offset");
  if (bags != kUnknown && op.include_last_offset) --bags;
  return one({bags, known(op.embedding_dim)});
}

Inferred infer(const ScaledDotProductAttention& op, const Operands& operands) {
  for (std::size_t i = 0; i < 3; ++i) {
    RUSHLIGHT_TRY(check_float(operands, i));
    if (operands.shape(i).size() < 2) return wrong_rank("2 or more", operands.shape(i));
  }
  const Shape& query = operands.shape(0);
  const Shape& key = operands.shape(1);
  const Shape& value = operands.shape(2);
  const std::size_t rank = query.size();
  if (key.size() != rank) return wrong_rank(std::to_string(rank), key);
  if (value.size() != rank) return wrong_rank(std::to_string(rank), value);
  RUSHLIGHT_TRY(check_last("keys", known(query.back()) == kUnknown ? kFromWeights : query.back(), key));
  if (key[rank - 2] != kUnknown && value[rank - 2] != kUnknown && key[rank - 2] != value[rank - 2]) {
    return misfit("keys of " + shape_text(key) + " have values of " + shape_text(value));
  }
  Shape shape = query;
  for (std::size_t i = 0; i + 2 < rank; ++i) {
    const bool heads = op.enable_gqa && i + 3 == rank;
    for (const Shape* other : {&key, &value}) {
      const std::int64_t theirs = (*other)[i];
      if (theirs == kUnknown || query[i] == kUnknown || theirs == query[i]) continue;
      if (heads && theirs > 0 && query[i] % theirs == 0) continue;
      if (!heads && (theirs == 1 || query[i] == 1)) {
        shape[i] = std::max(shape[i], theirs);
        continue;
      }
      return misfit("queries of " + shape_text(query) + " do not fit " + shape_text(*other));
    }
  }
  if (operands.inputs.size() == 4) {
    if (op.is_causal) return misfit("is_causal and a mask cannot both be given");
    if (operands.dtype(3) != DType::boolean && operands.dtype(3) != DType::f32) {
      return wrong_dtype(3, "bool or float32", operands.dtype(3));
    }
    Shape scores = shape;
    scores.back() = key[rank - 2];
    RUSHLIGHT_TRY_ASSIGN(const Shape masked, broadcast(scores, operands.shape(3)));
    RUSHLIGHT_TRY(check_shape("mask", scores, masked));
  }
  shape.back() = value.back();
  return one(std::move(shape));
}

Inferred infer(const MultiheadAttention& op, const Operands& operands) {
  for (std::size_t i = 0; i < 3; ++i) RUSHLIGHT_TRY(check_float(operands, i));
  const Shape& query = operands.shape(0);
  const Shape& key = operands.shape(1);
  const Shape& value = operands.shape(2);
  if (query.size() != 2 && query.size() != 3) return wrong_rank("2 or 3", query);
  if (key.size() != query.size()) return wrong_rank(std::to_string(query.size()), key);
  if (value.size() != query.size()) return wrong_rank(std::to_string(query.size()), value);
  RUSHLIGHT_TRY(check_last("queries", op.embed_dim, query));
  RUSHLIGHT_TRY(check_last("keys", op.kdim.value_or(op.embed_dim), key));
  RUSHLIGHT_TRY(check_last("values", op.vdim.value_or(op.embed_dim), value));
  const bool batched = query.size() == 3;
  const std::size_t batch = op.batch_first ? 0 : 1;
  const std::size_t length = batched && op.batch_first ? 1 : 0;
  for (std::size_t i = 0; i + 1 < key.size(); ++i) {
    if (key[i] != kUnknown && value[i] != kUnknown && key[i] != value[i]) {
      return misfit("keys of " + shape_text(key) + " have values of " + shape_text(value));
    }
  }
  if (batched && query[batch] != kUnknown && key[batch] != kUnknown && query[batch] != key[batch]) {
    return misfit("queries of " + shape_text(query) + " do not fit " + shape_text(key));
  }
  const std::size_t expected = 3 + std::size_t{op.attn_mask} + std::size_t{op.key_padding_mask};
  if (operands.inputs.size() != expected) {
    return misfit("expected " + count_text(expected, "input") + ", found " + std::to_string(operands.inputs.size()));
  }
  const std::int64_t items = batched ? query[batch] : 1;
  const auto check_mask_type = [&](std::size_t i) -> Status {
    if (operands.dtype(i) == DType::boolean || operands.dtype(i) == DType::f32) return {};
    return wrong_dtype(i, "bool or float32", operands.dtype(i));
  };
  if (op.attn_mask) {
    RUSHLIGHT_TRY(check_mask_type(3));
    const Shape& mask = operands.shape(3);
    Shape wanted = {query[length], key[length]};
    if (mask.size() == 3) {
      const auto heads = items == kUnknown ? std::optional(kUnknown) : checked_mul(items, op.num_heads);
      if (!heads) return overflows(mask);
      wanted.insert(wanted.begin(), *heads);
    }
    RUSHLIGHT_TRY(check_shape("attn_mask", wanted, mask));
  }
  if (op.key_padding_mask) {
    RUSHLIGHT_TRY(check_mask_type(expected - 1));
    RUSHLIGHT_TRY(check_shape("key_padding_mask", batched ? Shape{items, key[length]} : Shape{key[length]},
                              operands.shape(expected - 1)));
  }
  std::vector<EdgeType> outputs = {{DType::f32, query}};
  std::int64_t keys = key[length];
  if (keys != kUnknown) keys += std::int64_t{op.add_bias_kv} + std::int64_t{op.add_zero_attn};
  Shape weights;
  if (batched) weights.push_back(items);
  if (!op.average_attn_weights) weights.push_back(op.num_heads);
  weights.push_back(query[length]);
  weights.push_back(keys);
  outputs.push_back({DType::f32, std::move(weights)});
  return outputs;
}

Inferred infer(const ShiftedWindowAttention& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  const Shape& shape = operands.shape();
  if (shape.size() != 4) return wrong_rank("4", shape);
  RUSHLIGHT_TRY(check_last("channels", op.dim, shape));
  if (shape.back() != kUnknown && shape.back() % op.num_heads != 0) {
    return expected_found("a multiple of " + std::to_string(op.num_heads) + " channels", std::to_string(shape.back()),
                          shape);
  }
  if (shape[1] == 0 || shape[2] == 0) return misfit("expected sizes of at least 1, found " + shape_text(shape));
  return one(shape);
}

Inferred infer(const RNN& op, const Operands& operands) {
  return infer_recurrent(op, operands, 1, 0);
}
Inferred infer(const GRU& op, const Operands& operands) {
  return infer_recurrent(op, operands, 1, 0);
}
Inferred infer(const LSTM& op, const Operands& operands) {
  return infer_recurrent(op, operands, 2, op.proj_size);
}
Inferred infer(const RNNCell& op, const Operands& operands) {
  return infer_cell(op, operands, 1);
}
Inferred infer(const GRUCell& op, const Operands& operands) {
  return infer_cell(op, operands, 1);
}
Inferred infer(const LSTMCell& op, const Operands& operands) {
  return infer_cell(op, operands, 2);
}

}  // namespace rushlight::model
