#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rushlight/evaluate.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/model.hpp"
#include "rushlight/state_dict.hpp"

namespace rushlight {
namespace {

Graph good(std::string_view json) {
  Result<Graph> graph = Graph::from_spec(json);
  if (!graph) {
    ADD_FAILURE() << graph.error().finding.message;
    GraphBuilder builder;
    builder.output("y", builder.input("x"));
    return builder.build().value();
  }
  return *std::move(graph);
}

std::string with_layers(const std::string& layers, const std::string& more = R"(, "input": [1, 28, 28])") {
  return R"({"schema": 1)" + more + R"(, "layers": [)" + layers + "]}";
}

constexpr std::string_view kFashion = R"({
  "schema": 1, "description": "the small CNN of the tests",
  "input": [1, 28, 28], "labels": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], "normalise": {"scale": 255},
  "layers": [{"conv2d": "conv1", "padding": 1}, {"batchnorm2d": "bn1"}, "relu", {"maxpool2d": 2},
             {"conv2d": "conv2", "padding": 1}, {"batchnorm2d": "bn2"}, "relu", {"maxpool2d": 2},
             "flatten", {"linear": "fc1"}, "relu", {"linear": "fc2"}]})";

TEST(Spec, ASequenceIsAListOfLayers) {
  const Graph graph = good(kFashion);
  ASSERT_EQ(graph.nodes().size(), 12u);
  EXPECT_EQ(graph.nodes()[0].name, "conv1");
  EXPECT_EQ(graph.nodes()[0].op.get<Conv2d>(), (Conv2d{.padding = 1}));
  EXPECT_EQ(graph.nodes()[2].name, "relu_2");
  EXPECT_EQ(graph.nodes()[3].op.get<MaxPool2d>(), (MaxPool2d{.kernel_size = 2, .stride = 2}));
  EXPECT_EQ(graph.nodes()[8].op.get<Flatten>(), (Flatten{1, -1}));
  EXPECT_EQ(graph.inputs()[0].name, "input");
  EXPECT_EQ(graph.inputs()[0].shape, (Shape{-1, 1, 28, 28}));
  EXPECT_EQ(graph.outputs()[0].name, "output");
  EXPECT_EQ(graph.labels().size(), 10u);
  EXPECT_EQ(graph.preprocessing().scale, 255);
  EXPECT_EQ(graph.parameters().size(), 16u);
}

