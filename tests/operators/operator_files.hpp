// The files of operator vectors, and how a case of one is run on a backend.
#pragma once

#include <cstddef>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "operators/compare.hpp"
#include "operators/operator_case.hpp"
#include "runtime/backend.hpp"
#include "rushlight/result.hpp"

namespace rushlight::test {

struct OperatorFile {
  const char* name;
  Rule rule;
  std::size_t case_count;
};
// In the names of tests: an address would be another one in every build.
void PrintTo(const OperatorFile& file, std::ostream* out);
[[nodiscard]] std::span<const OperatorFile> operator_files();

// In tests/golden, or where RUSHLIGHT_TESTDATA says; nullopt: it is in neither.
[[nodiscard]] std::optional<std::filesystem::path> find_file(const std::string& name);

// Files may mix rules: rounding among functions.
[[nodiscard]] Rule rule_of(const OperatorFile& file, const OperatorCase& one);

// As a Session does it, with views as a caller would pass them. `thrice`: a second time, and a third one with two
// threads, which must give the same bits.
[[nodiscard]] Result<std::vector<Tensor>> run_case(const runtime::Backend& backend, const OperatorCase& one,
                                                   bool thrice = true);

}  // namespace rushlight::test
