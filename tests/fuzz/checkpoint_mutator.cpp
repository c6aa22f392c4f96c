#include "fuzz/mutators.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/test_source.hpp"
#include "support/zip_builder.hpp"
#include "zip/archive.hpp"

namespace rushlight::test {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 20;
constexpr std::size_t kMostRecords = 64;

struct Unpacked {
  TorchZip zip{""};
  std::vector<std::uint32_t> crcs;  // as the directory states them
};

std::optional<Unpacked> unpack(ByteSpan bytes) {
  zip::OpenOptions options;
  options.limits.inflated_bytes = kMostBytes;
  std::vector<Finding> oddities;
  const auto source = std::make_shared<TestSource>(std::vector<std::byte>(bytes.begin(), bytes.end()));
  const auto archive = zip::Archive::open(source, options, oddities);
  if (!archive || (*archive)->entries().empty() || (*archive)->entries().size() > kMostRecords) return std::nullopt;
  Unpacked unpacked;
  for (const zip::Entry& entry : (*archive)->entries()) {
    const auto record = (*archive)->read(entry, kMostBytes);
    if (!record) return std::nullopt;
    unpacked.zip.add_full_name(entry.name, record->span());
    unpacked.zip.records().back().deflate = entry.method == zip::Method::deflated;
    unpacked.crcs.push_back(entry.crc);
  }
  return unpacked;
}

void state_crc(RecordPlan& plan, std::uint32_t crc) {
  plan.central = [crc](zip::CentralEntry& entry) { entry.crc = crc; };
  plan.descriptor = [crc](zip::Descriptor64& descriptor) { descriptor.crc = crc; };
  plan.local = [crc](zip::LocalHeader& header) {
    if ((header.flags & zip::kFlagDescriptor) == 0) header.crc = crc;
  };
}

template <class Sequence, class Mutation>
void mutate_bytes(Sequence& bytes, std::size_t max_size, Mutation mutate) {
  const std::size_t size = bytes.size();
  bytes.resize(std::max(size, max_size));
  bytes.resize(mutate(reinterpret_cast<std::uint8_t*>(bytes.data()), size, bytes.size()));
}

// By what its name says it is.
void mutate_content(RecordPlan& plan, std::size_t room, Dice& dice, PlainMutation mutate) {
  const unsigned seed = dice.seed();
  mutate_bytes(plan.data, plan.data.size() + room, [&](std::uint8_t* data, std::size_t size, std::size_t max_size) {
    if (plan.name.ends_with(".pkl")) return mutate_pickle(data, size, max_size, seed, mutate);
    if (plan.name.ends_with(".npy")) return mutate_header(data, size, max_size, seed, mutate);
    return mutate(data, size, max_size);
  });
}

std::size_t pickle_position(std::span<const RecordPlan> records) {
  const auto pickle =
      std::find_if(records.begin(), records.end(), [](const RecordPlan& plan) { return plan.name.ends_with(".pkl"); });
  return pickle == records.end() ? 0 : static_cast<std::size_t>(pickle - records.begin());
}

// Changes one record; false where nothing would be left.
bool change(Unpacked& unpacked, std::size_t room, Dice& dice, PlainMutation mutate) {
  std::vector<RecordPlan>& records = unpacked.zip.records();
  for (std::size_t i = 0; i < records.size(); ++i) state_crc(records[i], unpacked.crcs[i]);
  const std::size_t at = dice.one_in(3) ? dice.below(records.size()) : pickle_position(records);
  RecordPlan& plan = records[at];
  switch (dice.below(16)) {
    case 0:
      if (records.size() == 1) return false;
      records.erase(records.begin() + static_cast<std::ptrdiff_t>(at));
      return true;
    case 1:
      mutate_bytes(plan.name, plan.name.size() + 8, mutate);
      return true;
    case 2:
      plan.deflate = !plan.deflate;
      return true;
    default:
      mutate_content(plan, room, dice, mutate);
      if (!dice.one_in(8)) state_crc(plan, plain_crc32(plan.data));
      return true;
  }
}

}  // namespace

std::size_t mutate_checkpoint(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                              PlainMutation mutate) {
  Dice dice(seed);
  if (dice.one_in(2)) return mutate(data, size, max_size);
  std::optional<Unpacked> unpacked = unpack(std::as_bytes(std::span(data, size)));
  if (!unpacked || !change(*unpacked, max_size - std::min(size, max_size), dice, mutate)) {
    return mutate(data, size, max_size);
  }
  if (dice.one_in(4)) unpacked->zip.alignment = 1;  // smaller, as foreign writers make them
  const Bytes mutant = unpacked->zip.build();
  if (mutant.empty() || mutant.size() > max_size) return mutate(data, size, max_size);
  std::transform(mutant.begin(), mutant.end(), data, [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  return mutant.size();
}

}  // namespace rushlight::test
