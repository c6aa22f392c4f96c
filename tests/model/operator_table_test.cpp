#include "model/operator_table.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "model/attributes.hpp"
#include "model/parameters.hpp"

namespace rushlight::model {
namespace {

TEST(OperatorTable, EveryRowFindsItselfByIndexAndByEachName) {
  std::set<std::string_view> names;
  for (const OperatorInfo& row : operator_table()) {
    const Operator op = make_operator(row);
    EXPECT_EQ(op.kind(), row.kind);
    EXPECT_EQ(info(op), &row);
    EXPECT_EQ(find_spec_name(row.spec_name), &row);
    EXPECT_EQ(find_torch_class(row.torch_class), &row);
    EXPECT_TRUE(names.insert(row.spec_name).second) << row.spec_name;
    EXPECT_TRUE(row.torch_class.starts_with("torch")) << row.torch_class;
    EXPECT_GE(row.max_outputs, 1u);
    EXPECT_LE(row.min_inputs, row.max_inputs);
  }
  EXPECT_GE(operator_table().size(), 185u);
}

TEST(OperatorTable, NothingIsNoOperator) {
  EXPECT_EQ(info(Operator{}), nullptr);
  EXPECT_EQ(find_spec_name("conv4d"), nullptr);
  EXPECT_EQ(find_torch_class("os.system"), nullptr);
  EXPECT_EQ(attribute_problem(Operator{}), "it has no operator");
}

TEST(OperatorTable, AttributesComeInTorchsOrderWithTheirKindOfDefault) {
  Operator pool = MaxPool2d{};
  std::vector<std::string> names;
  std::vector<DefaultKind> kinds;
  for_each_attribute(pool, [&](const AttributeInfo& attribute, auto&) {
    names.emplace_back(attribute.name);
    kinds.push_back(attribute.default_kind);
  });
  EXPECT_EQ(names, (std::vector<std::string>{"kernel_size", "stride", "padding", "dilation", "ceil_mode"}));
  EXPECT_EQ(kinds, (std::vector<DefaultKind>{DefaultKind::required, DefaultKind::from_kernel, DefaultKind::value,
                                             DefaultKind::value, DefaultKind::value}));
}

TEST(OperatorTable, FieldsCanBeWrittenThroughReflection) {
  Operator op = Linear{};
  const Operator before = op;
  for_each_attribute(op, [](const AttributeInfo& attribute, auto& field) {
    if constexpr (std::is_same_v<std::remove_reference_t<decltype(field)>, std::int64_t>) {
      field = attribute.name == "in_features" ? 3 : 5;
    }
  });
  EXPECT_EQ(op.get<Linear>(), (Linear{3, 5}));
  EXPECT_EQ(before.get<Linear>(), Linear{}) << "copies share until one is written to";
}

TEST(OperatorTable, WordsAreTorchs) {
  Operator op = Upsample{.mode = InterpolationMode::nearest_exact};
  std::string word;
  for_each_attribute(op, [&](const AttributeInfo&, auto& field) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(field)>, WordField>) {
      word = field.get();
      EXPECT_FALSE(field.set("nearest_exact"));
      EXPECT_TRUE(field.set("bicubic"));
    }
  });
  EXPECT_EQ(word, "nearest-exact");
  EXPECT_EQ(op.get<Upsample>().mode, InterpolationMode::bicubic);
}

TEST(OperatorTable, OperatorsAreEqualWhenKindAndAttributesAre) {
  EXPECT_EQ(Operator(Linear{3, 5}), Operator(Linear{3, 5}));
  EXPECT_NE(Operator(Linear{3, 5}), Operator(Linear{3, 6}));
  EXPECT_NE(Operator(ReLU{}), Operator(ReLU6{}));
  EXPECT_EQ(Operator(), Operator());
  EXPECT_NE(Operator(), Operator(ReLU{}));
}

std::vector<std::string> parameters_of(const Operator& op) {
  std::vector<std::string> names;
  for (const ParameterShape& parameter : parameter_shapes(op)) names.push_back(parameter.name);
  return names;
}

TEST(OperatorTable, ParametersFollowTheAttributes) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(parameters_of(Conv2d{}), (Names{"weight", "bias"}));
  EXPECT_EQ(parameters_of(Conv2d{.bias = false}), (Names{"weight"}));
  EXPECT_EQ(parameters_of(BatchNorm2d{}), (Names{"weight", "bias", "running_mean", "running_var"}));
  EXPECT_EQ(parameters_of(BatchNorm1d{.affine = false}), (Names{"running_mean", "running_var"}));
  EXPECT_EQ(parameters_of(ReLU{}), Names{});
  EXPECT_EQ(
      parameters_of(LSTM{.input_size = 1, .hidden_size = 2, .bias = false, .bidirectional = true, .proj_size = 1}),
      (Names{"weight_ih_l0", "weight_hh_l0", "weight_hr_l0", "weight_ih_l0_reverse", "weight_hh_l0_reverse",
             "weight_hr_l0_reverse"}));
  EXPECT_TRUE(find_spec_name("linear")->has_parameters);
  EXPECT_FALSE(find_spec_name("add")->has_parameters);
}