TEST(Spec, EveryAttributeOfTheTableCanBeGiven) {
  const Graph graph = good(with_layers(R"(
      {"conv2d": "c", "in_channels": 1, "out_channels": 4, "kernel_size": [3, 5], "stride": [1, 2], "padding": [1, 2],
       "dilation": 1, "groups": 1, "bias": false},
      {"conv2d": "same", "padding": "same"}, {"conv2d": "valid", "padding": "valid"},
      {"batchnorm2d": "b", "num_features": 8, "eps": 1e-3, "affine": false},
      {"maxpool2d": [2, 1], "stride": 1, "padding": [1, 0], "dilation": 2, "ceil_mode": true},
      {"avgpool2d": "a", "kernel_size": 2, "count_include_pad": false, "divisor_override": -3},
      {"adaptiveavgpool2d": [2, -1]}, {"dropout": 0.2}, "identity",
      {"flatten": 1, "end_dim": 3}, {"linear": "l", "bias": false}, {"softmax": 1})"));
  const auto nodes = graph.nodes();
  EXPECT_EQ(nodes[0].op.get<Conv2d>(), (Conv2d{1, 4, IntPair(3, 5), IntPair(1, 2), {1, 2}, 1, 1, false}));
  EXPECT_EQ(nodes[1].op.get<Conv2d>().padding, Padding::same());
  EXPECT_EQ(nodes[2].op.get<Conv2d>().padding, Padding::valid());
  EXPECT_EQ(nodes[3].op.get<BatchNorm2d>(), (BatchNorm2d{8, 1e-3, false}));
  EXPECT_EQ(nodes[4].op.get<MaxPool2d>(), (MaxPool2d{IntPair(2, 1), 1, IntPair(1, 0), 2, true}));
  EXPECT_EQ(nodes[5].op.get<AvgPool2d>(), (AvgPool2d{2, 2, 0, false, false, -3}));
  EXPECT_EQ(nodes[5].name, "a");
  EXPECT_EQ(nodes[6].op.get<AdaptiveAvgPool2d>(), (AdaptiveAvgPool2d{IntPair(2, -1)}));
  EXPECT_EQ(nodes[7].op.get<Dropout>(), Dropout{0.2});
  EXPECT_EQ(nodes[9].op.get<Flatten>(), (Flatten{1, 3}));
  EXPECT_EQ(nodes[11].op.get<Softmax>(), Softmax{1});
}

TEST(Spec, BranchesMeetByName) {
  const Graph graph = good(R"({"schema": 1, "input": [4, 8, 8], "layers": [
      {"conv2d": "stem", "padding": 1},
      {"relu": "x"},
      {"conv2d": "a", "padding": 1}, "relu",
      {"conv2d": "b", "padding": 1},
      {"add": "sum", "input": ["b", "x"]},
      "relu",
      {"maxpool2d": 2, "name": "pooled", "input": "x"}],
    "outputs": ["sum", "pooled", "input"]})");
  const auto nodes = graph.nodes();
  EXPECT_EQ(nodes[5].inputs, (std::vector<Edge>{nodes[4].output(), nodes[1].output()}));
  EXPECT_EQ(nodes[7].inputs, (std::vector<Edge>{nodes[1].output()}));
  EXPECT_EQ(nodes[7].name, "pooled");
  ASSERT_EQ(graph.outputs().size(), 3u);
  EXPECT_EQ(graph.outputs()[0].name, "sum");
  EXPECT_EQ(graph.outputs()[0].edge, nodes[5].output());
  EXPECT_EQ(graph.outputs()[1].edge, nodes[7].output());
  EXPECT_EQ(graph.outputs()[2].edge, graph.inputs()[0].edge);
}

TEST(Spec, SeveralInputsHaveNames) {
  const Graph graph = good(R"({"schema": 1, "inputs": {"image": [3, -1, -1], "mask": [1, 8, 8]}, "layers": [
      {"conv2d": "c", "input": "image", "padding": 1}, {"add": "sum", "input": ["c", "mask"]}]})");
  ASSERT_EQ(graph.inputs().size(), 2u);
  EXPECT_EQ(graph.inputs()[0].name, "image");
  EXPECT_EQ(graph.inputs()[0].shape, (Shape{-1, 3, -1, -1}));
  EXPECT_EQ(graph.inputs()[1].name, "mask");
}

TEST(Spec, InputsMayBeIndicesAndMasks) {
  const Graph graph = good(R"({"schema": 1, "inputs": {"words": {"shape": [5], "dtype": "int64"},
      "label": {"shape": [], "dtype": "int32"}, "mask": {"dtype": "bool"}, "price": []}, "layers": [
      {"embedding": "table", "input": "words"}, {"masked_fill": "masked", "input": ["table", "mask"]},
      {"embedding": "labels", "input": "label"}, {"mul": "scaled", "input": ["masked", "price"]}]})");
  ASSERT_EQ(graph.inputs().size(), 4u);
  EXPECT_EQ(graph.inputs()[0].dtype, DType::i64);
  EXPECT_EQ(graph.inputs()[0].shape, (Shape{-1, 5}));
  EXPECT_EQ(graph.inputs()[1].dtype, DType::i32);
  EXPECT_EQ(graph.inputs()[1].shape, Shape{-1});  // one number an item
  EXPECT_EQ(graph.inputs()[2].dtype, DType::boolean);
  EXPECT_EQ(graph.inputs()[2].shape, Shape{});  // not declared
  EXPECT_EQ(graph.inputs()[3].dtype, DType::f32);
  EXPECT_EQ(graph.inputs()[3].shape, Shape{-1});
  const Graph one = good(R"({"schema": 1, "input": {"shape": [5], "dtype": "int64"}, "layers": [{"embedding": "e"}]})");
  EXPECT_EQ(one.inputs()[0].name, "input");
  EXPECT_EQ(one.inputs()[0].dtype, DType::i64);
}

