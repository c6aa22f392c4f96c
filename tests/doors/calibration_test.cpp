// Calibrations as JSON: there and back, and what is wrong with those that are none.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "rushlight/calibration.hpp"

namespace rushlight::test {
namespace {

constexpr const char* kGood =
    "{\"rushlight_calibration\": 1, \"items\": 3, \"choice\": \"min_max\",\n"
    " \"layers\": {\n"
    "  \"conv1\": {\"low\": -0.5, \"high\": 1.25, \"least\": -0.75, \"most\": 2}}}\n";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(std::string::npos, at) << from;
  return text.replace(at, from.size(), to);
}

std::string message_of(const std::string& json, const Limits& limits = {}) {
  const Result<Calibration> calibration = Calibration::from_json(json, limits);
  return calibration ? "nothing" : calibration.error().finding.message;
}

TEST(CalibrationJson, GivesBackWhatWasWritten) {
  const Calibration read = Calibration::from_json(kGood).value();
  EXPECT_EQ(3, read.items);
  EXPECT_EQ(RangeChoice::min_max, read.choice);
  EXPECT_EQ((ActivationRange{-0.5F, 1.25F, -0.75F, 2}), read.layers.at("conv1"));
  EXPECT_EQ(kGood, read.to_json());

  Calibration odd;
  odd.layers["a \"quoted\" \\ \n \x01 \xC3\xA4"] = {-std::numeric_limits<float>::denorm_min(),
                                                    std::numeric_limits<float>::max(), -0.1F, 1.0F / 3};
  odd.layers[""] = {-0.0F, 0, 0, 0};
  const Calibration again = Calibration::from_json(odd.to_json()).value();
  EXPECT_EQ(odd.layers, again.layers);
  EXPECT_EQ(odd.to_json(), again.to_json());
  EXPECT_TRUE(Calibration::from_json(Calibration().to_json()).value().layers.empty());
}

TEST(CalibrationJson, SaysWhatIsWrongAndWhere) {
  const std::string good = kGood;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "calibration: line 1, column 1: expected a value, found the end of the text"},
      {"[1, 2]", "calibration: expected an object, found an array"},
      {"{\"schema\": 1}", "calibration: key 'rushlight_calibration' is missing: this is another kind of JSON"},
      {replaced(good, "calibration\": 1", "calibration\": 2"),
       "calibration: rushlight_calibration: expected 1, found 2"},
      {replaced(good, "calibration\": 1", "calibration\": \"1\""),
       "calibration: rushlight_calibration: expected 1, found '1'"},
      {replaced(good, "\"items\": 3, ", ""), "calibration: key 'items' is missing"},
      {replaced(good, "\"items\": 3", "\"items\": -3"), "calibration: items: expected a number of items, found -3"},
      {replaced(good, "\"items\": 3", "\"items\": 3.5"), "calibration: items: expected a number of items, found 3.5"},
      {replaced(good, "\"items\": 3", "\"items\": 3, \"items\": 3"), "calibration: key 'items' occurs twice"},
      {replaced(good, "\"items\": 3", "\"items\": 3, \"note\": 3"), "calibration: unknown key 'note'"},
      {replaced(good, "min_max", "best"), "calibration: choice: expected 'least_error' or 'min_max', found 'best'"},
      {replaced(good, "\"min_max\"", "1"), "calibration: choice: expected 'least_error' or 'min_max', found 1"},
      {replaced(good, "{\n  \"conv1\"", "[{\n  \"conv1\""),
       "calibration: line 3, column 67: expected ',' or ']', found '}'"},
      {"{\"rushlight_calibration\": 1, \"items\": 3, \"choice\": \"min_max\", \"layers\": []}",
       "calibration: layers: expected an object, found an array"},
      {replaced(good, "{\"low\"", "{\"lo\""), "calibration: layers: 'conv1': unknown key 'lo'"},
      {replaced(good, "\"low\": -0.5, ", ""), "calibration: layers: 'conv1': key 'low' is missing"},
      {replaced(good, "-0.5", "0.5"), "calibration: layers: 'conv1': low: expected at most 0, found 0.5"},
      {replaced(good, "1.25", "-1.25"), "calibration: layers: 'conv1': high: expected at least 0, found -1.25"},
      {replaced(good, "1.25", "\"1.25\""), "calibration: layers: 'conv1': high: expected a number, found '1.25'"},
      {replaced(good, "1.25", "1e39"),
       "calibration: layers: 'conv1': high: expected a number that float32 holds, found 1e+39"},
      {replaced(good, "1.25", "1e999"), "calibration: a number does not fit 64 bits, or a text is no UTF-8"},
      {replaced(good, "1.25", "NaN"), "calibration: line 3, column 34: expected a value, found 'N'"},
      {replaced(good, "conv1", "conv\xFF"),
       "calibration: line 3, column 4: expected a string of valid UTF-8, found 'c'"},
      {replaced(good, "2}}}", "2}, \"conv1\": {\"low\": 0, \"high\": 0, \"least\": 0, \"most\": 0}}}"),
       "calibration: layers: key 'conv1' occurs twice"},
      {good + "{}", "calibration: line 4, column 1: expected the end of the text, found '{'"},
      {"{\"rushlight_calibration\": [[[[[[[[[[1]]]]]]]]]]}",
       "calibration: line 1, column 34: expected at most 8 levels of nesting, found '['"},
  };
  for (const auto& [json, message] : cases) {
    EXPECT_EQ(message, message_of(json)) << json;
  }
  EXPECT_EQ(ErrorCode::mismatch, Calibration::from_json("[]").error().code);
  EXPECT_EQ(ErrorCode::unsupported,
            Calibration::from_json(replaced(good, "calibration\": 1", "calibration\": 2")).error().code);
}

