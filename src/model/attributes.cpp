#include "model/attributes.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "model/describe.hpp"
#include "model/operator_table.hpp"

namespace rushlight::model {
namespace {

// Sizes of layers with parameters: products of a few of them stay within 64 bits.
constexpr std::int64_t kGreatest = std::numeric_limits<std::int32_t>::max();

std::string wrong(std::string_view attribute, std::string_view expected, std::string_view found) {
  std::string text(attribute);
  text += ": expected ";
  text += expected;
  text += ", found ";
  text += found;
  return text;
}

std::string number_text(double value) {
  char text[32];  // the shortest form of a double has 24 characters at most
  const auto end = std::to_chars(text, text + sizeof text, value);
  return {text, end.ptr};
}

std::string found_text(std::int64_t value) {
  return std::to_string(value);
}
std::string found_text(IntPair value) {
  return pair_text(value);
}
std::string found_text(IntTriple value) {
  return std::to_string(value.d) + "x" + pair_text({value.h, value.w});
}

std::int64_t least(std::int64_t value) {
  return value;
}
std::int64_t least(IntPair value) {
  return std::min(value.h, value.w);
}
std::int64_t least(IntTriple value) {
  return std::min({value.d, value.h, value.w});
}
std::int64_t greatest(std::int64_t value) {
  return value;
}
std::int64_t greatest(IntPair value) {
  return std::max(value.h, value.w);
}
std::int64_t greatest(IntTriple value) {
  return std::max({value.d, value.h, value.w});
}

// Integer attributes have the same bounds in every operator that has them.
struct Bound {
  std::string_view attribute;
  std::int64_t least;
};
constexpr Bound kBounds[] = {
    {"in_channels", 0},
    {"out_channels", 0},
    {"kernel_size", 1},
    {"stride", 1},
    {"padding", 0},
    {"dilation", 1},
    {"groups", 1},
    {"output_padding", 0},
    {"in_features", 0},
    {"out_features", 0},
    {"in1_features", 0},
    {"in2_features", 0},
    {"num_features", 0},
    {"num_groups", 1},
    {"num_channels", 0},
    {"size", 1},
    {"num_parameters", 0},
    {"upscale_factor", 1},
    {"downscale_factor", 1},
    {"chunks", 1},
    {"step", 1},
    {"length", 0},
    {"k", 0},
    {"num_embeddings", 0},
    {"embedding_dim", 0},
    {"embed_dim", 0},
    {"num_heads", 1},

    {"window_size", 1},
    {"shift_size", 0},
    {"input_size", 0},
    {"hidden_size", 0},
    {"num_layers", 1},
    {"proj_size", 0},
};

// What is wrong with one field by itself.
class FieldCheck {
 public:
  FieldCheck(const AttributeInfo& info, bool has_parameters) : info_(info), has_parameters_(has_parameters) {}

  template <class T>
  std::string operator()(const T& field) const {
    if constexpr (std::is_same_v<T, std::int64_t> || std::is_same_v<T, IntPair> || std::is_same_v<T, IntTriple>) {
      return integers(field);
    } else if constexpr (std::is_same_v<T, Padding1d> || std::is_same_v<T, Padding> || std::is_same_v<T, Padding3d>) {
      return integers(field.amount);
    } else if constexpr (std::is_same_v<T, double>) {
      return real(field);
    } else if constexpr (std::is_same_v<T, std::optional<double>>) {
      return field ? real(*field) : std::string();
    } else if constexpr (std::is_same_v<T, std::optional<std::int64_t>>) {
      return field ? bounded(*field) : missing(true);
    } else if constexpr (std::is_same_v<T, Shape> || std::is_same_v<T, std::vector<double>> ||
                         std::is_same_v<T, std::string>) {
      return missing(field.empty());
    } else {
      return {};  // a bool, a word: any value
    }
  }

 private:
  [[nodiscard]] std::string missing(bool is_missing) const {
    if (!is_missing || info_.default_kind != DefaultKind::required) return {};
    return std::string(info_.name) + " is missing";
  }

  template <class T>
  [[nodiscard]] std::string integers(const T& field) const {
    const bool unset = field == T(0);
    if (std::string problem = missing(unset); !problem.empty()) return problem;
    if (unset && info_.default_kind != DefaultKind::value) return {};
    return bounded(field);
  }

  template <class T>
  [[nodiscard]] std::string bounded(const T& field) const {
    for (const Bound& bound : kBounds) {
      if (bound.attribute != info_.name || least(field) >= bound.least) continue;
      return wrong(info_.name, "at least " + std::to_string(bound.least), found_text(field));
    }
    if (has_parameters_ && greatest(field) > kGreatest) {
      return wrong(info_.name, "at most " + std::to_string(kGreatest), found_text(field));
    }
    return {};
  }