// Two have an attribute of the operator's own name, and two one that is another operator's.
TEST(Spec, AttributesMayBeCalledAsOperatorsAre) {
  const Graph graph = good(with_layers(R"(
      {"pad": [1, 2], "mode": "reflect", "name": "border"}, {"pad": [0, 1]}, {"threshold": 0.5, "value": 2},
      {"threshold": "cut", "value": 3}, {"clamp": "low", "min": -1}, {"max": 3, "clamp": -2}, {"max": 2},
      {"softplus": "soft", "threshold": 5})"));
  const auto nodes = graph.nodes();
  EXPECT_EQ(nodes[0].op.get<Pad>(), (Pad{.pad = {1, 2}, .mode = PadMode::reflect}));
  EXPECT_EQ(nodes[0].name, "border");
  EXPECT_EQ(nodes[1].op.get<Pad>().pad, (Shape{0, 1}));
  EXPECT_EQ(nodes[2].op.get<Threshold>(), (Threshold{.threshold = 0.5, .value = 2}));
  EXPECT_EQ(nodes[3].op.get<Threshold>(), (Threshold{.threshold = 0, .value = 3}));
  EXPECT_EQ(nodes[3].name, "cut");
  EXPECT_EQ(nodes[4].op.get<Clamp>(), (Clamp{.min = -1, .max = {}}));
  EXPECT_EQ(nodes[5].op.get<Clamp>(), (Clamp{.min = -2, .max = 3}));
  EXPECT_EQ(nodes[6].op.get<Max>().dim, 2);
  EXPECT_EQ(nodes[7].op.get<Softplus>(), (Softplus{.beta = 1, .threshold = 5}));
}

TEST(Spec, ALayerIsCalledAgainUnderANameOfItsOwn) {
  const Graph graph = good(with_layers(R"({"linear": "fc"}, {"relu": "act"}, {"linear": "fc", "name": "again"},
                                          {"add": "sum", "input": ["act", "again"]})",
                                       R"(, "input": [4])"));
  EXPECT_EQ(graph.nodes()[2].name, "again");
  EXPECT_EQ(graph.nodes()[2].parameter("weight"), "fc.weight");
  EXPECT_EQ(graph.nodes()[3].inputs, (std::vector<Edge>{graph.nodes()[1].output(), graph.nodes()[2].output()}));
  ASSERT_EQ(graph.parameters().size(), 2u);
  EXPECT_EQ(graph.parameters()[0].name, "fc.weight");
}

TEST(Spec, OutputsOfALayerHaveNames) {
  const Graph graph = good(R"({"schema": 1, "input": [4, 2, 2], "layers": [
      {"chunk": "halves", "chunks": 2, "dim": 1, "outputs": ["left", "right"]}, {"relu": "a", "input": "right"}]})");
  ASSERT_EQ(graph.nodes()[0].outputs.size(), 2u);
  EXPECT_EQ(graph.nodes()[1].inputs, (std::vector<Edge>{graph.nodes()[0].outputs[1]}));
  const Result<Graph> three = Graph::from_spec(
      R"({"schema": 1, "input": [4], "layers": [{"chunk": 2, "dim": 1, "outputs": ["a", "b", "c"]}]})");
  ASSERT_FALSE(three);
  EXPECT_EQ(three.error().finding.message, "layer 'chunk_0': it gives 2 pieces of [-1, 4], expected 3");
  // As many as are wanted, and the first one where none is named.
  const Graph first = good(with_layers(R"({"chunk": "halves", "chunks": 2, "dim": 1},
      {"split": "parts", "split_size_or_sections": 1, "dim": 1, "outputs": ["a", "b"]},
      {"unbind": "rows", "dim": 2, "input": "a"})",
                                       R"(, "input": [6, 5])"));
  EXPECT_EQ(first.nodes()[0].outputs.size(), 1u);
  EXPECT_EQ(first.nodes()[1].outputs.size(), 2u);
  const Shape inputs[] = {{2, 6, 5}};
  const std::vector<Shape> shapes = first.infer_shapes(inputs).value();
  EXPECT_EQ(shapes[static_cast<std::size_t>(first.nodes()[0].output().index)], (Shape{2, 3, 5}));
  EXPECT_EQ(shapes[static_cast<std::size_t>(first.nodes()[2].output().index)], (Shape{2, 1}));
}