TEST(CalibrationJson, EveryCutAndEveryFlippedBitIsAnErrorOrACalibration) {
  const std::string good = kGood;
  for (std::size_t size = 0; size + 2 < good.size(); ++size) {
    EXPECT_FALSE(Calibration::from_json(good.substr(0, size))) << size;
  }
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(static_cast<unsigned char>(bad[at]) ^ 1U << bit);
      const Result<Calibration> read = Calibration::from_json(bad);
      if (!read) {
        EXPECT_FALSE(read.error().finding.message.empty());
        continue;
      }
      for (const auto& [name, range] : read->layers) {
        EXPECT_TRUE(range.low <= 0 && range.high >= 0 && std::isfinite(range.low) && std::isfinite(range.high));
      }
    }
  }
}

TEST(CalibrationJson, MeetsTheLimits) {
  Limits limits;
  limits.json_bytes = 100;
  EXPECT_EQ("calibration: it has " + std::to_string(std::string(kGood).size()) + " bytes, the limit is 100",
            message_of(kGood, limits));
  limits = {};
  limits.graph_nodes = 0;
  EXPECT_EQ("calibration: layers: more than 0 of them", message_of(kGood, limits));
}

TEST(CalibrationFile, IsWrittenWholeAndReadBack) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "rushlight_calibration";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const std::filesystem::path path = folder / "ranges.json";
  Calibration calibration = Calibration::from_json(kGood).value();
  ASSERT_TRUE(write_calibration(calibration, path, false));
  EXPECT_EQ(kGood, read_calibration(path).value().to_json());
  const Status again = write_calibration(calibration, path, false);
  ASSERT_FALSE(again);
  EXPECT_EQ("IO-EXISTS", again.error().finding.code);
  calibration.items = 4;
  EXPECT_TRUE(write_calibration(calibration, path));
  EXPECT_EQ(4, read_calibration(path).value().items);
  calibration.layers["no \xFF text"] = {};
  const Status unwritten = write_calibration(calibration, path);
  ASSERT_FALSE(unwritten);
  EXPECT_EQ("layer 'no \\xff text': its name is no UTF-8, which JSON cannot hold", unwritten.error().finding.message);
  EXPECT_EQ(4, read_calibration(path).value().items);

  std::ofstream(path) << "no JSON";
  const Result<Calibration> bad = read_calibration(path);
  ASSERT_FALSE(bad);
  EXPECT_EQ(path.string(), bad.error().finding.file);
  EXPECT_EQ("calibration: line 1, column 1: expected a value, found 'n'", bad.error().finding.message);
  Limits limits;
  limits.json_bytes = 3;
  EXPECT_EQ("calibration: it has 7 bytes, the limit is 3", read_calibration(path, limits).error().finding.message);
  EXPECT_EQ(ErrorCode::not_found, read_calibration(folder / "absent.json").error().code);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace rushlight::test
