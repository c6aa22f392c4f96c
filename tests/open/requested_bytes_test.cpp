// Opening a checkpoint reads what says where the tensors are, and next to nothing of them; a tensor costs its own
// bytes. So for every container, through a Source that has no mapping: a web server, a decryptor.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "opened_bytes.hpp"
#include "rushlight/digest.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/stats.hpp"
#include "rushlight/verify.hpp"
#include "support/legacy_builder.hpp"

namespace rushlight::test {
namespace {

constexpr std::int64_t kElements = 16384;
constexpr std::uint64_t kTensorBytes = kElements * 4;

std::string name_of(std::int64_t i) {
  return "tensor" + std::to_string(i);
}
// Of tensor i, each byte.
Bytes data_of(std::int64_t i) {
  return repeated(kTensorBytes, static_cast<std::uint8_t>(i % 251));
}
Bytes torch_zip(std::int64_t count) {
  PickleBuilder pickle;
  pickle.proto(2).empty_dict();
  TorchZip zip("many");
  zip.add("data.pkl", "");
  for (std::int64_t i = 0; i < count; ++i) {
    pickle.text(name_of(i)).tensor("FloatStorage", std::to_string(i), std::vector{kElements}).setitem();
    zip.add("data/" + std::to_string(i), data_of(i));
  }
  zip.record("data.pkl").data = pickle.stop().copy();
  return zip.add("version", "3\n").build();
}

Bytes legacy_stream(std::int64_t count) {
  LegacyFile file;
  file.object.empty_dict();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string key = std::to_string(i);
    file.object.text(name_of(i));
    legacy_tensor(file.object, {.storage_class = "FloatStorage", .key = key, .numel = kElements}, {kElements})
        .setitem();
    file.add(key, data_of(i), 4);
  }
  file.object.stop();
  return file.build();
}

Bytes legacy_tar(std::int64_t count) {
  Bytes storages = PickleBuilder().proto(2).integer(count).stop().copy();
  Bytes tensors = storages;
  PickleBuilder root;
  root.proto(2).empty_dict();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t key = count + i;  // of the tensor
    PickleBuilder storage;
    storage.proto(2).mark().integer(i).text("cpu").global("torch", "FloatStorage").tuple().stop();
    append(storages, storage.bytes());
    append_number(storages, kElements);
    append(storages, data_of(i));
    PickleBuilder tensor;
    tensor.proto(2).mark().integer(key).integer(i).global("torch", "FloatTensor").tuple().stop();
    append(tensors, tensor.bytes());
    append_number(tensors, std::int32_t{1});
    append_number(tensors, std::int32_t{0});
    for (const std::int64_t number : {kElements, std::int64_t{1}, std::int64_t{0}}) append_number(tensors, number);
    root.text(name_of(i)).text(std::to_string(key)).binpersid().setitem();
  }
  append(storages, PickleBuilder().proto(2).empty_list().stop().bytes());
  TarFile tar;
  tar.add("sys_info", PickleBuilder().proto(2).empty_dict().stop().copy());
  tar.add("pickle", root.stop().copy());
  tar.add("tensors", std::move(tensors)).add("storages", std::move(storages));
  return tar.build();
}

Bytes safetensors(std::int64_t count) {
  std::string header = "{";
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t begin = static_cast<std::uint64_t>(i) * kTensorBytes;
    header += (i == 0 ? "\"" : ",\"") + name_of(i) + R"(":{"dtype":"F32","shape":[)" + std::to_string(kElements) +
              R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(begin + kTensorBytes) + "]}";
  }
  header += "}";
  Bytes file;
  append_number<std::uint64_t>(file, header.size());
  append(file, as_byte_span(header));
  for (std::int64_t i = 0; i < count; ++i) append(file, data_of(i));
  return file;
}

Bytes npz(std::int64_t count) {
  std::string header("\x93NUMPY\x01\x00\x76\x00", 10);
  header += "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(kElements) + ",), }";
  header.resize(127, ' ');
  header += "\n";
  TorchZip zip("");
  for (std::int64_t i = 0; i < count; ++i) {
    Bytes array = to_bytes(header);
    append(array, data_of(i));
    zip.add_full_name(name_of(i) + ".npy", array);
  }
  return zip.build();
}