TEST(Spec, ParametersAndConstantsAreValues) {
  const Graph graph = good(R"({"schema": 1, "input": [3], "layers": [
      {"parameter": "gamma"}, {"constant": "half", "values": 0.5},
      {"mul": "scaled", "input": ["input", "gamma"]}, {"mul": "y", "input": ["scaled", "half"]}]})");
  EXPECT_EQ(graph.nodes()[0].op.get<Parameter>(), Parameter{});
  EXPECT_EQ(graph.nodes()[1].op.get<Constant>(), (Constant{.values = {0.5}}));
  ASSERT_EQ(graph.parameters().size(), 1u);
  EXPECT_EQ(graph.parameters()[0].name, "gamma");
  StateDict state;
  state.insert("gamma", Tensor::zeros(DType::f32, {3}).value());
  const Model model = Model::create(graph, state).value();
  EXPECT_EQ(model.graph().infer_shapes(std::vector<Shape>{{2, 3}}).value().back(), (Shape{2, 3}));
}

TEST(Spec, ASampleInsideIsComputed) {
  const auto with_output = [](const char* values) {
    const Graph graph = good(R"({"schema": 1, "input": [3], "layers": ["relu"], "selftest": {"inputs":
        [{"shape": [1, 3], "values": [-1, 0, 2]}], "outputs": [{"shape": [1, 3], "values": )" +
                             std::string(values) + "}]}}");
    return self_test(Model::create(graph, StateDict()).value());
  };
  EXPECT_EQ(with_output("[0, 0, 2]").value(), 0.0);
  EXPECT_NEAR(with_output("[0, 0, 2.00002]").value(), 1e-5, 1e-6);
  const Result<double> wrong = with_output("[0, 0, 2.001]");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::mismatch);
  EXPECT_EQ(wrong.error().finding.message, "selftest: output 'output', element 2: expected 2.001, found 2");
  const Result<double> none = self_test(Model::create(good(with_layers("")), StateDict()).value());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().finding.message, "the network carries no selftest");
}

TEST(Spec, TheShapeOfTheInputMayBeLeftOut) {
  EXPECT_TRUE(good(with_layers(R"({"linear": "fc"})", "")).inputs()[0].shape.empty());
}

TEST(Spec, ALoneSpecOfNoLayersPassesItsInputOn) {
  EXPECT_TRUE(good(with_layers("")).nodes().empty());
}

struct BadSpec {
  const char* name;
  std::string json;
  const char* message;
  const char* hint = "";
  ErrorCode code = ErrorCode::invalid_argument;
};
void PrintTo(const BadSpec& bad, std::ostream* out) {
  *out << bad.json;
}

class BadSpecs : public testing::TestWithParam<BadSpec> {};
TEST_P(BadSpecs, AreRefusedWordForWord) {
  const Result<Graph> graph = Graph::from_spec(GetParam().json);
  ASSERT_FALSE(graph);
  EXPECT_EQ(graph.error().finding.message, GetParam().message);
  EXPECT_EQ(graph.error().finding.hint, GetParam().hint);
  EXPECT_EQ(graph.error().code, GetParam().code);
}
const auto kCaseName = [](const auto& test) { return std::string(test.param.name); };

