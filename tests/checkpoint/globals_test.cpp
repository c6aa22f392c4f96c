#include "checkpoint/globals.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "built.hpp"
#include "dangerous_names.hpp"

namespace rushlight::checkpoint {
namespace {

TEST(Globals, RowsAreDistinctAndFoundByBothNames) {
  std::set<std::string> seen;
  ASSERT_GT(global_row_count(), 40u);
  for (std::size_t i = 0; i < global_row_count(); ++i) {
    const GlobalRow& row = global_row(i);
    EXPECT_TRUE(seen.insert(dotted({row.module, row.name})).second) << row.module << "." << row.name;
    const auto found = find_global(row.module, row.name);
    ASSERT_TRUE(found) << row.module << "." << row.name;
    EXPECT_EQ(found->meaning, row.known.meaning);
    EXPECT_EQ(found->torch, row.known.torch);
  }
}

TEST(Globals, StorageClassesAndDtypesFollowFromTheTableOfDtypes) {
  for (std::size_t i = 0; i < dtype_count(); ++i) {
    const DTypeInfo& row = dtype_at(i);
    const auto dtype = find_global("torch", row.name);
    ASSERT_TRUE(dtype) << row.name;
    EXPECT_EQ(dtype->meaning, Meaning::dtype);
    EXPECT_EQ(dtype->dtype, row.dtype);
    EXPECT_FALSE(find_global("torch.cuda", row.name));
    if (row.storage_class.empty()) continue;
    for (const char* module : {"torch", "torch.cuda"}) {
      const auto storage = find_global(module, row.storage_class);
      ASSERT_TRUE(storage) << row.storage_class;
      EXPECT_EQ(storage->meaning, Meaning::storage_class);
      EXPECT_EQ(storage->dtype, row.dtype);
    }
    EXPECT_FALSE(find_global("torch.storage", row.storage_class));
  }
}

TEST(Globals, OldTensorClassesAreOfOneDtype) {
  EXPECT_EQ(find_global("torch", "FloatTensor")->dtype, DType::f32);
  EXPECT_EQ(find_global("torch.cuda", "HalfTensor")->meaning, Meaning::old_tensor_class);
  EXPECT_EQ(find_global("torch.sparse", "FloatTensor")->meaning, Meaning::old_sparse_class);
  EXPECT_EQ(find_global("torch.cuda.sparse", "LongTensor")->meaning, Meaning::old_sparse_class);
  EXPECT_FALSE(find_global("torch", "QInt8Tensor"));
  EXPECT_FALSE(find_global("torch", "ComplexFloatTensor"));
  EXPECT_FALSE(find_global("torch.sparse", "Tensor"));
  EXPECT_FALSE(find_global("torch", std::string(40, 'x') + "Tensor"));
}

TEST(Globals, P07_NearMissesAreNotOnTheList) {
  constexpr test::DangerousName kNearMisses[] = {
      {"torch", "FloatStorageX"},
      {"torchX", "FloatStorage"},
      {"torch._utils", "_rebuild_tensor_v2 "},
      {" torch._utils", "_rebuild_tensor_v2"},
      {"torch._utils", "_rebuild_tensor_v2\r"},
      {"torch._utils\r", "_rebuild_tensor_v2"},
      {"t\xD0\xBEr\xD1\x81h", "FloatStorage"},  // Cyrillic o and es
      {"Torch", "FloatStorage"},
      {"torch", "floatStorage"},
      {"TORCH._UTILS", "_REBUILD_TENSOR_V2"},
      {"torch", "_utils._rebuild_tensor_v2"},  // the same dotted text, cut elsewhere
      {"", "torch._utils._rebuild_tensor_v2"},
      {"torch._utils._rebuild_tensor_v2", ""},
      {"collections", "orderedDict"},
      {"collections.abc", "OrderedDict"},
      {"builtins", ""},
      {"", ""},
  };
  for (const auto& [module, name] : kNearMisses) EXPECT_FALSE(find_global(module, name)) << module << "|" << name;
  EXPECT_FALSE(find_global("torch._utils", std::string_view("_rebuild_tensor_v2\0", 19)));
}

TEST(Globals, P04_NoDangerousNameIsOnTheList) {
  ASSERT_GT(std::size(test::kDangerousNames), 200u);
  std::set<std::string> seen;
  for (const auto& [module, name] : test::kDangerousNames) {
    EXPECT_TRUE(seen.insert(dotted({module, name})).second) << "twice: " << module << "." << name;
    for (const int protocol : {2, 4}) {
      const PythonName python = python3_name(module, name, protocol);
      EXPECT_FALSE(find_global(python.module, python.name)) << module << "." << name;
    }
  }
}

TEST(Globals, P04_DangerousNamesBecomeOpaqueValuesAndAreRefusedWhenStrict) {
  for (const auto& [module, name] : test::kDangerousNames) {
    test::PickleBuilder pickle;
    pickle.proto(2).empty_dict().text("x").global(module, name).text("true").tuple1().reduce().setitem().stop();
    const test::Built lenient = test::build(pickle);
    ASSERT_TRUE(lenient.ok) << lenient.line;
    EXPECT_EQ(lenient.root["x"].kind(), ValueKind::opaque) << name;
    ASSERT_EQ(lenient.globals.size(), 1u);
    EXPECT_FALSE(lenient.globals[0].allowed);
    EXPECT_EQ(lenient.globals[0].record_offset, 9u);
    EXPECT_EQ(lenient.globals[0].paths, std::vector<std::string>{"x"});
    ASSERT_EQ(lenient.findings.size(), 1u);
    EXPECT_EQ(lenient.findings[0].severity, Severity::warning);
    const test::Built strict = test::build(pickle, {.globals = Globals::strict});
    EXPECT_EQ(strict.error.code, ErrorCode::forbidden);
    EXPECT_EQ(strict.line,
              "global GLOBAL-UNKNOWN at 0x9: global '" + lenient.globals[0].name + "' is not on the allow-list");
  }
}

TEST(Globals, Python2NamesAreThoseOfPython3UpToProtocol2) {
  EXPECT_EQ(dotted(python3_name("__builtin__", "set", 2)), "builtins.set");
  EXPECT_EQ(dotted(python3_name("__builtin__", "long", 2)), "builtins.int");
  EXPECT_EQ(dotted(python3_name("__builtin__", "xrange", 0)), "builtins.range");
  EXPECT_EQ(dotted(python3_name("__builtin__", "unicode", 1)), "builtins.str");
  EXPECT_EQ(dotted(python3_name("copy_reg", "_reconstructor", 2)), "copyreg._reconstructor");
  EXPECT_EQ(dotted(python3_name("exceptions", "ValueError", 2)), "builtins.ValueError");
  EXPECT_EQ(dotted(python3_name("UserDict", "IterableUserDict", 2)), "collections.UserDict");
  EXPECT_EQ(dotted(python3_name("commands", "getoutput", 2)), "subprocess.getoutput");
  EXPECT_EQ(dotted(python3_name("__builtin__", "set", 3)), "__builtin__.set");
  EXPECT_EQ(dotted(python3_name("__main__", "Net", 2)), "__main__.Net");
}

// --- the tables of the specification
// ----------------------------------------------------------------------------------

std::string page() {
  std::ifstream file(RUSHLIGHT_TESTS_SOURCE_DIR "/../format-spec/05-checkpoint.md");
  return {std::istreambuf_iterator<char>(file), {}};
}

// The cells of the table with this head, without blanks and backticks around them.
std::vector<std::vector<std::string>> table_below(std::string_view head) {
  std::istringstream text(page());
  std::vector<std::vector<std::string>> rows;
  bool in_table = false;
  for (std::string line; std::getline(text, line);) {
    line.erase(0, line.find_first_not_of(' '));
    if (line == head) {
      in_table = true;
      std::getline(text, line);  // the ruler
    } else if (in_table && line.starts_with("| ")) {
      std::vector<std::string>& cells = rows.emplace_back();
      std::istringstream parts(line.substr(1));
      for (std::string cell; std::getline(parts, cell, '|');) {
        const std::size_t first = std::min(cell.find_first_not_of(" `"), cell.size());
        cells.push_back(cell.substr(first, cell.find_last_not_of(" `") + 1 - first));
      }
    } else {
      in_table = false;
    }
  }
  return rows;
}

// "2.4", "2.2 to 2.14", "never".
std::string releases_text(const ReleaseRange& range) {
  if (range == never) return "never";
  return to_string(range.first) + (range.last == kNoLastRelease ? "" : " to " + to_string(range.last));
}

struct DefRow {
  std::string module, name, meaning, torch;
};
std::vector<DefRow> def_rows() {
  return {
#define RUSHLIGHT_GLOBAL(module, name, meaning, torch) {module, name, #meaning, releases_text(torch)},
#include "checkpoint/globals.def"
  };
}

TEST(Globals, TheSpecificationHasTheSameTable) {
  const std::string text = page();
  ASSERT_FALSE(text.empty()) << "format-spec/05-checkpoint.md is missing";
  std::string expected = "| module | name | meaning | torch |\n|---|---|---|---|\n";
  for (const DefRow& row : def_rows()) {
    expected += "| `" + row.module + "` | `" + row.name + "` | " + row.meaning + " | " + row.torch + " |\n";
  }
  expected += "\n";
  EXPECT_NE(text.find(expected), std::string::npos) << "the table should read:\n" << expected;
}

// tests/checkpoint/weights_only_names.txt is what those releases have; parity.weights_only asks the one that is
// installed.
TEST(Globals, TakenUnderWeightsOnlyIsWhatEachReleaseOfTorchTakes) {
  std::ifstream file(std::string(RUSHLIGHT_TESTS_SOURCE_DIR) + "/checkpoint/weights_only_names.txt");
  std::map<std::string, ReleaseRange> listed;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name, first, last;
    words >> name >> first >> last;
    listed[name] = {TorchRelease::parse(first).value(),
                    last.empty() ? kNoLastRelease : TorchRelease::parse(last).value()};
  }
  ASSERT_EQ(listed.size(), 146u);
  for (const auto& [name, range] : listed) {
    const std::size_t dot = name.rfind('.');
    const std::optional<KnownGlobal> known = find_global(name.substr(0, dot), name.substr(dot + 1));
    ASSERT_TRUE(known) << name;
    EXPECT_EQ(releases_text(known->torch), releases_text(range)) << name;
  }
  const auto expect_listed = [&](const std::string& module, const std::string& name) {
    const std::optional<KnownGlobal> known = find_global(module, name);
    if (!known || known->torch == never) return;
    EXPECT_EQ(listed.count(module + "." + name), 1u) << module << " " << name;
  };
  for (const DefRow& row : def_rows()) expect_listed(row.module, row.name);
  std::vector<std::string> derived;
#define RUSHLIGHT_DTYPE(id, torch_name, short_name, bytes, packed, code, storage_class, kind) \
  derived.insert(derived.end(), {torch_name, storage_class});
#include "rushlight/dtypes.def"
  for (const std::string& name : derived) {
    for (const char* module : {"torch", "torch.cuda"}) expect_listed(module, name);
    if (!name.ends_with("Storage")) continue;
    const std::string tensor = name.substr(0, name.size() - 7) + "Tensor";
    for (const char* module : {"torch", "torch.cuda", "torch.sparse", "torch.cuda.sparse"}) {
      expect_listed(module, tensor);
    }
  }
}

TEST(Globals, TheSpecificationExplainsEveryMeaning) {
  std::set<std::string> explained;
  for (const auto& cells : table_below("| meaning | arguments | result | rules |")) {
    ASSERT_EQ(cells.size(), 4u);
    EXPECT_TRUE(explained.insert(cells[0]).second) << cells[0];
    EXPECT_FALSE(cells[2].empty()) << cells[0];
  }
  // Those that follow from the table of dtypes stand in no row of globals.def.
  std::set<std::string> meanings = {"dtype", "storage_class", "old_tensor_class", "old_sparse_class", "script_class"};
  for (const DefRow& row : def_rows()) meanings.insert(row.meaning);
  EXPECT_EQ(explained, meanings);
}

TEST(Globals, TheSpecificationHasTheSameRenamings) {
  const auto rows = table_below("| module | name | module of Python 3 | name of Python 3 |");
  ASSERT_EQ(rows.size(), 20u);
  for (const auto& cells : rows) {
    ASSERT_EQ(cells.size(), 4u);
    const bool all = cells[1] == "*";
    const std::string name = all ? "AnyOther" : cells[1];
    EXPECT_EQ(dotted(python3_name(cells[0], name, 2)), cells[2] + "." + (all ? name : cells[3])) << cells[0];
    EXPECT_EQ(dotted(python3_name(cells[0], name, 0)), cells[2] + "." + (all ? name : cells[3])) << cells[0];
    EXPECT_EQ(dotted(python3_name(cells[0], name, 3)), cells[0] + "." + name);
  }
}

}  // namespace
}  // namespace rushlight::checkpoint
