// Lets Python packages read what was written here, wherever an interpreter with them is found.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>

namespace rushlight::test {

// Runs a script of this folder, whose complaints are the test's; "SKIPPED: " where the packages are not there.
inline void run_with_packages(const std::string& packages, const std::string& script,
                              const std::filesystem::path& argument) {
  const std::filesystem::path here = std::filesystem::path(RUSHLIGHT_TESTS_SOURCE_DIR) / "interchange";
  const std::string command = "'" + (here / "with_packages.sh").string() + "' '" + packages + "' '" +
                              (here / script).string() + "' '" + argument.string() + "' 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  std::array<char, 4096> piece{};
  while (const std::size_t count = std::fread(piece.data(), 1, piece.size(), pipe)) output.append(piece.data(), count);
  const int status = pclose(pipe);
  if (output.find("SKIPPED: ") == 0) {
    std::cout << output;
    GTEST_SKIP();
  }
  EXPECT_EQ(status, 0) << output;
  EXPECT_NE(output.find("compared"), std::string::npos) << output;
}

}  // namespace rushlight::test