INSTANTIATE_TEST_SUITE_P(
    TopLevel, BadSpecs,
    testing::Values(
        BadSpec{"Empty", "", "spec: line 1, column 1: expected a value, found the end of the text"},
        BadSpec{"TrailingComma", "{\"schema\": 1,\n \"layers\": [\"relu\",]}",
                "spec: line 2, column 20: expected a value, found ']'"},
        BadSpec{"NotUtf8", "{\"schema\": 1, \"layers\": [\"\xff\"]}",
                "spec: line 1, column 27: expected a string of valid UTF-8, found '\\xff'"},
        BadSpec{"Deep", "{\"schema\": 1, \"layers\": " + std::string(40, '[') + std::string(40, ']') + "}",
                "spec: line 1, column 40: expected at most 16 levels of nesting, found '['"},
        BadSpec{"HugeNumber", R"({"schema": 1e999, "layers": []})", "spec: a number does not fit 64 bits"},
        BadSpec{"HalfAPair", R"({"schema": 1, "layers": ["\ud800"]})", "spec: a string has half a surrogate pair"},
        BadSpec{"AList", "[]", "spec: expected an object, found an array"},
        BadSpec{"NoSchema", R"({"layers": []})", "spec: key 'schema' is missing", "write \"schema\": 1"},
        BadSpec{"SchemaText", R"({"schema": "1", "layers": []})", "spec: schema: expected an integer, found '1'"},
        BadSpec{"SchemaTwo", R"({"schema": 2, "layers": []})", "spec: schema: expected 1, found 2", "",
                ErrorCode::unsupported},
        BadSpec{"UnknownKey", R"({"schema": 1, "layer": []})", "spec: unknown key 'layer'", "did you mean 'layers'?"},
        BadSpec{"DuplicateKey", R"({"schema": 1, "layers": [], "layers": ["relu"]})",
                "spec: key 'layers' occurs twice"},
        BadSpec{"NoLayers", R"({"schema": 1})", "spec: key 'layers' is missing"},
        BadSpec{"LayersObject", R"({"schema": 1, "layers": {}})", "spec: layers: expected an array, found an object"},
        BadSpec{"SelfTestWithoutArrays", R"({"schema": 1, "layers": ["relu"], "selftest": {}})",
                "graph: selftest: expected 1 input, found 0"},
        BadSpec{"SelfTestKey", R"({"schema": 1, "layers": ["relu"], "selftest": {"input": []}})",
                "spec: selftest: unknown key 'input'", "did you mean 'inputs'?"},
        BadSpec{"SelfTestValues",
                R"({"schema": 1, "layers": ["relu"], "selftest": {"inputs": [{"shape": [2], "values": [1]}],
                    "outputs": [{"shape": [2], "values": [1, 0]}]}})",
                "graph: selftest: input 'input': expected as many values as [2] has, found 1"},
        BadSpec{"SelfTestTolerance", R"({"schema": 1, "layers": ["relu"], "selftest": {"tolerance": 0}})",
                "graph: selftest: tolerance: expected a number above 0"},
        BadSpec{"DescriptionNumber", R"({"schema": 1, "layers": [], "description": 1})",
                "spec: description: expected a string, found 1"},
        BadSpec{"InputNumber", R"({"schema": 1, "input": 784, "layers": []})",
                "spec: input: expected an array of sizes, found 784"},
        BadSpec{"InputKey", R"({"schema": 1, "input": {"dtpye": "int64"}, "layers": []})",
                "spec: input: unknown key 'dtpye'", "did you mean 'dtype'?"},
        BadSpec{"InputDType", R"({"schema": 1, "input": {"shape": [2], "dtype": "float64"}, "layers": []})",
                "spec: input: dtype: expected 'float32', 'int64', 'int32' or 'bool', found 'float64'"},
        BadSpec{"InputShape", R"({"schema": 1, "inputs": {"a": {"shape": 2}}, "layers": []})",
                "spec: inputs: 'a': shape: expected an array of sizes, found 2"},
        BadSpec{"PadWithoutPad", R"({"schema": 1, "layers": [{"pad": "border"}]})",
                "spec: layers[0] 'border': pad: expected an integer or an array of integers, found 'border'",
                "write {\"pad\": ..., \"name\": \"border\"}"},
        BadSpec{"InputZero", R"({"schema": 1, "input": [1, 0], "layers": []})",
                "spec: input[1]: expected at least 1, or -1 for any, found 0"},
        BadSpec{"InputFraction", R"({"schema": 1, "input": [1.5], "layers": []})",
                "spec: input[0]: expected an integer, found 1.5"},
        BadSpec{"InputBeyond64Bits", R"({"schema": 1, "input": [9223372036854775808], "layers": []})",
                "spec: input[0]: expected an integer, found 9223372036854775808"},
        BadSpec{"BothInputs", R"({"schema": 1, "input": [1], "inputs": {"a": [1]}, "layers": []})",
                "spec: give one of 'input' and 'inputs', not both"},
        BadSpec{"InputsArray", R"({"schema": 1, "inputs": [1], "layers": []})",
                "spec: inputs: expected an object of names and shapes, found an array"},
        BadSpec{"InputsNone", R"({"schema": 1, "inputs": {}, "layers": []})",
                "spec: inputs: expected at least one name, found none"},
        BadSpec{"InputsNoName", R"({"schema": 1, "inputs": {"": [1]}, "layers": []})",
                "spec: inputs: expected names, found ''"},
        BadSpec{"InputsTwice", R"({"schema": 1, "inputs": {"a": [1], "a": [1]}, "layers": []})",
                "spec: inputs: key 'a' occurs twice"},
        BadSpec{"InputsNull", R"({"schema": 1, "inputs": {"a": null}, "layers": []})",
                "spec: inputs: 'a': expected an array of sizes, found null"},
        BadSpec{"LabelsFile", R"({"schema": 1, "labels": "fashion.txt", "layers": []})",
                "spec: labels: expected an array of strings, found 'fashion.txt'",
                "write the names themselves; `rushlight run --labels FILE` reads them from a file"},
        BadSpec{"LabelsNumber", R"({"schema": 1, "labels": ["a", 3], "layers": []})",
                "spec: labels[1]: expected a string, found 3"},
        BadSpec{"NormaliseUnknown", R"({"schema": 1, "normalise": {"scael": 1}, "layers": []})",
                "spec: normalise: unknown key 'scael'", "did you mean 'scale'?"},
        BadSpec{"NormaliseScale", R"({"schema": 1, "normalise": {"scale": "255"}, "layers": []})",
                "spec: normalise.scale: expected a number, found '255'"},
        BadSpec{"NormaliseMean", R"({"schema": 1, "normalise": {"mean": "0.5"}, "layers": []})",
                "spec: normalise.mean: expected an array of numbers, found '0.5'"},
        BadSpec{"NormaliseStd", R"({"schema": 1, "normalise": {"std": [0]}, "layers": []})",
                "graph: preprocessing: std: expected numbers other than 0"},
        BadSpec{"OutputsUnknown", R"({"schema": 1, "layers": [{"relu": "act"}], "outputs": ["atc"]})",
                "spec: outputs: nothing before it is named 'atc'", "did you mean 'act'?"},
        BadSpec{"OutputsEmpty", R"({"schema": 1, "layers": [], "outputs": []})",
                "spec: outputs: expected at least one name, found none"},
        BadSpec{"OutputsTwice", R"({"schema": 1, "layers": [], "outputs": ["input", "input"]})",
                "graph: output 'input': another output has this name"}),
    kCaseName);

