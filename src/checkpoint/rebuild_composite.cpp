// Quantised, sparse, nested and wrapped tensors from the calls that make them. Sources: torch/_utils.py
// (_rebuild_qtensor, _rebuild_sparse_tensor, _rebuild_nested_tensor, _rebuild_wrapper_subclass),
// torch/nested/_internal/nested_tensor.py (_rebuild_njt).
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/arguments.hpp"
#include "tensor/layout.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight::checkpoint {
namespace {

using namespace std::string_view_literals;
using pickle::ObjectId;
using pickle::ObjectKind;

// What the codes of a dtype can be, and zero points with them.
struct CodeRange {
  std::int64_t least;
  std::int64_t most;
};
CodeRange code_range(DType dtype) noexcept {
  switch (dtype) {
    case DType::qi8:
      return {-128, 127};
    case DType::qu8:
      return {0, 255};
    case DType::qu4x2:
      return {0, 15};
    case DType::qu2x4:
      return {0, 3};
    default:
      return {std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()};
  }
}

Error wrong_quantizer(std::string_view what, std::string expected, std::string found) {
  return Error::of({.category = Category::tensor,
                    .code = "TENSOR-QUANTIZER",
                    .message = "quantizer: " + std::string(what) + ", expected " + expected + ", found " + found,
                    .found = std::move(found),
                    .expected = std::move(expected)});
}

}  // namespace

// (storage, offset, size, stride, parameters, requires_grad, hooks)
Result<Tensor> ValueBuilder::rebuild_quantized(const Arguments& arguments) {
  RUSHLIGHT_TRY(arguments.count(7, 7));
  if (!is_storage(arguments[0])) return arguments.wrong_type(0, "storage", "a storage");
  RUSHLIGHT_TRY_ASSIGN(const StorageUse use, storage_of(arguments[0]));
  if (info(use.request.dtype).kind != DTypeKind::quantized) {
    return arguments.wrong_type(0, "storage", "a storage of codes");
  }
  RUSHLIGHT_TRY_ASSIGN(const std::int64_t offset, arguments.integer(1, "storage_offset"));
  RUSHLIGHT_TRY(arguments.integers(2, "size", shape_));
  RUSHLIGHT_TRY(arguments.integers(3, "stride", strides_));
  TensorOptions options;
  RUSHLIGHT_TRY_ASSIGN(options.requires_grad, arguments.boolean(5, "requires_grad"));
  RUSHLIGHT_TRY(arguments.hooks(6));
  RUSHLIGHT_TRY_ASSIGN(const Tensor codes, Tensor::Impl::view(storages_.as_dtype(use.index, use.request.dtype),
                                                              use.request.dtype, shape_, strides_, offset, options));
  RUSHLIGHT_TRY_ASSIGN(Quantizer quantizer, parse_quantizer(arguments, codes));
  options.quantizer = std::make_shared<const Quantizer>(std::move(quantizer));
  return with_options(codes, std::move(options));
}

