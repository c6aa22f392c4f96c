// The vector of format-spec/07-manifest.md.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "rushlight/digest.hpp"

namespace rushlight {
namespace {

namespace dom = simdjson::dom;
namespace fs = std::filesystem;

fs::path vectors() {
  return fs::path(RUSHLIGHT_TESTS_SOURCE_DIR).parent_path() / "format-spec" / "vectors";
}

TEST(ContentDigestVector, EveryContainerOfTheTensorsHasTheDigestsOfThePage) {
  dom::parser parser;
  const dom::element vector = parser.load((vectors() / "digest.json").string());
  const std::unique_ptr<Executor> threads = make_thread_pool(2);
  int compared = 0;
  for (const DigestAlgorithm algorithm : {DigestAlgorithm::xxh3_128, DigestAlgorithm::sha256}) {
    if (!available(algorithm)) {
      std::cout << "SKIPPED: " << to_string(algorithm) << " is not in the build\n";
      continue;
    }
    for (const dom::element file : dom::array(vector["files"])) {
      const std::string_view name = file;
      SCOPED_TRACE(name);
      const Result<Checkpoint> checkpoint = Checkpoint::open(vectors() / name);
      ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
      const Result<DigestReport> report = digest(*checkpoint, algorithm, threads.get());
      ASSERT_TRUE(report) << to_string(report.error());
      EXPECT_EQ(report->content_digest, std::string_view(vector["content_digest"][to_string(algorithm)]));
      const dom::array rows = vector["tensors"];
      ASSERT_EQ(report->tensors.size(), rows.size());
      for (const TensorDigest& tensor : report->tensors) {
        bool found = false;
        for (const dom::element row : rows) {
          if (std::string_view(row["name"]) != tensor.name) continue;
          found = true;
          EXPECT_EQ(to_string(tensor.dtype), std::string_view(row["dtype"]));
          EXPECT_EQ(tensor.digest, std::string_view(row[to_string(algorithm)])) << tensor.name;
        }
        EXPECT_TRUE(found) << tensor.name;
      }
      ++compared;
    }
  }
  EXPECT_GE(compared, 4);
}

}  // namespace
}  // namespace rushlight