Bytes gguf(std::int64_t count) {
  Bytes file = to_bytes("GGUF");
  append_number<std::uint32_t>(file, 3);
  append_number(file, count);
  append_number<std::uint64_t>(file, 0);
  for (std::int64_t i = 0; i < count; ++i) {
    append_number<std::uint64_t>(file, name_of(i).size());
    append(file, as_byte_span(name_of(i)));
    append_number<std::uint32_t>(file, 1);
    append_number(file, kElements);
    append_number<std::uint32_t>(file, 0);  // F32
    append_number(file, static_cast<std::uint64_t>(i) * kTensorBytes);
  }
  file.resize((file.size() + 31) / 32 * 32);
  for (std::int64_t i = 0; i < count; ++i) append(file, data_of(i));
  return file;
}

struct Kind {
  FileKind kind;
  Bytes (*build)(std::int64_t count);
};
void PrintTo(const Kind& kind, std::ostream* out) {
  *out << to_string(kind.kind);
}

constexpr std::int64_t kMany = 1000;
constexpr std::int64_t kFew = 3;

class RequestedBytes : public testing::TestWithParam<Kind> {};

TEST_P(RequestedBytes, ListingReadsLessThanAHundredthOfAFileAndOneTensorItselfAlone) {
  const auto source = std::make_shared<TestSource>(GetParam().build(kMany), TestSource::Access::read_only);
  const Result<Checkpoint> checkpoint = Checkpoint::open(source);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->format().kind, GetParam().kind);
  const Result<Inspection> report = inspect(*checkpoint);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->tensors.size(), static_cast<std::size_t>(kMany));
  const Result<StateDict> state = checkpoint->state_dict();
  ASSERT_TRUE(state);
  EXPECT_LT(source->bytes_read() * 100, source->size_bytes());

  const std::uint64_t before = source->bytes_read();
  const Result<std::span<const std::byte>> bytes = state->at("tensor500")->bytes();
  ASSERT_TRUE(bytes) << to_string(bytes.error());
  EXPECT_EQ(Bytes(bytes->begin(), bytes->end()), data_of(500));
  const std::uint64_t read = source->bytes_read() - before;
  EXPECT_GE(read, kTensorBytes);
  EXPECT_LT(read, kTensorBytes + 4096);
}

TEST_P(RequestedBytes, AStorageSaysWhereItsBytesAre) {
  const Bytes file = GetParam().build(kFew);
  for (const auto access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
    const auto source = std::make_shared<TestSource>(file, access);
    for (const auto& [name, tensor] : Checkpoint::open(source).value().state_dict().value()) {
      const std::optional<FilePlace> place = tensor.storage().place();
      ASSERT_TRUE(place) << name;
      EXPECT_EQ(place->file, "test.pt");
      const auto bytes = tensor.storage().bytes().value();
      ASSERT_LE(place->offset + bytes.size(), file.size());
      EXPECT_EQ(std::memcmp(file.data() + place->offset, bytes.data(), bytes.size()), 0) << name;
    }
  }
}

// Keeps what it is told.
class Listener final : public Progress {
 public:
  bool on_progress(std::string_view phase, std::uint64_t done, std::uint64_t total) override {
    EXPECT_GE(done, done_);
    EXPECT_LE(done, total);
    phase_ = phase;
    done_ = done;
    total_ = total;
    return true;
  }
  // "digest: all of 12 bytes"
  [[nodiscard]] std::string said() const {
    if (phase_.empty()) return "nothing";
    return phase_ + ": " + (done_ == total_ ? "all" : std::to_string(done_)) + " of " + std::to_string(total_);
  }