  [[nodiscard]] std::string real(double value) const {
    if (std::string problem = missing(value == 0); !problem.empty()) return problem;
    const bool is_bad_eps = info_.name == "eps" && (!(value >= 0) || std::isinf(value));
    if (is_bad_eps) return wrong("eps", "a number from 0 on", number_text(value));
    return {};
  }

  const AttributeInfo& info_;
  bool has_parameters_;
};

std::string multiple_of_groups(std::int64_t groups, std::string_view attribute, std::int64_t channels) {
  if (channels == kFromWeights || channels % groups == 0) return {};
  return wrong(attribute, "a multiple of groups " + std::to_string(groups), std::to_string(channels));
}

template <class Op>
std::string problem_of_groups(const Op& op) {
  std::string problem = multiple_of_groups(op.groups, "in_channels", op.in_channels);
  return problem.empty() ? multiple_of_groups(op.groups, "out_channels", op.out_channels) : problem;
}

template <class Conv, class Amount>
std::string problem_of_conv(const Conv& op, Amount one) {
  if (std::string problem = problem_of_groups(op); !problem.empty()) return problem;
  if (op.padding.kind == PaddingKind::same && op.stride != one) {
    return wrong("stride", "1 with padding 'same'", found_text(op.stride));
  }
  return {};
}

bool at_most_half(std::int64_t padding, std::int64_t kernel) {
  return padding <= kernel / 2;
}
bool at_most_half(IntPair padding, IntPair kernel) {
  return at_most_half(padding.h, kernel.h) && at_most_half(padding.w, kernel.w);
}
bool at_most_half(IntTriple padding, IntTriple kernel) {
  return at_most_half(padding.d, kernel.d) && at_most_half(padding.h, kernel.h) && at_most_half(padding.w, kernel.w);
}

// pool2d_shape_check in ATen/native/Pool.h; it counts the kernel without its dilation.
template <class Pool>
std::string problem_of_pool(const Pool& op) {
  if (at_most_half(op.padding, op.kernel_size)) return {};
  return wrong("padding", "at most half of kernel_size " + found_text(op.kernel_size), found_text(op.padding));
}

bool is_output_size(std::int64_t size) {
  return size == -1 || size >= 1;
}
bool is_output_size(IntPair size) {
  return is_output_size(size.h) && is_output_size(size.w);
}
bool is_output_size(IntTriple size) {
  return is_output_size(size.d) && is_output_size(size.h) && is_output_size(size.w);
}
template <class Pool>
std::string problem_of_adaptive(const Pool& op) {
  if (is_output_size(op.output_size)) return {};
  return wrong("output_size", "at least 1, or -1", found_text(op.output_size));
}

std::string problem_of_upsample(const Upsample& op) {
  if (!op.size.empty() && !op.scale_factor.empty()) return "size and scale_factor cannot both be given";
  for (const std::int64_t size : op.size) {
    if (size < 1) return wrong("size", "at least 1", std::to_string(size));
  }
  for (const double factor : op.scale_factor) {
    if (!(factor > 0) || std::isinf(factor)) return wrong("scale_factor", "a number above 0", number_text(factor));
  }
  const bool smooth = op.mode == InterpolationMode::linear || op.mode == InterpolationMode::bilinear ||
                      op.mode == InterpolationMode::bicubic || op.mode == InterpolationMode::trilinear;
  if (op.align_corners && !smooth) return "align_corners goes with linear, bilinear, bicubic and trilinear alone";
  if (op.antialias && op.mode != InterpolationMode::bilinear && op.mode != InterpolationMode::bicubic) {
    return "antialias goes with bilinear and bicubic alone";
  }
  return {};
}

// Exactly one of the two, one number for all dimensions or one for each.
template <class Pool>
std::string problem_of_fractional(const Pool& op, std::size_t spatial) {
  if (op.output_size.empty() == op.output_ratio.empty()) {
    return std::string("output_size and output_ratio: expected one of them, found ") +
           (op.output_size.empty() ? "neither" : "both");
  }
  const std::size_t count = op.output_size.empty() ? op.output_ratio.size() : op.output_size.size();
  if (count != 1 && count != spatial) {
    return wrong(op.output_size.empty() ? "output_ratio" : "output_size", "1 or " + count_text(spatial, "number"),
                 std::to_string(count));
  }
  for (const std::int64_t size : op.output_size) {
    if (size < 1) return wrong("output_size", "at least 1", std::to_string(size));
  }
  for (const double ratio : op.output_ratio) {
    if (!(ratio > 0 && ratio < 1)) return wrong("output_ratio", "a number between 0 and 1", number_text(ratio));
  }
  return {};
}

std::string problem_of_attention(const MultiheadAttention& op) {
  if (op.embed_dim == kFromWeights || op.embed_dim % op.num_heads == 0) return {};
  return wrong("embed_dim", "a multiple of num_heads " + std::to_string(op.num_heads), std::to_string(op.embed_dim));
}

// What is wrong with fields beside each other, or in one operator alone.
std::string problem_between(const Operator& op) {
  switch (op.kind()) {
    case OperatorKind::Conv1d:
      return problem_of_conv(op.get<Conv1d>(), std::int64_t{1});
    case OperatorKind::Conv2d:
      return problem_of_conv(op.get<Conv2d>(), IntPair(1));
    case OperatorKind::Conv3d:
      return problem_of_conv(op.get<Conv3d>(), IntTriple(1));
    case OperatorKind::ConvTranspose1d:
      return problem_of_groups(op.get<ConvTranspose1d>());
    case OperatorKind::ConvTranspose2d:
      return problem_of_groups(op.get<ConvTranspose2d>());
    case OperatorKind::ConvTranspose3d:
      return problem_of_groups(op.get<ConvTranspose3d>());
    case OperatorKind::MaxPool1d:
      return problem_of_pool(op.get<MaxPool1d>());
    case OperatorKind::MaxPool2d:
      return problem_of_pool(op.get<MaxPool2d>());
    case OperatorKind::MaxPool3d:
      return problem_of_pool(op.get<MaxPool3d>());
    case OperatorKind::AvgPool1d:
      return problem_of_pool(op.get<AvgPool1d>());
    case OperatorKind::AvgPool2d:
      return problem_of_pool(op.get<AvgPool2d>());
    case OperatorKind::AvgPool3d:
      return problem_of_pool(op.get<AvgPool3d>());
    case OperatorKind::AdaptiveAvgPool1d:
      return problem_of_adaptive(op.get<AdaptiveAvgPool1d>());
    case OperatorKind::AdaptiveAvgPool2d:
      return problem_of_adaptive(op.get<AdaptiveAvgPool2d>());
    case OperatorKind::AdaptiveAvgPool3d:
      return problem_of_adaptive(op.get<AdaptiveAvgPool3d>());
    case OperatorKind::AdaptiveMaxPool1d:
      return problem_of_adaptive(op.get<AdaptiveMaxPool1d>());
    case OperatorKind::AdaptiveMaxPool2d:
      return problem_of_adaptive(op.get<AdaptiveMaxPool2d>());
    case OperatorKind::AdaptiveMaxPool3d:
      return problem_of_adaptive(op.get<AdaptiveMaxPool3d>());
    case OperatorKind::FractionalMaxPool2d:
      return problem_of_fractional(op.get<FractionalMaxPool2d>(), 2);
    case OperatorKind::FractionalMaxPool3d:
      return problem_of_fractional(op.get<FractionalMaxPool3d>(), 3);
    case OperatorKind::GroupNorm: {
      const auto& norm = op.get<GroupNorm>();
      if (norm.num_channels % norm.num_groups == 0) return {};
      return wrong("num_channels", "a multiple of num_groups " + std::to_string(norm.num_groups),
                   std::to_string(norm.num_channels));
    }
    case OperatorKind::Dropout: {
      const double p = op.get<Dropout>().p;
      return p >= 0 && p <= 1 ? std::string() : wrong("p", "a number from 0 to 1", number_text(p));
    }
    case OperatorKind::Upsample:
      return problem_of_upsample(op.get<Upsample>());
    case OperatorKind::MultiheadAttention:
      return problem_of_attention(op.get<MultiheadAttention>());
    default:
      return {};
  }
}

}  // namespace

void complete_attributes(Operator& op) {
  std::vector<Attribute> list = attributes(op);
  const Field* kernel = nullptr;
  for (const Attribute& attribute : list) {
    if (attribute.info->name == "kernel_size") kernel = &attribute.field;
    if (attribute.info->default_kind != DefaultKind::from_kernel || kernel == nullptr) continue;
    std::visit(
        [&](auto field) {
          if constexpr (std::is_pointer_v<decltype(field)>) {
            using T = std::remove_pointer_t<decltype(field)>;
            const auto* const from = std::get_if<T*>(kernel);
            if constexpr (std::is_same_v<T, std::int64_t> || std::is_same_v<T, IntPair> ||
                          std::is_same_v<T, IntTriple>) {
              if (from != nullptr && *field == T(kFromKernel)) *field = **from;
            }
          }
        },
        attribute.field);
  }
}

std::string attribute_problem(const Operator& op) {
  const OperatorInfo* row = info(op);
  if (row == nullptr) return "it has no operator";
  Operator fields = op;
  std::string problem;
  for_each_attribute(fields, [&](const AttributeInfo& attribute, const auto& field) {
    if (problem.empty()) problem = FieldCheck(attribute, row->has_parameters)(field);
  });
  return problem.empty() ? problem_between(op) : problem;
}

}  // namespace rushlight::model