struct BadAttribute {
  const char* name;
  Operator op;
  const char* problem;
};
void PrintTo(const BadAttribute& bad, std::ostream* out) {
  *out << bad.name;
}

class AttributeProblem : public testing::TestWithParam<BadAttribute> {};
TEST_P(AttributeProblem, IsNamed) {
  EXPECT_EQ(attribute_problem(GetParam().op), GetParam().problem);
}

INSTANTIATE_TEST_SUITE_P(
    Operators, AttributeProblem,
    testing::Values(
        BadAttribute{"ConvNegativeChannels", Conv2d{.in_channels = -1}, "in_channels: expected at least 0, found -1"},
        BadAttribute{"ConvHalfAKernel", Conv2d{.kernel_size = IntPair(3, 0)},
                     "kernel_size: expected at least 1, found 3x0"},
        BadAttribute{"ConvStrideZero", Conv2d{.stride = 0}, "stride: expected at least 1, found 0x0"},
        BadAttribute{"ConvNegativePadding", Conv2d{.padding = {0, -1}}, "padding: expected at least 0, found 0x-1"},
        BadAttribute{"ConvDilationZero", Conv2d{.dilation = IntPair(1, 0)}, "dilation: expected at least 1, found 1x0"},
        BadAttribute{"ConvGroupsZero", Conv2d{.groups = 0}, "groups: expected at least 1, found 0"},
        BadAttribute{"ConvGroupsAndInputs", Conv2d{.in_channels = 3, .groups = 2},
                     "in_channels: expected a multiple of groups 2, found 3"},
        BadAttribute{"ConvGroupsAndOutputs", Conv2d{.in_channels = 4, .out_channels = 3, .groups = 2},
                     "out_channels: expected a multiple of groups 2, found 3"},
        BadAttribute{"ConvSameWithStride", Conv2d{.stride = 2, .padding = Padding::same()},
                     "stride: expected 1 with padding 'same', found 2x2"},
        BadAttribute{"LinearNegative", Linear{3, -5}, "out_features: expected at least 0, found -5"},
        BadAttribute{"NormNegativeEps", BatchNorm2d{.eps = -1}, "eps: expected a number from 0 on, found -1"},
        BadAttribute{"NormNaNEps", BatchNorm1d{.eps = __builtin_nan("")},
                     "eps: expected a number from 0 on, found nan"},
        BadAttribute{"PoolWithoutKernel", MaxPool2d{}, "kernel_size is missing"},
        BadAttribute{"PoolKernel", AvgPool2d{.kernel_size = -2}, "kernel_size: expected at least 1, found -2x-2"},
        BadAttribute{"PoolStride", MaxPool2d{.kernel_size = 2, .stride = IntPair(2, 0)},
                     "stride: expected at least 1, found 2x0"},
        BadAttribute{"PoolPadding", MaxPool2d{.kernel_size = 3, .stride = 1, .padding = 2},
                     "padding: expected at most half of kernel_size 3x3, found 2x2"},
        BadAttribute{"PoolDilation", MaxPool2d{.kernel_size = 2, .stride = 2, .dilation = 0},
                     "dilation: expected at least 1, found 0x0"},
        BadAttribute{"AdaptiveWithoutSize", AdaptiveAvgPool2d{}, "output_size is missing"},
        BadAttribute{"AdaptiveMinusTwo", AdaptiveAvgPool2d{.output_size = IntPair(-2, 1)},
                     "output_size: expected at least 1, or -1, found -2x1"},
        BadAttribute{"DropoutProbability", Dropout{.p = 1.5}, "p: expected a number from 0 to 1, found 1.5"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(CompleteAttributes, PoolsStepByTheirKernelUnlessTold) {
  Operator op = MaxPool2d{.kernel_size = IntPair(3, 2)};
  complete_attributes(op);
  EXPECT_EQ(op.get<MaxPool2d>().stride, IntPair(3, 2));
  op = AvgPool2d{.kernel_size = 3, .stride = 1};
  complete_attributes(op);
  EXPECT_EQ(op.get<AvgPool2d>().stride, IntPair(1));
}

}  // namespace
}  // namespace rushlight::model
