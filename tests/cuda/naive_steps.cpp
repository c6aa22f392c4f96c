// Each kind of step by its definition in runtime/plan.hpp: one loop over the outputs, sums in double. Shares nothing
// with the kernels but that text.
#include <algorithm>
#include <cmath>
#include <limits>

#include "cuda/step_case.hpp"

namespace rushlight::cuda {
namespace {

using runtime::kNone;
using runtime::PlannedTensor;
using runtime::TensorId;

double clamped(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

// As torch.nn defines the class of the same name; clamp is Hardtanh, GELU the exact one.
double activated(double x, const runtime::Activation& activation) {
  using Kind = runtime::Activation::Kind;
  switch (activation.kind) {
    case Kind::none:
      return x;
    case Kind::relu:
      return x < 0 ? 0 : x;
    case Kind::clamp:
      return clamped(x, static_cast<double>(activation.low), static_cast<double>(activation.high));
    case Kind::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Kind::silu:
      return x / (1 + std::exp(-x));
    case Kind::tanh:
      return std::tanh(x);
    case Kind::hardsigmoid:
      return clamped(x + 3, 0, 6) / 6;
    case Kind::hardswish:
      return x * clamped(x + 3, 0, 6) / 6;
    case Kind::gelu:
      return x / 2 * std::erfc(-x / std::sqrt(2.0));
  }
  return x;
}

class Naive {
 public:
  explicit Naive(const StepCase& step_case) : case_(step_case), memory_(step_case.memory) {
    expected_.values.assign(memory_.begin(), memory_.end());
    expected_.is_output.assign(memory_.size(), false);
  }

  Expected run() {
    for (const runtime::Step& step : case_.plan.steps) {
      std::visit([&](const auto& work) { compute(work); }, step.work);
      for (std::size_t i = 0; i < memory_.size(); ++i) {
        if (expected_.is_output[i]) memory_[i] = static_cast<float>(expected_.values[i]);
      }
    }
    return std::move(expected_);
  }

 private:
  [[nodiscard]] const PlannedTensor& tensor(TensorId id) const { return case_.plan.tensors[id]; }
  [[nodiscard]] std::size_t place(TensorId id, std::int64_t row, std::int64_t c) const {
    return tensor(id).offset_bytes / sizeof(float) + static_cast<std::size_t>(row * tensor(id).row_stride + c);
  }
  // Inputs are read from the memory as it was before the step.
  [[nodiscard]] double get(TensorId id, std::int64_t row, std::int64_t c) const {
    return static_cast<double>(memory_[place(id, row, c)]);
  }
  [[nodiscard]] double get(TensorId id, std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) const {
    return get(id, (n * tensor(id).h + h) * tensor(id).w + w, c);
  }
  [[nodiscard]] double constant(runtime::ConstantId id, std::int64_t i) const {
    return static_cast<double>(case_.memory[case_.constant_floats[id] + static_cast<std::size_t>(i)]);
  }
  void put(TensorId id, std::int64_t row, std::int64_t c, double value, bool relu) {
    put(id, row, c, value, runtime::Activation::relu_if(relu));
  }
  void put(TensorId id, std::int64_t row, std::int64_t c, double value, const runtime::Activation& activation) {
    if (std::isfinite(value)) expected_.largest = std::max(expected_.largest, std::abs(value));
    expected_.values[place(id, row, c)] = activated(value, activation);
    expected_.is_output[place(id, row, c)] = true;
  }
  template <class F>
  void for_each(TensorId id, F&& f) {
    const PlannedTensor& out = tensor(id);
    for (std::int64_t n = 0; n < out.n; ++n) {
      for (std::int64_t h = 0; h < out.h; ++h) {
        for (std::int64_t w = 0; w < out.w; ++w) {
          for (std::int64_t c = 0; c < out.c; ++c) f(n, h, w, c, (n * out.h + h) * out.w + w);
        }
      }
    }
  }

  // No kernel computes one of these: no case has them.
  static void compute(const runtime::GeneralStep&) {}
  static void compute(const runtime::StripeStep&) {}

  void compute(const runtime::ConvStep& s) {
    const PlannedTensor& in = tensor(s.input);
    const std::int64_t group_in = in.c / s.groups;
    const std::int64_t group_out = tensor(s.output).c / s.groups;
    for_each(s.output, [&](std::int64_t n, std::int64_t oh, std::int64_t ow, std::int64_t o, std::int64_t row) {
      double sum = s.bias == kNone ? 0 : constant(s.bias, o);
      for (std::int64_t kh = 0; kh < s.kernel.h; ++kh) {
        for (std::int64_t kw = 0; kw < s.kernel.w; ++kw) {
          const std::int64_t h = oh * s.stride.h - s.padding.h + kh * s.dilation.h;
          const std::int64_t w = ow * s.stride.w - s.padding.w + kw * s.dilation.w;
          if (h < 0 || h >= in.h || w < 0 || w >= in.w) continue;
          for (std::int64_t i = 0; i < group_in; ++i) {
            sum += get(s.input, n, h, w, o / group_out * group_in + i) *
                   constant(s.weights, ((o * s.kernel.h + kh) * s.kernel.w + kw) * group_in + i);
          }
        }
      }
      if (s.epilogue.residual != kNone) sum += get(s.epilogue.residual, row, o);
      put(s.output, row, o, sum, s.epilogue.activation);
    });
  }

  void compute(const runtime::LinearStep& s) {
    const std::int64_t depth = tensor(s.input).c;
    for_each(s.output, [&](std::int64_t, std::int64_t, std::int64_t, std::int64_t o, std::int64_t row) {
      double sum = s.bias == kNone ? 0 : constant(s.bias, o);
      for (std::int64_t i = 0; i < depth; ++i) sum += get(s.input, row, i) * constant(s.weights, o * depth + i);
      if (s.epilogue.residual != kNone) sum += get(s.epilogue.residual, row, o);
      put(s.output, row, o, sum, s.epilogue.activation);
    });
  }

  void compute(const runtime::NormStep& s) {
    for_each(s.output, [&](std::int64_t, std::int64_t, std::int64_t, std::int64_t c, std::int64_t row) {
      const double value = (get(s.input, row, c) - constant(s.mean, c)) * constant(s.scale, c) + constant(s.shift, c);
      put(s.output, row, c, value, s.relu);
    });
  }

  void compute(const runtime::MaxPoolStep& s) {
    const PlannedTensor& in = tensor(s.input);
    for_each(s.output, [&](std::int64_t n, std::int64_t oh, std::int64_t ow, std::int64_t c, std::int64_t row) {
      double largest = -std::numeric_limits<double>::infinity();
      bool has_nan = false;
      for (std::int64_t kh = 0; kh < s.kernel.h; ++kh) {
        for (std::int64_t kw = 0; kw < s.kernel.w; ++kw) {
          const std::int64_t h = oh * s.stride.h - s.padding.h + kh * s.dilation.h;
          const std::int64_t w = ow * s.stride.w - s.padding.w + kw * s.dilation.w;
          if (h < 0 || h >= in.h || w < 0 || w >= in.w) continue;
          const double value = get(s.input, n, h, w, c);
          has_nan = has_nan || std::isnan(value);
          largest = std::max(largest, value);
        }
      }
      put(s.output, row, c, has_nan ? std::numeric_limits<double>::quiet_NaN() : largest, false);
    });
  }

  void compute(const runtime::AvgPoolStep& s) {
    const PlannedTensor& in = tensor(s.input);
    for_each(s.output, [&](std::int64_t n, std::int64_t oh, std::int64_t ow, std::int64_t c, std::int64_t row) {
      double sum = 0;
      std::int64_t inside = 0;
      std::int64_t padded = 0;
      for (std::int64_t kh = 0; kh < s.kernel.h; ++kh) {
        for (std::int64_t kw = 0; kw < s.kernel.w; ++kw) {
          const std::int64_t h = oh * s.stride.h - s.padding.h + kh;
          const std::int64_t w = ow * s.stride.w - s.padding.w + kw;
          if (h < in.h + s.padding.h && w < in.w + s.padding.w) ++padded;
          if (h < 0 || h >= in.h || w < 0 || w >= in.w) continue;
          ++inside;
          sum += get(s.input, n, h, w, c);
        }
      }
      std::int64_t divisor = s.count_include_pad ? padded : inside;
      if (s.divisor_override != 0) divisor = s.divisor_override;
      put(s.output, row, c, inside == 0 ? 0 : sum / static_cast<double>(divisor), false);
    });
  }

  void compute(const runtime::AdaptiveAvgPoolStep& s) {
    const PlannedTensor& in = tensor(s.input);
    const PlannedTensor& out = tensor(s.output);
    const auto begin = [](std::int64_t i, std::int64_t size, std::int64_t bins) {
      return static_cast<std::int64_t>(std::floor(static_cast<double>(i * size) / static_cast<double>(bins)));
    };
    const auto end = [](std::int64_t i, std::int64_t size, std::int64_t bins) {
      return static_cast<std::int64_t>(std::ceil(static_cast<double>((i + 1) * size) / static_cast<double>(bins)));
    };
    for_each(s.output, [&](std::int64_t n, std::int64_t oh, std::int64_t ow, std::int64_t c, std::int64_t row) {
      double sum = 0;
      std::int64_t count = 0;
      for (std::int64_t h = begin(oh, in.h, out.h); h < end(oh, in.h, out.h); ++h) {
        for (std::int64_t w = begin(ow, in.w, out.w); w < end(ow, in.w, out.w); ++w, ++count) {
          sum += get(s.input, n, h, w, c);
        }
      }
      put(s.output, row, c, sum / static_cast<double>(count), false);
    });
  }

  void compute(const runtime::ReluStep& s) {
    for_each(s.output, [&](std::int64_t, std::int64_t, std::int64_t, std::int64_t c, std::int64_t row) {
      put(s.output, row, c, get(s.input, row, c), true);
    });
  }

  void compute(const runtime::AddStep& s) {
    for_each(s.output, [&](std::int64_t, std::int64_t, std::int64_t, std::int64_t c, std::int64_t row) {
      put(s.output, row, c, get(s.a, row, c) + get(s.b, row, c), s.relu);
    });
  }

  void compute(const runtime::BroadcastAddStep& s) {
    std::int64_t elements = 1;
    for (const std::int64_t size : s.shape) elements *= size;
    for (std::int64_t element = 0; element < elements; ++element) {
      std::int64_t rest = element;
      std::int64_t a = 0;
      std::int64_t b = 0;
      for (std::size_t dim = s.shape.size(); dim-- > 0; rest /= s.shape[dim]) {
        a += rest % s.shape[dim] * s.a_strides[dim];
        b += rest % s.shape[dim] * s.b_strides[dim];
      }
      put(s.output, 0, element, get(s.a, 0, a) + get(s.b, 0, b), s.relu);
    }
  }

  void compute(const runtime::SoftmaxStep& s) {
    for (std::int64_t outer = 0; outer < s.outer; ++outer) {
      for (std::int64_t inner = 0; inner < s.inner; ++inner) {
        const auto at = [&](std::int64_t i) { return (outer * s.axis + i) * s.inner + inner; };
        double largest = -std::numeric_limits<double>::infinity();
        double sum = 0;
        for (std::int64_t i = 0; i < s.axis; ++i) largest = std::max(largest, get(s.input, 0, at(i)));
        for (std::int64_t i = 0; i < s.axis; ++i) sum += std::exp(get(s.input, 0, at(i)) - largest);
        for (std::int64_t i = 0; i < s.axis; ++i) {
          put(s.output, 0, at(i), std::exp(get(s.input, 0, at(i)) - largest) / sum, false);
        }
      }
    }
  }

  void compute(const runtime::LayoutStep& s) {
    for (std::int64_t image = 0; image < s.images; ++image) {
      for (std::int64_t row = 0; row < s.rows; ++row) {
        for (std::int64_t column = 0; column < s.columns; ++column) {
          put(s.output, 0, (image * s.columns + column) * s.rows + row,
              get(s.input, 0, (image * s.rows + row) * s.columns + column), false);
        }
      }
    }
  }

  void compute(const runtime::CopyStep& s) {
    for (std::int64_t i = 0; i < tensor(s.output).elements(); ++i) put(s.output, 0, i, get(s.input, 0, i), false);
  }

  const StepCase& case_;
  std::vector<float> memory_;  // before the step that is computed
  Expected expected_;
};

}  // namespace

Expected compute_naively(const StepCase& step_case) {
  return Naive(step_case).run();
}

}  // namespace rushlight::cuda
