// Every operator on every backend against what PyTorch computes, in the corners that a careful adversary would choose.
// The files lie in tests/golden; the largest are found through the environment variable RUSHLIGHT_TESTDATA.
//
// With RUSHLIGHT_BLESS=1 a run of all tests writes tests/parity/REPORT.md, and CONFORMANCE.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/cpu_features.hpp"
#include "cuda/kernel_of_case.hpp"
#include "model/operator_table.hpp"
#include "operators/compare.hpp"
#include "operators/operator_case.hpp"
#include "operators/operator_files.hpp"
#include "runtime/backend.hpp"
#include "runtime/cpu/backend.hpp"
#include "runtime/reference/backend.hpp"

namespace rushlight::test {
namespace {

// Files with cases that the CPU backend cannot compute yet; those it can are tested all the same. A file whose last
// such case is gone has to go from here.
bool is_beyond_cpu(std::string_view file) {
  const std::vector<std::string_view> files = {
#include "operators/beyond_cpu.inc"
  };
  return std::find(files.begin(), files.end(), file) != files.end();
}

// What the tolerances of operators/README.md leave open, measured: the worst error of a file's well-conditioned cases,
// relative to the largest value of the case, may be half as large again as PyTorch's own, or a few units in the last
// place of a float32.
constexpr double kWellConditioned = 1e-5;  // PyTorch's own error in a case, relative
constexpr double kTimesTorch = 1.5;
constexpr double kLeastTolerance = 2.5e-7;

double tolerance(double torch_error) {
  return std::max(kTimesTorch * torch_error, kLeastTolerance);
}

// --- backends ---

enum class Kind { reference, cpu };

std::vector<std::shared_ptr<const runtime::Backend>> backends_of(Kind kind) {
  if (kind == Kind::reference) return {runtime::reference::make_backend().value()};
  std::vector<std::shared_ptr<const runtime::Backend>> backends;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (auto backend = runtime::cpu::make_backend(isa)) backends.push_back(*std::move(backend));
  }
  return backends;
}

std::string lacks(const runtime::Backend& backend, const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    if (std::string lack = backend.lacks(node); !lack.empty()) return lack;
  }
  return {};
}

// --- the report ---

struct Row {
  std::size_t cases = 0;
  double torch_error = 0;
  std::optional<double> reference_error{};
  std::optional<double> cpu_error{};
  bool cpu_lacks = false;
};

class Report : public testing::Environment {
 public:
  static std::map<std::string, Row>& rows() {
    static std::map<std::string, Row> all;
    return all;
  }

  void TearDown() override {
    const char* const bless = std::getenv("RUSHLIGHT_BLESS");
    if (bless == nullptr || std::string_view(bless) != "1") return;
    std::size_t complete = 0;
    for (const auto& [name, row] : rows()) {
      if (row.reference_error && (row.cpu_error || row.cpu_lacks)) ++complete;
    }
    if (complete != operator_files().size() || testing::UnitTest::GetInstance()->Failed()) {
      std::cout << "REPORT.md is not written: " << complete << " of " << operator_files().size()
                << " files were compared, and all tests must pass\n";
      return;
    }
    write(std::filesystem::path(RUSHLIGHT_TESTS_SOURCE_DIR) / "parity" / "REPORT.md");
  }

 private:
  static std::string number(const std::optional<double>& value) {
    if (!value) return "-";
    if (*value == 0) return "0";
    std::ostringstream text;
    text << std::scientific << std::setprecision(1) << *value;
    return text.str();
  }

  static void write(const std::filesystem::path& path) {
    std::size_t cases = 0;
    for (const auto& [name, row] : rows()) cases += row.cases;
    std::ofstream out(path);
    out << "# Operators compared with PyTorch\n\n"
        << "Written by `operators_test` with `RUSHLIGHT_BLESS=1` and `RUSHLIGHT_TESTDATA` set: " << cases
        << " cases in " << rows().size() << " files, PyTorch 2.15.0.\n\n"
        << "An error is the greatest deviation from PyTorch's result in double, divided by the greatest value of the\n"
        << "case; of a file's well-conditioned cases (PyTorch's own error at most 1e-5) the worst. `cpu` is the worst "
           "of\n"
        << "the instruction sets of the machine that wrote this. `allowed` is the larger of 1.5 times PyTorch's error\n"
        << "and 2.5e-7; every case is held to the rules of `compare.hpp` besides.\n\n"
        << "| operator | cases | reference | cpu | PyTorch | allowed |\n|---|--:|--:|--:|--:|--:|\n";
    for (const auto& [name, row] : rows()) {
      out << "| " << name << " | " << row.cases << " | " << number(row.reference_error) << " | "
          << number(row.cpu_error) << (row.cpu_lacks ? " (part)" : "") << " | " << number(row.torch_error) << " | "
          << number(tolerance(row.torch_error)) << " |\n";
    }
    std::cout << "wrote " << path << "\n";
  }
};
const testing::Environment* const kReport = testing::AddGlobalTestEnvironment(new Report);

