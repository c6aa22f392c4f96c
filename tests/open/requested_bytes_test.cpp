// Listing a checkpoint reads its directory and its pickle, and next to nothing of its tensors.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/inspect.hpp"
#include "support/pickle_builder.hpp"
#include "support/test_source.hpp"
#include "support/zip_builder.hpp"

namespace rushlight::test {
namespace {

TEST(RequestedBytes, ListingReadsLessThanAHundredthOfAFileAndOneTensorItselfAlone) {
  constexpr std::int64_t kTensors = 1000;
  constexpr std::int64_t kElements = 16384;  // 64 KiB each
  PickleBuilder pickle;
  pickle.proto(2).empty_dict();
  TorchZip zip("many");
  zip.add("data.pkl", "");
  for (std::int64_t i = 0; i < kTensors; ++i) {
    const std::vector<std::int64_t> shape = {kElements};
    pickle.text("tensor" + std::to_string(i)).tensor("FloatStorage", std::to_string(i), shape).setitem();
    zip.add("data/" + std::to_string(i), repeated(kElements * 4, static_cast<std::uint8_t>(i)));
  }
  pickle.stop();
  zip.record("data.pkl").data = pickle.copy();
  zip.add("version", "3\n");
  const auto source = std::make_shared<TestSource>(zip.build(), TestSource::Access::read_only);

  const Result<Checkpoint> checkpoint = Checkpoint::open(source);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  const Result<Inspection> report = inspect(*checkpoint);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->tensors.size(), static_cast<std::size_t>(kTensors));
  const Result<StateDict> state = checkpoint->state_dict();
  ASSERT_TRUE(state);
  EXPECT_LT(source->bytes_read() * 100, source->size_bytes());

  const std::uint64_t before = source->bytes_read();
  EXPECT_TRUE(state->at("tensor500")->bytes());
  const std::uint64_t read = source->bytes_read() - before;
  EXPECT_GE(read, std::uint64_t{kElements} * 4);
  EXPECT_LT(read, std::uint64_t{kElements} * 4 + 4096);
}

}  // namespace
}  // namespace rushlight::test