 private:
  std::string phase_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

class Naysayer final : public Progress {
 public:
  bool on_progress(std::string_view, std::uint64_t, std::uint64_t) override { return false; }
};

// The error's class, "ok" where there is none.
template <class T>
std::string verdict(const Result<T>& result) {
  return result ? "ok" : std::string(to_string(result.error().code));
}

TEST_P(RequestedBytes, WhatReadsAllTensorsTellsHowFarItIsAndStopsWhenToldTo) {
  const auto source = std::make_shared<TestSource>(GetParam().build(kFew), TestSource::Access::read_only);
  const Checkpoint checkpoint = Checkpoint::open(source).value();
  const std::string all = "all of " + std::to_string(kFew * kTensorBytes);
  Listener hashed;
  EXPECT_EQ(verdict(digest(checkpoint, DigestAlgorithm::xxh3_128, nullptr, &hashed)), "ok");
  EXPECT_EQ(hashed.said(), "digest: " + all);
  Listener counted;
  EXPECT_EQ(verdict(statistics_of_all(checkpoint, {.progress = &counted})), "ok");
  EXPECT_EQ(counted.said(), "stats: " + all);
  Naysayer no;
  EXPECT_EQ(verdict(digest(checkpoint, DigestAlgorithm::xxh3_128, nullptr, &no)), "cancelled");
  EXPECT_EQ(verdict(statistics_of_all(checkpoint, {.progress = &no})), "cancelled");
}

// Checksums are in archives alone: of other files there is nothing to compute, and so nothing to tell.
TEST_P(RequestedBytes, WhatComputesChecksumsTellsHowFarItIsAndStopsWhenToldTo) {
  const auto source = std::make_shared<TestSource>(GetParam().build(kFew), TestSource::Access::read_only);
  const bool has_checksums = GetParam().kind == FileKind::torch_zip || GetParam().kind == FileKind::npz;
  LoadOptions audited;
  audited.checksums = Checksums::all_at_open;
  Listener opened;
  audited.progress = &opened;
  EXPECT_EQ(verdict(Checkpoint::open(source, audited)), "ok");
  Listener checked;
  EXPECT_EQ(verdict(verify(source, {.progress = &checked})), "ok");
  EXPECT_EQ(opened.said().starts_with("verify: all of "), has_checksums) << opened.said();
  EXPECT_EQ(checked.said().starts_with("verify: all of "), has_checksums) << checked.said();
  Naysayer no;
  audited.progress = &no;
  EXPECT_EQ(verdict(Checkpoint::open(source, audited)), has_checksums ? "cancelled" : "ok");
  EXPECT_EQ(verdict(verify(source, {.progress = &no})), has_checksums ? "cancelled" : "ok");
}

const auto kKinds = testing::Values(Kind{FileKind::torch_zip, torch_zip}, Kind{FileKind::torch_legacy, legacy_stream},
                                    Kind{FileKind::torch_tar, legacy_tar}, Kind{FileKind::safetensors, safetensors},
                                    Kind{FileKind::npz, npz}, Kind{FileKind::gguf, gguf});

INSTANTIATE_TEST_SUITE_P(Containers, RequestedBytes, kKinds);

// --- sets of files, archives that hold more than tensors
// ----------------------------------------------------------------

// What was read of a folder's files.
struct Watch {
  struct Range {
    std::string file;
    std::uint64_t begin, end;
  };
  std::vector<Range> ranges;
};
class WatchedFile final : public Source {
 public:
  WatchedFile(std::shared_ptr<const Source> file, Watch& watch) : file_(std::move(file)), watch_(watch) {}
  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return file_->size_bytes(); }
  [[nodiscard]] std::string_view name() const noexcept override { return file_->name(); }
  Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    watch_.ranges.push_back({std::string(name()), offset, offset + out.size()});
    return file_->read_at(offset, out);
  }

 private:
  std::shared_ptr<const Source> file_;
  Watch& watch_;
};
Result<Checkpoint> open_watched(const std::filesystem::path& path, Watch& watch) {
  const auto open = [&watch](const std::filesystem::path& file) -> Result<std::shared_ptr<const Source>> {
    RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<const Source> opened, open_file(file));
    return std::shared_ptr<const Source>(std::make_shared<WatchedFile>(std::move(opened), watch));
  };
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<const Source> source, open(path));
  LoadOptions options;
  options.open_beside = [&](std::string_view name) { return open(path.parent_path() / name); };
  return Checkpoint::open(std::move(source), options);
}

class RequestedBytesOfGolden : public testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path path_ = std::filesystem::path(RUSHLIGHT_GOLDEN_DIR) / GetParam();
};