INSTANTIATE_TEST_SUITE_P(
    Layers, BadSpecs,
    testing::Values(
        BadSpec{"Number", with_layers("7"), "spec: layers[0]: expected a string or an object, found 7"},
        BadSpec{"UnknownWord", with_layers(R"("relu", "flaten")"), "spec: layers[1]: unknown layer 'flaten'",
                "did you mean 'flatten'?"},
        BadSpec{"WordNeedsName", with_layers(R"("linear")"),
                "spec: layers[0]: 'linear' has parameters and needs a name",
                "write {\"linear\": \"NAME\"}, where NAME.weight is in the state dict"},
        BadSpec{"EmptyObject", with_layers("{}"), "spec: layers[0]: it names no layer"},
        BadSpec{"UnknownOperator", with_layers(R"({"conv2": "c"})"), "spec: layers[0]: none of its keys names a layer",
                "did you mean 'conv2d'?"},
        BadSpec{"TwoOperators", with_layers(R"({"relu": "a", "flatten": "b"})"),
                "spec: layers[0]: one layer cannot be both 'relu' and 'flatten'"},
        BadSpec{"UnknownAttribute", with_layers(R"({"conv2d": "conv1", "paddng": 1})"),
                "spec: layers[0] 'conv1': unknown key 'paddng'", "did you mean 'padding'?"},
        BadSpec{"DuplicateAttribute", with_layers(R"({"conv2d": "conv1", "padding": 1, "padding": 1})"),
                "spec: layers[0] 'conv1': key 'padding' occurs twice"},
        BadSpec{"DuplicateOperator", with_layers(R"({"conv2d": "conv1", "conv2d": "conv2"})"),
                "spec: layers[0] 'conv1': key 'conv2d' occurs twice"},
        BadSpec{"NameIsNumber", with_layers(R"({"conv2d": 3})"),
                "spec: layers[0]: conv2d: expected the layer's name in the state dict, found 3"},
        BadSpec{"NameIsEmpty", with_layers(R"({"linear": ""})"),
                "spec: layers[0] '': linear: expected a name, found ''"},
        BadSpec{"NamedTwice", with_layers(R"({"relu": "a", "name": "b"})"),
                "spec: layers[0] 'a': the name stands under both 'relu' and 'name'"},
        BadSpec{"NoMainAttribute", with_layers(R"({"relu": 3})"), "spec: layers[0]: relu: expected a name, found 3"},
        BadSpec{"MainAttributeTwice", with_layers(R"({"maxpool2d": 2, "kernel_size": 3})"),
                "spec: layers[0]: kernel_size stands under both 'maxpool2d' and 'kernel_size'"},
        BadSpec{"KernelMissing", with_layers(R"("maxpool2d")"), "graph: layer 'maxpool2d_0': kernel_size is missing"},
        BadSpec{"KernelZero", with_layers(R"({"maxpool2d": 0})"),
                "spec: layers[0]: maxpool2d: expected sizes other than 0, found 0"},
        BadSpec{"StrideZero", with_layers(R"({"maxpool2d": 2, "stride": 0})"),
                "spec: layers[0]: stride: expected sizes other than 0, found 0"},
        BadSpec{"ConvStrideZero", with_layers(R"({"conv2d": "c", "stride": 0})"),
                "graph: layer 'c': stride: expected at least 1, found 0x0"},
        BadSpec{"DivisorZero", with_layers(R"({"avgpool2d": 2, "divisor_override": 0})"),
                "spec: layers[0]: divisor_override: expected a number other than 0, found 0"},
        BadSpec{"ChannelsZero", with_layers(R"({"conv2d": "c", "in_channels": 0})"),
                "spec: layers[0] 'c': in_channels: expected a number other than 0, found 0"},
        BadSpec{"PairOfThree", with_layers(R"({"maxpool2d": [2, 2, 2]})"),
                "spec: layers[0]: maxpool2d: expected an integer or [height, width], found an array"},
        BadSpec{"PairOfWords", with_layers(R"({"maxpool2d": ["2", 2]})"),
                "spec: layers[0]: maxpool2d: expected two integers, found '2'"},
        BadSpec{"PaddingWord", with_layers(R"({"conv2d": "c", "padding": "full"})"),
                "spec: layers[0] 'c': padding: expected an integer, [height, width], 'same' or 'valid', found 'full'"},
        BadSpec{"BiasNumber", with_layers(R"({"linear": "f", "bias": 1})"),
                "spec: layers[0] 'f': bias: expected true or false, found 1"},
        BadSpec{"EpsWord", with_layers(R"({"batchnorm2d": "b", "eps": "1e-5"})"),
                "spec: layers[0] 'b': eps: expected a number, found '1e-5'"},
        BadSpec{"GroupsTrue", with_layers(R"({"conv2d": "c", "groups": true})"),
                "spec: layers[0] 'c': groups: expected an integer, found true"},
        BadSpec{"SameWithStride", with_layers(R"({"conv2d": "c", "padding": "same", "stride": 2})"),
                "graph: layer 'c': stride: expected 1 with padding 'same', found 2x2"},
        BadSpec{"MaximumAlone", with_layers(R"("maximum")"), "spec: layers[0]: maximum: expected 2 inputs, found 1",
                "write \"input\": [\"NAME\", \"NAME\"]"},
        BadSpec{"AddAlone", with_layers(R"("add")"), "layer 'add_0': expected a second input or other, found neither",
                "", ErrorCode::mismatch},
        BadSpec{"ReluOfTwo", with_layers(R"({"relu": "r", "input": ["input", "input"]})"),
                "spec: layers[0] 'r': relu: expected 1 input, found 2"},
        BadSpec{"InputUnknown", with_layers(R"({"relu": "act"}, {"relu": "r", "input": "atc"})"),
                "spec: layers[1] 'r': input: nothing before it is named 'atc'", "did you mean 'act'?"},
        BadSpec{"InputForward", with_layers(R"({"relu": "r", "input": "later"}, {"relu": "later"})"),
                "spec: layers[0] 'r': input: nothing before it is named 'later'"},
        BadSpec{"InputItself", with_layers(R"({"add": "sum", "input": ["sum", "input"]})"),
                "spec: layers[0] 'sum': input: nothing before it is named 'sum'"},
        BadSpec{"InputNumber", with_layers(R"({"relu": "r", "input": 3})"),
                "spec: layers[0] 'r': input: expected an array of strings, found 3"},
        BadSpec{"NameTaken", with_layers(R"({"relu": "a"}, {"relu": "a"})"),
                "spec: layers[1] 'a': the name 'a' is taken"},
        BadSpec{"CalledAgainWithoutAName", with_layers(R"({"linear": "a"}, {"linear": "a"})"),
                "spec: layers[1] 'a': the name 'a' is taken",
                R"(a layer that is called again has a name of its own: {"linear": "a", "name": "a_1"})"},
        BadSpec{"CalledAgainAsAnother",
                with_layers(R"({"linear": "a", "out_features": 3}, {"linear": "a", "name": "b", "out_features": 4})"),
                "graph: layer 'b': another layer has these parameters and other shapes for them"},
        BadSpec{"NameOfTheInput", with_layers(R"({"relu": "input"})"),
                "spec: layers[0] 'input': the name 'input' is taken"},
        BadSpec{"WhichInput", with_layers(R"("relu")", R"(, "inputs": {"a": [1], "b": [1]})"),
                "spec: layers[0]: there are several inputs: name one under 'input'"},
        BadSpec{
            "ShapesNameTheLayer",
            with_layers(
                R"({"conv2d": "conv1", "out_channels": 8, "kernel_size": 3}, "relu", {"conv2d": "conv2", "in_channels": 4})"),
            "layer 'conv2': expected 4 channels, found 8 in [-1, 8, 26, 26]", "", ErrorCode::mismatch},
        BadSpec{"WindowTooLarge", with_layers(R"({"maxpool2d": 30})"),
                "layer 'maxpool2d_0': a window of 30x30 does not fit the padded input of 28x28", "",
                ErrorCode::mismatch},
        BadSpec{"LabelsAndClasses",
                with_layers(R"("flatten", {"linear": "fc", "out_features": 3})", R"(, "input": [4], "labels": ["a"])"),
                "labels: expected 3 names, found 1", "", ErrorCode::mismatch}),
    kCaseName);