// --- the test ---

struct Parameter {
  Kind kind;
  const OperatorFile* file;
};
void PrintTo(const Parameter& parameter, std::ostream* out) {
  PrintTo(*parameter.file, out);
}

class Conformance : public testing::TestWithParam<Parameter> {};

TEST_P(Conformance, AgreesWithTorch) {
  const auto& [kind, file] = GetParam();
  const std::optional<std::filesystem::path> path = find_file(file->name);
  if (!path) {
    std::cout << "SKIPPED: " << file->name << ".pt is not in tests/golden, and RUSHLIGHT_TESTDATA has none\n";
    GTEST_SKIP();
  }
  Result<std::vector<Value>> cases = read_cases(*path);
  ASSERT_TRUE(cases) << to_string(cases.error());
  EXPECT_EQ(file->case_count, cases->size());
  Row& row = Report::rows()[file->name];
  row.cases = cases->size();
  double worst = 0;
  std::size_t computed = 0;
  std::map<std::string, std::size_t> lacked;
  const std::vector<std::shared_ptr<const runtime::Backend>> backends = backends_of(kind);
  for (const Value& values : *cases) {
    const std::string name(values["name"].as_string().value_or("?"));
    Result<OperatorCase> one = make_case(values);
    if (!one) {
      ADD_FAILURE() << file->name << ", case '" << name << "': " << to_string(one.error());
      continue;
    }
    bool is_computed = true;
    for (const auto& backend : backends) {
      const std::string where =
          std::string(file->name) + ", case '" + name + "' (" + one->module + ") on " + std::string(backend->name());
      if (const std::string lack = lacks(*backend, one->model.graph()); !lack.empty()) {
        is_computed = false;
        ++lacked[lack];
        continue;
      }
      const Result<std::vector<Tensor>> found = run_case(*backend, *one);
      if (!found) {
        ADD_FAILURE() << where << ": " << to_string(found.error());
        continue;
      }
      for (std::size_t i = 0; i < found->size(); ++i) {
        const Verdict verdict = compare(rule_of(*file, *one), one->outputs[i], (*found)[i]);
        EXPECT_TRUE(verdict.problem.empty()) << where << ", output " << i << " " << verdict.problem;
        if (verdict.largest == 0 || verdict.torch_error > kWellConditioned * verdict.largest) continue;
        worst = std::max(worst, verdict.error / verdict.largest);
        row.torch_error = std::max(row.torch_error, verdict.torch_error / verdict.largest);
      }
    }
    if (is_computed) ++computed;
  }
  for (const auto& [lack, count] : lacked) std::cout << "lacks: " << lack << " (" << count << ")\n";
  if (computed > 0) {
    EXPECT_LE(worst, tolerance(row.torch_error)) << file->name << ": PyTorch's own error is " << row.torch_error;
  }
  if (kind == Kind::reference) {
    EXPECT_TRUE(lacked.empty());
    row.reference_error = worst;
    return;
  }
  if (computed > 0) row.cpu_error = worst;
  row.cpu_lacks = !lacked.empty();
  EXPECT_EQ(is_beyond_cpu(file->name), !lacked.empty())
      << "beyond_cpu.inc lists the files that are not wholly computed";
}

// A new row of the table wants cases. Parameter and Constant have no inputs: tests/runtime/reference_test.cpp.
TEST(ConformanceCases, EveryOperatorHasSome) {
  std::set<OperatorKind> seen = {OperatorKind::Parameter, OperatorKind::Constant};
  for (const OperatorFile& file : operator_files()) {
    const std::optional<std::filesystem::path> path = find_file(file.name);
    if (!path) continue;
    for (const Value& values : read_cases(*path).value()) {
      const Result<OperatorCase> one = make_case(values);
      if (!one) continue;
      for (const Node& node : one->model.graph().nodes()) seen.insert(node.op.kind());
    }
  }
  for (const model::OperatorInfo& row : model::operator_table()) {
    EXPECT_TRUE(seen.contains(row.kind)) << row.type;
  }
}