TEST_P(RequestedBytesOfGolden, ReadingAStorageTouchesNoOther) {
  Watch watch;
  const Result<Checkpoint> checkpoint = open_watched(path_, watch);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  struct Placed {
    Storage storage;
    FilePlace place;
    [[nodiscard]] std::uint64_t end() const { return place.offset + storage.size_bytes(); }
    [[nodiscard]] bool overlaps(std::string_view file, std::uint64_t begin, std::uint64_t last) const {
      return place.file == file && begin < end() && place.offset < last;
    }
  };
  std::vector<Placed> all;
  for (const TensorEntry& entry : inspect(*checkpoint).value().tensors) {
    const Storage& storage = entry.tensor.storage();
    const std::optional<FilePlace> place = storage.place();
    ASSERT_TRUE(place) << entry.name;
    if (storage.size_bytes() > 0) all.push_back({storage, *place});
  }
  EXPECT_GE(all.size(), 2u);
  for (const Placed& one : all) {
    watch.ranges.clear();
    const auto bytes = one.storage.bytes();
    ASSERT_TRUE(bytes) << to_string(bytes.error());
    std::vector<std::byte> there(bytes->size());
    ASSERT_TRUE(open_file(std::filesystem::path(one.place.file)).value()->read_at(one.place.offset, there));
    EXPECT_TRUE(std::equal(there.begin(), there.end(), bytes->begin())) << one.storage.record();
    for (const Placed& other : all) {
      if (other.overlaps(one.place.file, one.place.offset, one.end())) continue;
      for (const Watch::Range& range : watch.ranges) {
        EXPECT_FALSE(other.overlaps(range.file, range.begin, range.end))
            << one.storage.record() << " reads [" << range.begin << ", " << range.end << "), where "
            << other.storage.record() << " lies";
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Files, RequestedBytesOfGolden,
                         testing::Values("fashion/fashion_ckpt.pt", "fashion/fashion_module.pt",
                                         "format/archives/script_cnn.pt", "format/archives/script_quantized.pt",
                                         "format/archives/mobile_mlp.ptl", "format/archives/export_cnn.pt2",
                                         "format/archives/package.pt", "format/container/prefix_deep.pt",
                                         "format/container/sharded/pytorch_model.bin.index.json",
                                         "torch-releases/tar/views-py3.tar.pt"));

// Of a distributed checkpoint a tensor lies in pieces, each an archive of its own in some file.
TEST(RequestedBytesOfSet, ATensorOfADistributedCheckpointIsReadFromItsOwnItems) {
  Watch watch;
  const auto folder = std::filesystem::path(RUSHLIGHT_GOLDEN_DIR) / "format" / "container" / "dcp";
  const Checkpoint checkpoint = open_watched(folder / ".metadata", watch).value();
  std::vector<std::vector<Watch::Range>> of_tensor;
  for (const TensorEntry& entry : inspect(checkpoint).value().tensors) {
    EXPECT_FALSE(entry.tensor.storage().place()) << entry.name;
    watch.ranges.clear();
    ASSERT_TRUE(entry.tensor.bytes()) << entry.name;
    of_tensor.push_back(watch.ranges);
  }
  const auto overlap = [](const Watch::Range& a, const Watch::Range& b) {
    return a.file == b.file && a.begin < b.end && b.begin < a.end;
  };
  for (std::size_t i = 0; i < of_tensor.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      for (const Watch::Range& a : of_tensor[i]) {
        for (const Watch::Range& b : of_tensor[j]) EXPECT_FALSE(overlap(a, b)) << i << " and " << j;
      }
    }
  }
}

TEST(RequestedBytesOfSet, ProgressIsThatOfTheWholeSetAndStopsIt) {
  for (const char* name : {"sharded/pytorch_model.bin.index.json", "dcp/.metadata", "dcp_two_ranks/.metadata"}) {
    SCOPED_TRACE(name);
    const auto path = std::filesystem::path(RUSHLIGHT_GOLDEN_DIR) / "format" / "container" / name;
    const Checkpoint checkpoint = Checkpoint::open(path).value();
    Listener hashed;
    EXPECT_EQ(verdict(digest(checkpoint, DigestAlgorithm::xxh3_128, nullptr, &hashed)), "ok");
    EXPECT_TRUE(hashed.said().starts_with("digest: all of ")) << hashed.said();
    Listener checked;
    EXPECT_EQ(verdict(verify(path, {.progress = &checked})), "ok");
    EXPECT_TRUE(checked.said().starts_with("verify: all of ")) << checked.said();
    Naysayer no;
    EXPECT_EQ(verdict(digest(checkpoint, DigestAlgorithm::xxh3_128, nullptr, &no)), "cancelled");
    EXPECT_EQ(verdict(verify(path, {.progress = &no})), "cancelled");
    EXPECT_EQ(verdict(statistics_of_all(checkpoint, {.progress = &no})), "cancelled");
  }
}

}  // namespace
}  // namespace rushlight::test