// (scheme, scale, zero point) or (scheme, scales, zero points, axis)
Result<Quantizer> ValueBuilder::parse_quantizer(const Arguments& arguments, const Tensor& codes) {
  const ObjectId id = arguments[4];
  if (kind_of(id) != ObjectKind::tuple || graph_.items(id).empty()) {
    return arguments.wrong_type(4, "quantizer", "a tuple of a scheme and its parameters");
  }
  const std::string callee = std::string(arguments.callee()) + " quantizer";  // only viewed by what follows
  const Arguments parameters(*this, arguments.call(), callee, graph_.items(id), arguments.nesting());
  constexpr std::array kSchemes = {Quantizer::Scheme::per_tensor_affine, Quantizer::Scheme::per_tensor_symmetric,
                                   Quantizer::Scheme::per_channel_affine, Quantizer::Scheme::per_channel_symmetric,
                                   Quantizer::Scheme::per_channel_affine_float_qparams};
  std::optional<Quantizer::Scheme> scheme;
  if (kind_of(parameters[0]) == ObjectKind::global) {
    for (const Quantizer::Scheme candidate : kSchemes) {
      if (names_[parameters[0]].dotted == "torch." + std::string(to_string(candidate))) scheme = candidate;
    }
  }
  if (!scheme) return parameters.wrong_type(0, "scheme", "a torch.qscheme");
  Quantizer quantizer;
  quantizer.scheme = *scheme;
  if (!quantizer.is_per_channel()) {
    RUSHLIGHT_TRY(parameters.count(3, 3));
    if (kind_of(parameters[1]) != ObjectKind::real) return parameters.wrong_type(1, "scale", "float");
    quantizer.scale = graph_.real(parameters[1]);
    if (!std::isfinite(quantizer.scale) || quantizer.scale <= 0) {
      return wrong_quantizer("scale", "a positive number", std::to_string(quantizer.scale));
    }
    RUSHLIGHT_TRY_ASSIGN(quantizer.zero_point, parameters.integer(2, "zero_point"));
    const CodeRange range = code_range(codes.dtype());
    if (quantizer.zero_point < range.least || quantizer.zero_point > range.most) {
      return wrong_quantizer("zero point", std::to_string(range.least) + " to " + std::to_string(range.most),
                             std::to_string(quantizer.zero_point));
    }
    return quantizer;
  }
  RUSHLIGHT_TRY(parameters.count(4, 4));
  RUSHLIGHT_TRY_ASSIGN(quantizer.scales, quantizer_parameters(parameters, 1, "scales"));
  RUSHLIGHT_TRY_ASSIGN(quantizer.zero_points, quantizer_parameters(parameters, 2, "zero points"));
  RUSHLIGHT_TRY_ASSIGN(quantizer.axis, parameters.integer(3, "axis"));
  if (quantizer.axis < 0 || quantizer.axis >= codes.dim()) {
    return wrong_quantizer("axis", "0 to " + std::to_string(codes.dim() - 1), std::to_string(quantizer.axis));
  }
  const std::int64_t channels = codes.shape()[static_cast<std::size_t>(quantizer.axis)];
  for (const auto& [what, tensor] :
       {std::pair("scales"sv, &quantizer.scales), std::pair("zero points"sv, &quantizer.zero_points)}) {
    if (tensor->dim() != 1 || tensor->numel() != channels) {
      return wrong_quantizer(
          what, std::to_string(channels) + " values, one for each index of axis " + std::to_string(quantizer.axis),
          shape_text(tensor->shape()));
    }
  }
  // torch writes float parameters under the name of the plain scheme: the zero points tell.
  const DTypeKind kind = info(quantizer.zero_points.dtype()).kind;
  if (kind == DTypeKind::real) quantizer.scheme = Quantizer::Scheme::per_channel_affine_float_qparams;
  if ((kind != DTypeKind::real && kind != DTypeKind::integer) ||
      info(quantizer.scales.dtype()).kind != DTypeKind::real) {
    return wrong_quantizer("scales and zero points", "floats, and integers or floats",
                           std::string(to_string(quantizer.scales.dtype())) + " and " +
                               std::string(to_string(quantizer.zero_points.dtype())));
  }
  return quantizer;
}

// A tensor, or as early releases wrote it a list of numbers.
Result<Tensor> ValueBuilder::quantizer_parameters(const Arguments& parameters, std::size_t position,
                                                  std::string_view what) {
  const ObjectId id = parameters[position];
  const ObjectKind kind = kind_of(id);
  if (kind != ObjectKind::list && kind != ObjectKind::tuple) return tensor_of(parameters, position, what);
  std::vector<double> reals;
  std::vector<std::int64_t> integers;
  for (const ObjectId item : graph_.items(id)) {
    if (kind_of(item) == ObjectKind::real) reals.push_back(graph_.real(item));
    if (kind_of(item) == ObjectKind::integer) integers.push_back(graph_.integer(item));
  }
  const std::size_t count = graph_.items(id).size();
  if (reals.size() == count && count > 0) {
    return Tensor::from_values<double>(reals, {static_cast<std::int64_t>(count)});
  }
  if (integers.size() != count) return parameters.wrong_type(position, what, "a tensor or a list of numbers");
  return Tensor::from_values<std::int64_t>(integers, {static_cast<std::int64_t>(count)});
}

// (class, dtype, size, strides, storage_offset, layout, device, requires_grad): a shape without a storage. What it
// stands for is in its attributes.
Result<Tensor> ValueBuilder::rebuild_wrapper(const Arguments& arguments) {
  RUSHLIGHT_TRY(arguments.count(8, 8));
  if (kind_of(arguments[0]) != ObjectKind::global) return arguments.wrong_type(0, "class", "a tensor class");
  RUSHLIGHT_TRY_ASSIGN(const DType dtype, arguments.dtype(1, "dtype"));
  RUSHLIGHT_TRY(arguments.integers(2, "size", shape_));
  RUSHLIGHT_TRY(arguments.integers(3, "stride", strides_));
  RUSHLIGHT_TRY_ASSIGN(const std::int64_t offset, arguments.integer(4, "storage_offset"));
  RUSHLIGHT_TRY(arguments.device(6));
  TensorOptions options;
  RUSHLIGHT_TRY_ASSIGN(options.requires_grad, arguments.boolean(7, "requires_grad"));
  return meta_tensor(dtype, offset, options);
}

