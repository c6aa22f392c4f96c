#include "rushlight/dtype.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace rushlight {
namespace {

TEST(DTypes, RowsAreFoundUnderTheirOwnIds) {
  ASSERT_GT(dtype_count(), 30U);
  for (std::size_t i = 0; i < dtype_count(); ++i) {
    const DTypeInfo& row = dtype_at(i);
    EXPECT_EQ(&info(row.dtype), &row);
    EXPECT_EQ(dtype_from_name(row.name), row.dtype) << row.name;
    EXPECT_EQ(to_string(row.dtype), row.name);
    EXPECT_EQ(size_bytes(row.dtype), row.size_bytes);
  }
}

TEST(DTypes, NamesAndScalarTypeCodesAndStorageClassesAreUnique) {
  std::set<std::string_view> names;
  std::set<std::string_view> briefs;
  std::set<std::string_view> classes;
  std::set<int> codes;
  std::size_t with_class = 0;
  for (std::size_t i = 0; i < dtype_count(); ++i) {
    names.insert(dtype_at(i).name);
    briefs.insert(dtype_at(i).brief);
    codes.insert(dtype_at(i).scalar_type);
    if (!dtype_at(i).storage_class.empty()) {
      classes.insert(dtype_at(i).storage_class);
      ++with_class;
    }
  }
  EXPECT_EQ(names.size(), dtype_count());
  EXPECT_EQ(briefs.size(), dtype_count());
  EXPECT_EQ(codes.size(), dtype_count());
  EXPECT_EQ(classes.size(), with_class);
}

TEST(DTypes, StorageClassesAreFoundAndAliasesAreNot) {
  EXPECT_EQ(dtype_from_storage_class("FloatStorage"), DType::f32);
  EXPECT_EQ(dtype_from_storage_class("BFloat16Storage"), DType::bf16);
  EXPECT_EQ(dtype_from_storage_class("QUInt4x2Storage"), DType::qu4x2);
  EXPECT_EQ(dtype_from_storage_class("UntypedStorage"), std::nullopt);
  EXPECT_EQ(dtype_from_storage_class("floatstorage"), std::nullopt);
  EXPECT_EQ(dtype_from_storage_class(""), std::nullopt);
  EXPECT_EQ(dtype_from_name("float32"), DType::f32);
  EXPECT_EQ(dtype_from_name("float"), std::nullopt);
  EXPECT_EQ(dtype_from_name("half"), std::nullopt);
  EXPECT_EQ(dtype_from_name("Float32"), std::nullopt);
  EXPECT_EQ(dtype_from_name(""), std::nullopt);
}

TEST(DTypes, CppTypesAreAsWideAsTheirDTypes) {
  EXPECT_EQ(size_bytes(dtype_of<std::uint8_t>::value), sizeof(std::uint8_t));
  EXPECT_EQ(size_bytes(dtype_of<std::int16_t>::value), sizeof(std::int16_t));
  EXPECT_EQ(size_bytes(dtype_of<std::uint32_t>::value), sizeof(std::uint32_t));
  EXPECT_EQ(size_bytes(dtype_of<std::int64_t>::value), sizeof(std::int64_t));
  EXPECT_EQ(size_bytes(dtype_of<float>::value), sizeof(float));
  EXPECT_EQ(size_bytes(dtype_of<double>::value), sizeof(double));
}

// The table of the specification is the table of the code, row by row and in the same order.
TEST(DTypes, SpecificationListsTheSameRows) {
  std::ifstream page(RUSHLIGHT_TESTS_SOURCE_DIR "/../format-spec/04-tensors.md");
  ASSERT_TRUE(page) << "format-spec/04-tensors.md is missing";
  std::vector<std::string> rows;
  bool in_table = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("| dtype |")) {
      in_table = true;
      std::getline(page, line);  // the ruler
    } else if (in_table && line.starts_with("| ")) {
      rows.push_back(line);
    } else {
      in_table = false;
    }
  }
  ASSERT_EQ(rows.size(), dtype_count());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const DTypeInfo& row = dtype_at(i);
    std::ostringstream expected;
    expected << "| " << row.name << " | " << row.brief << " | " << row.size_bytes << " | " << row.packed << " | "
             << row.scalar_type << " | " << (row.storage_class.empty() ? "" : std::string(row.storage_class) + " ")
             << "|";
    EXPECT_TRUE(rows[i].starts_with(expected.str())) << rows[i] << "\nexpected " << expected.str();
  }
}

}  // namespace
}  // namespace rushlight