// --- the table of attributes ---

// What an attribute holds, for telling values apart.
template <class Field>
std::string value_text(const Field& field) {
  if constexpr (std::is_same_v<Field, model::WordField>) {
    return std::string(field.get());
  } else if constexpr (std::is_same_v<Field, std::string>) {
    return field;
  } else if constexpr (std::is_arithmetic_v<Field>) {
    std::ostringstream text;
    text << std::setprecision(17) << field;
    return text.str();
  } else if constexpr (std::is_same_v<Field, IntPair>) {
    return value_text(field.h) + "x" + value_text(field.w);
  } else if constexpr (std::is_same_v<Field, IntTriple>) {
    return value_text(field.d) + "x" + value_text(field.h) + "x" + value_text(field.w);
  } else if constexpr (requires { field.amount; }) {
    return std::to_string(static_cast<int>(field.kind)) + ":" + value_text(field.amount);
  } else if constexpr (requires { field.has_value(); }) {
    return field ? value_text(*field) : "none";
  } else {
    std::string text;
    for (const auto value : field) text += value_text(value) + ",";
    return text;
  }
}

struct AttributeUse {
  std::string name{};
  std::string standard{};  // the table's default
  std::size_t cases = 0;
  std::set<std::string> values{};
};

struct OperatorUse {
  std::size_t cases = 0;
  std::size_t on_reference = 0;
  std::size_t on_cpu = 0;  // on every instruction set
  std::size_t on_gpu = 0;  // by kernels, in the emulation
  std::vector<AttributeUse> attributes;
};

std::vector<AttributeUse> unused_attributes(const model::OperatorInfo& row) {
  std::vector<AttributeUse> uses;
  Operator standard = model::make_operator(row);
  model::for_each_attribute(standard, [&](const model::AttributeInfo& info, auto& field) {
    uses.push_back({.name = std::string(info.name), .standard = value_text(field)});
  });
  return uses;
}

bool computes(Kind kind, const Node& node) {
  static const std::map<Kind, std::vector<std::shared_ptr<const runtime::Backend>>> backends = {
      {Kind::reference, backends_of(Kind::reference)}, {Kind::cpu, backends_of(Kind::cpu)}};
  const auto& asked = backends.at(kind);
  return std::all_of(asked.begin(), asked.end(), [&](const auto& backend) { return backend->lacks(node).empty(); });
}

void count_use(OperatorUse& use, const Node& node, bool has_gpu_kernels) {
  ++use.cases;
  if (has_gpu_kernels) ++use.on_gpu;
  if (computes(Kind::reference, node)) ++use.on_reference;
  if (computes(Kind::cpu, node)) ++use.on_cpu;
  Operator op = node.op;
  auto attribute = use.attributes.begin();
  model::for_each_attribute(op, [&](const model::AttributeInfo&, auto& field) {
    const std::string text = value_text(field);
    if (text != attribute->standard) ++attribute->cases;
    attribute->values.insert(text);
    ++attribute;
  });
}

// "emulated 50, cpu 8": kernels, and what the host computes for the GPU.
std::string gpu_text(const OperatorUse& use) {
  std::string text = use.on_gpu > 0 ? "emulated " + std::to_string(use.on_gpu) : "";
  if (use.on_gpu == use.cases) return use.cases == 0 ? "0" : text;
  return text + (text.empty() ? "cpu " : ", cpu ") + std::to_string(use.cases - use.on_gpu);
}

std::string table_row(const model::OperatorInfo& row, const OperatorUse& use) {
  const auto backend = [&](std::size_t computed) {
    return computed == use.cases ? std::to_string(computed)
                                 : std::to_string(computed) + ", `unsupported` " + std::to_string(use.cases - computed);
  };
  std::string text = "| " + std::string(row.spec_name) + " | " + std::to_string(use.cases) + " | " +
                     backend(use.on_reference) + " | " + backend(use.on_cpu) + " | " + gpu_text(use) + " |";
  for (const AttributeUse& attribute : use.attributes) {
    const std::string separator = text.ends_with('|') ? " " : ", ";
    text += separator + (attribute.cases == 0 ? "*" + attribute.name + "*" : attribute.name) + " " +
            std::to_string(attribute.cases) + "/" + std::to_string(attribute.values.size());
  }
  return text + " |";
}