TEST(Spec, ALongNameIsCutInMessages) {
  const std::string name(5000, 'x');
  const Result<Graph> graph = Graph::from_spec(with_layers(R"({"relu": 3, "name": ")" + name + "\"}"));
  ASSERT_FALSE(graph);
  EXPECT_LT(graph.error().finding.message.size(), 300u);
}

TEST(Spec, SizesMeetTheirLimits) {
  const auto error = [](const std::string& json, const Limits& limits) {
    const Result<Graph> graph = Graph::from_spec(json, limits);
    if (graph) return std::string("no error");
    EXPECT_EQ(graph.error().code, ErrorCode::limit_exceeded);
    return graph.error().finding.code + ": " + graph.error().finding.message;
  };
  Limits limits;
  limits.json_bytes = 10;
  EXPECT_EQ(error(with_layers(""), limits), "LIMIT-JSON-BYTES: spec: it has 49 bytes, the limit is 10");
  limits = {};
  limits.graph_nodes = 2;
  EXPECT_EQ(error(with_layers(R"("relu", "relu", "relu")"), limits),
            "LIMIT-GRAPH-NODES: spec: layers: more than 2 of them");
  EXPECT_TRUE(Graph::from_spec(with_layers(R"("relu", "relu")"), limits));
  limits = {};
  limits.tensor_dims = 3;
  EXPECT_EQ(error(with_layers(""), limits),
            "LIMIT-TENSOR-DIMS: spec: input: 3 dimensions and the batch, the limit is 3");
}

TEST(Spec, EveryCutOfAGoodSpecIsRefused) {
  for (std::size_t length = 0; length < kFashion.size(); ++length) {
    EXPECT_FALSE(Graph::from_spec(kFashion.substr(0, length))) << length;
  }
}

}  // namespace
}  // namespace rushlight