// (layout, (indices, values, size[, is_coalesced])) or (layout, (compressed, plain, values, size)). The older function
// for CSR has the same arguments.
Result<CompositeTensor> ValueBuilder::rebuild_sparse(const Arguments& arguments, bool csr) {
  RUSHLIGHT_TRY(arguments.count(2, 2));
  const ObjectId layout_id = arguments[0];
  std::string_view name;
  if (kind_of(layout_id) == ObjectKind::call && roles_[layout_id] == Role::layout) {
    const std::span<const ObjectId> of_layout = graph_.items(graph_.arguments(layout_id));
    if (of_layout.size() == 1 && is_text(of_layout[0])) name = text(of_layout[0]);
  }
  constexpr std::array kLayouts = {Layout::sparse_coo, Layout::sparse_csr, Layout::sparse_csc, Layout::sparse_bsr,
                                   Layout::sparse_bsc};
  std::optional<Layout> layout;
  for (const Layout candidate : kLayouts) {
    if (name == "torch." + std::string(to_string(candidate))) layout = candidate;
  }
  if (!layout || (csr && *layout != Layout::sparse_csr)) {
    return arguments.wrong_type(0, "layout", csr ? "torch.sparse_csr" : "a sparse layout");
  }
  if (kind_of(arguments[1]) != ObjectKind::tuple) return arguments.wrong_type(1, "data", "a tuple");
  const Arguments data(*this, arguments.call(), arguments.callee(), graph_.items(arguments[1]), arguments.nesting());
  const bool coo = *layout == Layout::sparse_coo;
  RUSHLIGHT_TRY(coo ? data.count(3, 4) : data.count(4, 4));
  const std::size_t count = coo ? 2 : 3;
  std::vector<Tensor> parts;
  for (std::size_t i = 0; i < count; ++i) {
    constexpr std::array kCooParts = {"indices"sv, "values"sv, ""sv};
    constexpr std::array kCompressedParts = {"compressed indices"sv, "plain indices"sv, "values"sv};
    RUSHLIGHT_TRY_ASSIGN(Tensor part, tensor_of(data, i, coo ? kCooParts[i] : kCompressedParts[i]));
    parts.push_back(std::move(part));
  }
  RUSHLIGHT_TRY(data.integers(count, "size", shape_));
  TensorOptions options;
  options.requires_grad = parts.back().options().requires_grad;
  RUSHLIGHT_TRY_ASSIGN(CompositeTensor tensor,
                       CompositeTensor::sparse(*layout, shape_, std::move(parts), std::move(options)));
  if (!coo || data.size() < 4 || kind_of(data[3]) == ObjectKind::none) return tensor;
  RUSHLIGHT_TRY_ASSIGN(const bool is_coalesced, data.boolean(3, "is_coalesced"));
  return tensor.with_coalesced(is_coalesced);
}

// (buffer, sizes, strides, offsets)
Result<CompositeTensor> ValueBuilder::rebuild_nested(const Arguments& arguments) {
  RUSHLIGHT_TRY(arguments.count(4, 4));
  constexpr std::array kParts = {"buffer"sv, "sizes"sv, "strides"sv, "storage_offsets"sv};
  std::vector<Tensor> parts;
  for (std::size_t i = 0; i < kParts.size(); ++i) {
    RUSHLIGHT_TRY_ASSIGN(Tensor part, tensor_of(arguments, i, kParts[i]));
    parts.push_back(std::move(part));
  }
  TensorOptions options;
  options.requires_grad = parts[0].options().requires_grad;
  return CompositeTensor::nested(Layout::strided, std::move(parts), 1, std::move(options));
}

// ({"values": tensor, "offsets": tensor, "lengths": tensor or None, "_ragged_idx": int, "requires_grad": bool, ...})
Result<CompositeTensor> ValueBuilder::rebuild_jagged(const Arguments& arguments) {
  RUSHLIGHT_TRY(arguments.count(1, 1));
  if (kind_of(arguments[0]) != ObjectKind::dict) return arguments.wrong_type(0, "parts", "a dict");
  const std::span<const ObjectId> pairs = graph_.pairs(arguments[0]);
  const auto value_of = [&](std::string_view key) {
    ObjectId found = pickle::kNoObject;
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
      if (is_text(pairs[i]) && text(pairs[i]) == key) found = pairs[i + 1];
    }
    return found;
  };
  constexpr std::array kParts = {"values"sv, "offsets"sv, "lengths"sv};
  std::vector<Tensor> parts;
  for (const std::string_view name : kParts) {
    const std::array<ObjectId, 1> item = {value_of(name)};
    const bool is_absent = item[0] == pickle::kNoObject || kind_of(item[0]) == ObjectKind::none;
    if (is_absent && name == "lengths") continue;
    if (is_absent) return arguments.wrong_type(0, name, "a tensor");
    const Arguments part(*this, arguments.call(), arguments.callee(), item, arguments.nesting());
    RUSHLIGHT_TRY_ASSIGN(Tensor tensor, tensor_of(part, 0, name));
    parts.push_back(std::move(tensor));
  }
  std::int64_t ragged_dim = 1;
  if (const ObjectId id = value_of("_ragged_idx"); id != pickle::kNoObject) {
    if (kind_of(id) != ObjectKind::integer) return arguments.wrong_type(0, "_ragged_idx", "int");
    ragged_dim = graph_.integer(id);
  }
  TensorOptions options;
  if (const ObjectId id = value_of("requires_grad"); id != pickle::kNoObject && kind_of(id) == ObjectKind::boolean) {
    options.requires_grad = graph_.boolean(id);
  }
  return CompositeTensor::nested(Layout::jagged, std::move(parts), ragged_dim, std::move(options));
}

}  // namespace rushlight::checkpoint