constexpr std::string_view kTableHead =
    "# Operators, attributes, backends\n\n"
    "Written by `operators_test` with `RUSHLIGHT_BLESS=1` and `RUSHLIGHT_TESTDATA` set; a test holds it to the cases.\n"
    "Each case is compared with what PyTorch 2.15 computes, on the reference and with every instruction set of the "
    "CPU\n"
    "backend (`REPORT.md` has the errors).\n\n"
    "`cases` counts the cases with the operator, a backend's column those it computes: the others it refuses as\n"
    "`unsupported`. Of `stride 60/7`, 60 is the number of cases in which the attribute is not torch's default (of one\n"
    "without a default: is given), and 7 the number of values it takes in all of them. In *italics*: no case changes "
    "it.\n"
    "`parameter` and `constant` have no inputs and tests of their own.\n\n"
    "Of the CUDA backend `emulated` counts the cases that its kernels compute, compared in the emulation on the host\n"
    "(tests/cuda/operator_emulation_test.cpp), and `cpu` those in which the host computes a layer for it. What has run "
    "on "
    "a\n"
    "GPU is in `tests/evidence`.\n\n"
    "| operator | cases | reference | cpu | cuda | attributes |\n|---|--:|--:|--:|---|---|\n";

// "adaptive_avg_pool1d" is the file of adaptiveavgpool1d.
std::string without_underscores(std::string_view name) {
  std::string text(name);
  std::erase(text, '_');
  return text;
}

// A new row of the table wants cases, and so does a new attribute. Parameter and Constant have no inputs:
// tests/runtime/reference_test.cpp.
TEST(ConformanceCases, TheTableOfAttributesIsTheirs) {
  std::map<OperatorKind, OperatorUse> uses;
  for (const model::OperatorInfo& row : model::operator_table()) uses[row.kind].attributes = unused_attributes(row);
  std::set<std::string> missing;
  for (const OperatorFile& file : operator_files()) {
    const std::optional<std::filesystem::path> path = find_file(file.name);
    if (!path) {
      missing.insert(without_underscores(file.name));
      continue;
    }
    for (const Value& values : read_cases(*path).value()) {
      const Result<OperatorCase> one = make_case(values);
      if (!one) continue;
      const Result<bool> has_gpu_kernels = cuda::device_computes(*one);
      ASSERT_TRUE(has_gpu_kernels) << file.name << ": " << to_string(has_gpu_kernels.error());
      std::set<OperatorKind> counted;
      for (const Node& node : one->model.graph().nodes()) {
        if (counted.insert(node.op.kind()).second) count_use(uses[node.op.kind()], node, *has_gpu_kernels);
      }
    }
  }
  std::string table(kTableHead);
  for (const model::OperatorInfo& row : model::operator_table()) table += table_row(row, uses[row.kind]) + "\n";
  const std::filesystem::path path = std::filesystem::path(RUSHLIGHT_TESTS_SOURCE_DIR) / "parity" / "CONFORMANCE.md";
  const char* const bless = std::getenv("RUSHLIGHT_BLESS");
  if (missing.empty() && bless != nullptr && std::string_view(bless) == "1") std::ofstream(path) << table;
  std::ifstream file(path);
  std::istringstream expected(table);
  std::string found_line;
  std::string expected_line;
  while (std::getline(expected, expected_line)) {
    ASSERT_TRUE(std::getline(file, found_line)) << "CONFORMANCE.md ends before: " << expected_line;
    const std::string name = expected_line.substr(0, expected_line.find(" |", 2));
    if (name.starts_with("| ") && missing.contains(name.substr(2))) continue;
    EXPECT_EQ(expected_line, found_line) << "RUSHLIGHT_BLESS=1 writes CONFORMANCE.md anew";
  }
  EXPECT_FALSE(std::getline(file, found_line)) << "CONFORMANCE.md has more: " << found_line;
  for (const std::string& name : missing) {
    std::cout << "SKIPPED: the row of " << name
              << ": its file is not in tests/golden, and RUSHLIGHT_TESTDATA has none\n";
  }
}

std::vector<Parameter> parameters(Kind kind) {
  std::vector<Parameter> all;
  for (const OperatorFile& file : operator_files()) all.push_back({kind, &file});
  return all;
}
std::string name_of(const testing::TestParamInfo<Parameter>& info) {
  return info.param.file->name;
}
INSTANTIATE_TEST_SUITE_P(Reference, Conformance, testing::ValuesIn(parameters(Kind::reference)), name_of);
INSTANTIATE_TEST_SUITE_P(Cpu, Conformance, testing::ValuesIn(parameters(Kind::cpu)), name_of);

}  // namespace
}  // namespace rushlight::test
