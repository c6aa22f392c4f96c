// The writer: torch's own archives written again from their records, refusals, and archives too large for 32 bits.
#include "zip/writer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include "base/fail.hpp"
#include "support/temporary_folder.hpp"
#include "support/zip_builder.hpp"
#include "zip/verdict.hpp"

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

class MemorySink final : public Sink {
 public:
  Status write(ByteSpan more) override {
    append(bytes, more);
    return {};
  }
  Bytes bytes;
};

// --- torch's archives, again --------------------------------------------------------------------------------------

// An archive written again from its records, in the order of the file.
std::string rewritten(const zip::Archive& archive, Bytes& out) {
  std::vector<const zip::Entry*> entries;
  for (const zip::Entry& entry : archive.entries()) entries.push_back(&entry);
  std::sort(entries.begin(), entries.end(),
            [](const zip::Entry* a, const zip::Entry* b) { return a->header_offset < b->header_offset; });
  zip::WriterOptions options;
  options.crc = std::any_of(entries.begin(), entries.end(), [](const zip::Entry* entry) { return entry->crc != 0; });
  for (const zip::Entry* entry : entries) {
    if (!entry->name.ends_with("/.storage_alignment")) continue;
    const auto text = archive.read(*entry, 20);
    if (!text) return line(text.error());
    options.alignment = std::stoull(std::string(as_text(text->span())));
  }
  MemorySink sink;
  zip::Writer writer(sink, options);
  std::vector<zip::RecordSpec> specs;
  std::vector<zip::RecordPlace> places;
  for (const zip::Entry* entry : entries) {
    const auto extent = archive.data_extent(*entry);
    if (!extent) return line(extent.error());
    const ByteSpan stored = archive.source()->mapping().subspan(extent->begin, extent->size_bytes());
    const auto written = entry->method == zip::Method::deflated
                             ? writer.add_deflated(entry->name, stored, entry->size_bytes, entry->crc)
                             : writer.add(entry->name, stored);
    if (!written) return line(written.error());
    specs.push_back({.name = entry->name,
                     .size_bytes = entry->size_bytes,
                     .method = entry->method,
                     .deflated_bytes = entry->method == zip::Method::deflated ? entry->compressed_bytes : 0});
    places.push_back(written->place);
    EXPECT_EQ(written->stored_bytes, stored.size()) << entry->name;
    EXPECT_EQ(written->place.descriptor_offset - written->place.data_offset, stored.size()) << entry->name;
  }
  const auto size = writer.finish();
  if (!size) return line(size.error());
  // What was foreseen is what came.
  const auto plan = zip::plan_archive(specs, options);
  if (!plan) return line(plan.error());
  EXPECT_EQ(plan->records, places);
  EXPECT_EQ(plan->size_bytes, *size);
  EXPECT_EQ(*size, sink.bytes.size());
  EXPECT_EQ(get<std::uint64_t>(sink.bytes, sink.bytes.size() - 98 + 48), plan->directory_offset);
  EXPECT_EQ(get<std::uint64_t>(sink.bytes, sink.bytes.size() - 98 + 40), plan->directory_bytes);
  out = std::move(sink.bytes);
  return "";
}

TEST(ZipWriter, TorchsArchivesAreWrittenAgainByteForByteFromTheirRecords) {
  // All that is not plain output of torch, and why it comes out otherwise or not at all.
  const std::map<std::string, std::string> others = {
      {"format/container/dcp/__0_0.distcp", "several archives in one file"},
      {"format/container/dcp_two_ranks/__0_0.distcp", "several archives in one file"},
      {"format/container/dcp_two_ranks/__1_0.distcp", "several archives in one file"},
      {"format/container/rezipped_deflated.pt", "by another tool"},
      {"format/container/rezipped_directories.pt", "by another tool"},
      {"format/container/rezipped_stored.pt", "by another tool"},
      {"format/container/skip_data.pt", "torch left the CRCs of storages out, and of nothing else"},
      {"format/container/trailing_bytes.pt", "bytes behind the archive"},
      {"format/quirks/alignment_wrong.pt", "states another alignment than it has"},
      {"format/quirks/backslash.pt", "a name that is refused"},
      {"format/quirks/comment.pt", "a comment"},
      {"format/quirks/crc_mismatch.pt", "damaged"},
      {"format/quirks/duplicate_other.pt", "a record twice"},
      {"format/quirks/duplicate_same.pt", "a record twice"},
      {"format/quirks/encrypted_flag.pt", "says that it is encrypted"},
      {"format/quirks/local_name.pt", "two names for one record"},
      {"format/quirks/no_zip64_end.pt", "without zip64 end record"},
      {"format/quirks/trailing_64k.pt", "bytes behind the archive"},
      {"format/quirks/truncated_1.pt", "cut"},
      {"format/quirks/truncated_half.pt", "cut"},
      {"format/quirks/zip64_end_differs.pt", "end records that disagree"},
      // TorchScript archives had true times once.
      {"torch-releases/1.0.1-py27/script.pt", "true times"},
      {"torch-releases/1.0.1/script.pt", "true times"},
      {"torch-releases/1.1.0/script.pt", "true times"},
      {"torch-releases/1.2.0/script.pt", "true times"},
      {"torch-releases/1.3.1/script.pt", "true times"},
  };
  std::map<std::string, std::string> different;
  std::size_t equal = 0;
  std::size_t deflated = 0;
  const fs::path root = RUSHLIGHT_GOLDEN_DIR;
  for (const fs::directory_entry& file : fs::recursive_directory_iterator(root)) {
    if (!file.is_regular_file() || file.path().extension() == ".npz") continue;
    const Bytes bytes = to_bytes(read_file(file.path()));
    if (!zip::has_signature(bytes, zip::LocalHeader::kSignature)) continue;
    const std::string path = fs::relative(file.path(), root).generic_string();
    std::vector<Finding> oddities;
    const auto archive = zip::Archive::open(Source::from_memory(bytes), {}, oddities);
    Bytes again;
    const std::string refusal = archive ? rewritten(**archive, again) : line(archive.error());
    if (again == bytes) {
      equal += 1;
      const auto entries = (*archive)->entries();
      deflated += std::any_of(entries.begin(), entries.end(),
                              [](const zip::Entry& entry) { return entry.method == zip::Method::deflated; });
    } else {
      const auto known = others.find(path);
      different[path] = known != others.end() ? known->second : "not listed: " + refusal;
    }
  }
  EXPECT_EQ(different, others);
  EXPECT_GT(equal, 500);
  EXPECT_GT(deflated, 20);
}

// --- the layout, by what PyTorch's own tests expect
// -------------------------------------------------------------------

// What torch.save writes for the state dict of Linear(10, 10), into a buffer.
std::vector<zip::RecordSpec> linear_records(std::string_view alignment) {
  return {{.name = "archive/data.pkl", .size_bytes = 290},
          {.name = "archive/.format_version", .size_bytes = 1},
          {.name = "archive/.storage_alignment", .size_bytes = alignment.size()},
          {.name = "archive/byteorder", .size_bytes = 6},
          {.name = "archive/data/0", .size_bytes = 400},
          {.name = "archive/data/1", .size_bytes = 40},
          {.name = "archive/version", .size_bytes = 2},
          {.name = "archive/.data/serialization_id", .size_bytes = 40}};
}

TEST(ZipWriter, DataLieWherePyTorchsOwnTestsExpectThem) {
  const auto usual = zip::plan_archive(linear_records("64"));
  ASSERT_TRUE(usual);
  EXPECT_EQ(usual->records[4].data_offset, 832);
  EXPECT_EQ(usual->records[5].data_offset, 1344);
  EXPECT_EQ(usual->size_bytes, 2277);
  const auto pages = zip::plan_archive(linear_records("4096"), {.alignment = 4096});
  ASSERT_TRUE(pages);
  EXPECT_EQ(pages->records[4].data_offset, 20480);
  EXPECT_EQ(pages->records[5].data_offset, 24576);
  EXPECT_EQ(pages->size_bytes, 33445);
}

TEST(ZipWriter, EveryAlignmentIsKeptByEveryRecord) {
  for (const unsigned alignment : {1U, 2U, 3U, 63U, 64U, 100U, 512U, 4096U, 32768U, 65535U}) {
    MemorySink sink;
    zip::Writer writer(sink, {.alignment = alignment});
    for (const unsigned size : {0U, 1U, 3U, 1000U, 70'000U}) {
      const auto written = writer.add("r/" + std::to_string(size), repeated(size, 0x5A));
      ASSERT_TRUE(written) << line(written.error());
      EXPECT_EQ(written->place.data_offset % alignment, 0) << alignment;
    }
    ASSERT_TRUE(writer.finish());
    const Verdict verdict = judge(sink.bytes);
    EXPECT_EQ(verdict.text(), "") << alignment;
    EXPECT_TRUE(verdict.fully_explained());
  }
}

TEST(ZipWriter, AlignmentsThatNoHeaderCanHoldAreRefused) {
  const zip::RecordSpec record{.name = "r/data", .size_bytes = 1};
  EXPECT_EQ(line(zip::place_record(record, 0, 0).error()),
            "argument ZIP-WRITE-ALIGNMENT r/data: records can be aligned to 1 to 65536 bytes, not to 0");
  EXPECT_EQ(line(zip::place_record(record, 0, 65537).error()),
            "argument ZIP-WRITE-ALIGNMENT r/data: records can be aligned to 1 to 65536 bytes, not to 65537");
  // The length of the extra block has 16 bits, for the padding and four bytes before it.
  EXPECT_EQ(zip::place_record(record, 65536 - 40 + 5, 65536)->data_offset, 2 * 65536);
  EXPECT_EQ(line(zip::place_record(record, 65536 - 40 + 4, 65536).error()),
            "argument ZIP-WRITE-ALIGNMENT r/data: 65532 bytes of padding do not fit a local header");
}

// --- streaming
// --------------------------------------------------------------------------------------------------------

TEST(ZipWriter, ARecordInPiecesIsTheRecordInOne) {
  Bytes data(3'000'001);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * i >> 7);
  MemorySink whole;
  zip::Writer one(whole);
  const auto at_once = one.add("a/data/0", data);
  ASSERT_TRUE(at_once);
  EXPECT_EQ(at_once->crc, plain_crc32(data));
  ASSERT_TRUE(one.finish());
  for (const std::size_t piece : {std::size_t{999}, std::size_t{1} << 20, data.size()}) {
    MemorySink sink;
    zip::Writer writer(sink);
    ASSERT_TRUE(writer.begin_record("a/data/0", data.size()));
    for (ByteSpan rest = data; !rest.empty();) {
      const ByteSpan now = rest.first(std::min(piece, rest.size()));
      ASSERT_TRUE(writer.write(now));
      rest = rest.subspan(now.size());
    }
    const auto written = writer.end_record();
    ASSERT_TRUE(written);
    EXPECT_EQ(written->crc, at_once->crc);
    EXPECT_EQ(written->place, at_once->place);
    EXPECT_EQ(writer.written_bytes(), written->place.end_offset);
    ASSERT_TRUE(writer.finish());
    EXPECT_EQ(sink.bytes, whole.bytes) << piece;
  }
}

TEST(ZipWriter, DeflatedRecordsSayWhatTorchsSay) {
  const std::string code = [] {
    std::string text;
    for (int i = 0; i < 500; ++i) text += "  x = torch.relu(x)\n";
    return text;
  }();
  MemorySink sink;
  zip::Writer writer(sink);
  const auto record = writer.add("m/code/m.py", as_byte_span(code), zip::Method::deflated);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->method, zip::Method::deflated);
  EXPECT_LT(record->stored_bytes, code.size() / 10);
  EXPECT_EQ(record->crc, plain_crc32(as_byte_span(code)));
  // What deflating makes no smaller is stored: one byte, and nothing at all.
  EXPECT_EQ(writer.add("m/one", as_byte_span("1"), zip::Method::deflated)->method, zip::Method::stored);
  EXPECT_EQ(writer.add("m/none", {}, zip::Method::deflated)->method, zip::Method::stored);
  ASSERT_TRUE(writer.finish());
  const Verdict verdict = judge(sink.bytes);
  EXPECT_EQ(verdict.text(), "");
  EXPECT_TRUE(verdict.fully_explained());
  EXPECT_EQ(content(verdict, "m/code/m.py"), code);
  EXPECT_EQ(content(verdict, "m/one"), "1");
  // Version needed, flags, method, in both headers.
  EXPECT_EQ(get<std::uint16_t>(sink.bytes, 4), 20);
  EXPECT_EQ(get<std::uint16_t>(sink.bytes, 6), 0x0808);
  EXPECT_EQ(get<std::uint16_t>(sink.bytes, 8), 8);
  EXPECT_EQ(get<std::uint16_t>(sink.bytes, verdict.archive->entries()[0].directory_offset + 6), 20);
}

TEST(ZipWriter, WithoutCrcEveryFieldIs0) {
  MemorySink sink;
  zip::Writer writer(sink, {.crc = false});
  EXPECT_EQ(writer.add("a/x", as_byte_span("content"))->crc, 0);
  EXPECT_EQ(writer.add("a/y", repeated(1000, 7), zip::Method::deflated)->crc, 0);
  ASSERT_TRUE(writer.finish());
  const Verdict verdict = judge(sink.bytes);
  EXPECT_EQ(verdict.text(),
            "note crc CRC-NOT-COMPUTED a/x at 0x40: no record has a crc-32, the field holds 0 everywhere: nothing says "
            "whether the bytes are right\n");
  EXPECT_TRUE(verdict.fully_explained());
}

class KeepingObserver final : public zip::WriteObserver {
 public:
  void on_structure(ByteSpan bytes) override {
    append(all, bytes);
    append(structure, bytes);
  }
  void on_content(ByteSpan bytes) override {
    append(all, bytes);
    append(content, bytes);
    longest = std::max(longest, bytes.size());
  }
  Bytes all, structure, content;
  std::size_t longest = 0;
};

TEST(ZipWriter, AnObserverSeesEveryByteAndWhichAreData) {
  KeepingObserver observer;
  MemorySink sink;
  zip::Writer writer(sink, {.observer = &observer});
  const Bytes long_data = repeated(3'000'000, 0x5A);
  ASSERT_TRUE(writer.add("archive/data.pkl", as_byte_span("pickle")));
  ASSERT_TRUE(writer.add("archive/data/0", long_data));
  const auto deflated = writer.add("archive/code", as_byte_span(std::string(5000, 'c')), zip::Method::deflated);
  ASSERT_TRUE(deflated);
  ASSERT_TRUE(writer.add("archive/data/1", {}));
  ASSERT_TRUE(writer.finish());
  EXPECT_EQ(observer.all == sink.bytes, true);
  EXPECT_EQ(observer.content.size(), 6 + long_data.size() + deflated->stored_bytes);
  EXPECT_LE(observer.longest, std::size_t{1} << 20);
}

TEST(ZipWriter, GoesOnBehindTheFirstRecordsOfAnArchive) {
  const auto write = [](zip::Writer& writer, std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) ASSERT_TRUE(writer.add(name, as_byte_span(name)));
    ASSERT_TRUE(writer.finish());
  };
  MemorySink whole, first;
  zip::Writer all(whole), some(first);
  write(all, {"archive/a", "archive/b", "archive/new", "archive/version"});
  write(some, {"archive/a", "archive/b", "archive/version"});
  std::vector<Finding> oddities;
  const auto archive = zip::Archive::open(Source::from_memory(first.bytes), {}, oddities).value();
  const std::uint64_t end = archive->find("archive/version")->header_offset;
  MemorySink again;
  append(again.bytes, ByteSpan(first.bytes).first(end));
  zip::Writer writer = zip::Writer::behind(again, {}, *archive, end).value();
  // What is gone may come again, what stays may not.
  EXPECT_FALSE(zip::Writer(writer).add("archive/B", {}));
  const std::vector<zip::RecordSpec> rest{{.name = "archive/new", .size_bytes = 11},
                                          {.name = "archive/version", .size_bytes = 15}};
  const zip::ArchivePlan plan = writer.plan_rest(rest).value();
  EXPECT_EQ(plan.size_bytes, whole.bytes.size());
  EXPECT_EQ(plan.records[0].header_offset, end);
  write(writer, {"archive/new", "archive/version"});
  EXPECT_EQ(again.bytes == whole.bytes, true);
}

TEST(ZipWriter, AnArchiveOfNothingIsAnArchive) {
  MemorySink sink;
  zip::Writer writer(sink);
  const auto size = writer.finish();
  ASSERT_TRUE(size);
  EXPECT_EQ(*size, 98);
  const Verdict verdict = judge(sink.bytes);
  EXPECT_EQ(verdict.text(), "");
  EXPECT_TRUE(verdict.fully_explained());
}

// --- refusals
// ---------------------------------------------------------------------------------------------------------

// What a new writer says to a name, behind records of other names; nothing of the record may be written.
std::string refusal_of(std::string_view name, const std::vector<std::string>& before = {}) {
  MemorySink sink;
  zip::Writer writer(sink);
  for (const std::string& other : before) EXPECT_TRUE(writer.add(other, as_byte_span("x")));
  const std::size_t bytes = sink.bytes.size();
  const auto added = writer.add(name, as_byte_span("x"));
  if (added) return "";
  EXPECT_EQ(sink.bytes.size(), bytes);
  EXPECT_EQ(added.error().code, ErrorCode::invalid_argument);
  return added.error().finding.code + ": " + added.error().finding.message;
}

TEST(ZipWriter, NamesThatNotEveryReaderReadsAlikeAreRefused) {
  EXPECT_EQ(refusal_of(""), "ZIP-WRITE-NAME: record name '' is empty");
  EXPECT_EQ(refusal_of(std::string_view("a/b\0c", 5)),
            "ZIP-WRITE-NAME: record name 'a/b\\x00c' has a control character");
  EXPECT_EQ(refusal_of("a/../b"), "ZIP-WRITE-NAME: record name 'a/../b' leaves its folder by '..'");
  EXPECT_EQ(refusal_of("a\\b"),
            "ZIP-WRITE-NAME: record name 'a\\\\b' has a backslash, which some readers take for a slash");
  EXPECT_EQ(refusal_of("a/b/"), "ZIP-WRITE-NAME: record name 'a/b/' is that of a folder");
  EXPECT_EQ(refusal_of("a/\xff"), "ZIP-WRITE-NAME: record name 'a/\\xff' is no valid UTF-8");
  EXPECT_EQ(refusal_of("a/" + std::string(509, 'n')), "");
  EXPECT_TRUE(refusal_of("a/" + std::string(510, 'n')).ends_with("is longer than 511 bytes, where torch cuts it"));
}

TEST(ZipWriter, ANameThatIsThereAlreadyIsRefusedInAnyCase) {
  const std::string twice =
      "ZIP-WRITE-TWICE: a record of this name, for some reader at least, is in the archive already";
  EXPECT_EQ(refusal_of("a/data/0", {"a/data/0"}), twice);
  EXPECT_EQ(refusal_of("a/DATA/0", {"a/version", "a/data/0"}), twice);
  EXPECT_EQ(refusal_of("a/m\u00e8re", {"a/me\u0300re"}), twice);
  EXPECT_EQ(refusal_of("a/data/1", {"a/data/0"}), "");
}

TEST(ZipWriter, ARecordHasAsManyBytesAsWereAnnounced) {
  MemorySink more;
  zip::Writer over(more);
  ASSERT_TRUE(over.begin_record("a/data/7", 10));
  ASSERT_TRUE(over.write(repeated(8, 1)));
  const Status third = over.write(repeated(3, 1));
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, ErrorCode::mismatch);
  EXPECT_EQ(line(third.error()), "argument ZIP-WRITE-SIZE a/data/7: more is written than the record's 10 bytes");
  MemorySink fewer;
  zip::Writer under(fewer);
  ASSERT_TRUE(under.begin_record("a/data/7", 10));
  ASSERT_TRUE(under.write(repeated(8, 1)));
  const auto record = under.end_record();
  ASSERT_FALSE(record);
  EXPECT_EQ(record.error().code, ErrorCode::mismatch);
  EXPECT_EQ(line(record.error()), "argument ZIP-WRITE-SIZE a/data/7: 2 bytes of the record's 10 are missing");
  // From then on there is no archive to be had.
  EXPECT_EQ(line(under.finish().error()), line(record.error()));
  EXPECT_EQ(line(under.add("a/other", {}).error()), line(record.error()));
}

TEST(ZipWriter, NothingIsWrittenAfterTheSinkFailed) {
  class FailingSink final : public Sink {
   public:
    explicit FailingSink(int calls_left) : calls_left_(calls_left) {}
    Status write(ByteSpan) override {
      EXPECT_GE(calls_left_, 0);
      if (calls_left_-- > 0) return {};
      return Error::of({.category = Category::io, .code = "IO-WRITE", .message = "no space"});
    }

   private:
    int calls_left_;
  };
  // Header, data, descriptor of one record; header of an empty one; directory and three end records.
  for (int calls = 0; calls < 8; ++calls) {
    FailingSink sink(calls);
    zip::Writer writer(sink);
    static_cast<void>(writer.add("a/x", as_byte_span("x")));
    static_cast<void>(writer.add("a/y", {}));
    const auto end = writer.finish();
    ASSERT_FALSE(end) << calls;
    EXPECT_EQ(line(end.error()), "io IO-WRITE no space");
  }
  FailingSink enough(8);
  zip::Writer writer(enough);
  static_cast<void>(writer.add("a/x", as_byte_span("x")));
  static_cast<void>(writer.add("a/y", {}));
  EXPECT_TRUE(writer.finish());
}

TEST(ZipWriter, SizesBeyondReasonAreRefused) {
  EXPECT_EQ(line(zip::place_record({.name = "a", .size_bytes = ~std::uint64_t{0}}, 0, 64).error()),
            "argument ZIP-WRITE-LARGE a: archive would be larger than 2^62 bytes");
  const zip::RecordSpec huge{.name = "a", .size_bytes = std::uint64_t{1} << 62};
  const std::array<zip::RecordSpec, 2> two{huge, huge};
  EXPECT_FALSE(zip::plan_archive(two));
  const zip::RecordSpec deflated{
      .name = "a", .size_bytes = 4 * kGiB, .method = zip::Method::deflated, .deflated_bytes = 5};
  EXPECT_EQ(line(zip::place_record(deflated, 0, 64).error()),
            "argument ZIP-WRITE-LARGE a: records of 4 GiB and more cannot be deflated");
}

// --- too large for 32 bits
// --------------------------------------------------------------------------------------------

TEST(ZipWriter, TheZip64LimitIsOneByteBelow4GiB) {
  const auto place = [](std::uint64_t size_bytes, std::uint64_t header_offset) {
    return zip::place_record({.name = "archive/data/0", .size_bytes = size_bytes}, header_offset, 1).value();
  };
  constexpr std::uint64_t kLimit = 0xFFFFFFFF;
  struct Case {
    std::uint64_t size_bytes, header_offset, header_bytes, descriptor_bytes;
  };
  for (const Case& c : {Case{kLimit - 1, kLimit - 1, 48, 16}, Case{kLimit, 0, 48 + 20, 24},
                        Case{1, kLimit, 48 + 12, 24}, Case{kLimit, kLimit, 48 + 28, 24}, Case{0, kLimit, 48 + 12, 0}}) {
    const zip::RecordPlace got = place(c.size_bytes, c.header_offset);
    EXPECT_EQ(got.data_offset - got.header_offset, c.header_bytes);
    EXPECT_EQ(got.descriptor_offset - got.data_offset, c.size_bytes);
    EXPECT_EQ(got.end_offset - got.descriptor_offset, c.descriptor_bytes);
  }
}

// A file whose large runs of zeros cost nothing, and that can be read again.
class SparseFile final : public Sink, public Source {
 public:
  static constexpr std::size_t kHoleBytes = std::size_t{64} << 10;

  Status write(ByteSpan bytes) override {
    static const Bytes zeros(std::size_t{1} << 20);
    if (bytes.size() < kHoleBytes || bytes.size() > zeros.size() ||
        std::memcmp(bytes.data(), zeros.data(), bytes.size()) != 0) {
      pieces_[size_bytes_] = Bytes(bytes.begin(), bytes.end());
    }
    size_bytes_ += bytes.size();
    return {};
  }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_bytes_; }
  Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    std::fill(out.begin(), out.end(), std::byte{0});
    auto piece = pieces_.upper_bound(offset);
    if (piece != pieces_.begin()) --piece;
    for (; piece != pieces_.end() && piece->first < offset + out.size(); ++piece) {
      const std::uint64_t begin = std::max(offset, piece->first);
      const std::uint64_t end = std::min<std::uint64_t>(offset + out.size(), piece->first + piece->second.size());
      if (begin >= end) continue;
      std::memcpy(out.data() + (begin - offset), piece->second.data() + (begin - piece->first), end - begin);
    }
    return {};
  }
  [[nodiscard]] std::size_t held_bytes() const {
    std::size_t held = 0;
    for (const auto& [offset, bytes] : pieces_) held += bytes.size();
    return held;
  }

 private:
  std::map<std::uint64_t, Bytes> pieces_;
  std::uint64_t size_bytes_ = 0;
};

TEST(ZipWriter, RecordsOfAndBehind4GiBAreReadBackWhole) {
  static const Bytes zeros(std::size_t{1} << 20);
  const auto file = std::make_shared<SparseFile>();
  zip::Writer writer(*file);
  ASSERT_TRUE(writer.add("archive/data.pkl", as_byte_span("pickle")));
  std::vector<zip::RecordSpec> specs{{.name = "archive/data.pkl", .size_bytes = 6}};
  std::vector<zip::WrittenRecord> written;
  const std::uint64_t large = 4 * kGiB - 1;
  ASSERT_TRUE(writer.begin_record("archive/data/0", large));
  for (std::uint64_t left = large; left != 0;) {
    const std::size_t piece = static_cast<std::size_t>(std::min<std::uint64_t>(left, zeros.size()));
    ASSERT_TRUE(writer.write({zeros.data(), piece}));
    left -= piece;
  }
  written.push_back(writer.end_record().value());
  written.push_back(writer.add("archive/data/1", as_byte_span("behind 4 GiB")).value());
  written.push_back(writer.add("archive/data/2", {}).value());
  written.push_back(writer.add("archive/code", as_byte_span(std::string(1000, 'c')), zip::Method::deflated).value());
  const auto size = writer.finish();
  ASSERT_TRUE(size);
  EXPECT_LT(file->held_bytes(), 10'000);
  EXPECT_EQ(written[0].place.end_offset - written[0].place.descriptor_offset, 24);
  EXPECT_EQ(written[1].place.end_offset - written[1].place.descriptor_offset, 24);
  EXPECT_EQ(written[2].place.end_offset - written[2].place.descriptor_offset, 0);
  std::vector<Finding> oddities;
  const auto archive = zip::Archive::open(file, {}, oddities);
  ASSERT_TRUE(archive) << line(archive.error());
  for (const Finding& finding : oddities) ADD_FAILURE() << line(finding);
  const auto threads = make_thread_pool(2);
  const auto audit = (*archive)->audit(threads.get(), nullptr);
  ASSERT_TRUE(audit) << line(audit.error());
  for (const Finding& finding : audit->findings) ADD_FAILURE() << line(finding);
  EXPECT_EQ(audit->explained_bytes, *size);
  EXPECT_EQ(audit->checked_bytes, 6 + large + 12 + 1000);
  for (std::size_t i = 0; i < written.size(); ++i) {
    EXPECT_EQ(audit->records[i + 1].data->begin, written[i].place.data_offset);
    EXPECT_EQ(audit->records[i + 1].data->end, written[i].place.descriptor_offset);
    EXPECT_EQ(audit->records[i + 1].crc->computed, written[i].crc);
  }
}

TEST(ZipWriter, MoreThan65535RecordsAreCountedByZip64) {
  constexpr int kRecords = 66'002;
  MemorySink sink;
  zip::Writer writer(sink);
  for (int i = 0; i < kRecords; ++i) ASSERT_TRUE(writer.add("archive/data/" + std::to_string(i), as_byte_span("x")));
  const auto size = writer.finish();
  ASSERT_TRUE(size);
  EXPECT_EQ(get<std::uint16_t>(sink.bytes, *size - 22 + 10), 0xFFFF);
  EXPECT_EQ(get<std::uint64_t>(sink.bytes, *size - 98 + 32), kRecords);
  const Verdict verdict = judge(sink.bytes);
  EXPECT_EQ(verdict.text(), "");
  EXPECT_TRUE(verdict.fully_explained());
  EXPECT_EQ(verdict.archive->entries().size(), kRecords);
}

// --- other readers
// ----------------------------------------------------------------------------------------------------

TEST(ZipWriter, OtherReadersFindTheArchiveWhole) {
  const TemporaryFolder folder;
  const std::string path = (folder / "f.zip").native();
  MemorySink sink;
  zip::Writer writer(sink, {.alignment = 4096});
  ASSERT_TRUE(writer.add("archive/data.pkl", as_byte_span("pickle")));
  ASSERT_TRUE(writer.add("archive/data/0", repeated(100'000, 0xA5)));
  ASSERT_TRUE(writer.add("archive/data/1", {}));
  ASSERT_TRUE(writer.add("archive/code", as_byte_span(std::string(5000, 'c')), zip::Method::deflated));
  ASSERT_TRUE(writer.finish());
  write_file(path, as_text(sink.bytes));
  const auto run = [&](const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()); };
  int readers = 0;
  if (run("python3 -c 'import zipfile'") == 0) {
    ++readers;
    EXPECT_EQ(run("python3 -c 'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); "
                  "sys.exit(z.testzip() is not None or len(z.namelist()) != 4)' " +
                  path),
              0);
  }
  if (run("unzip -v") == 0) {
    ++readers;
    EXPECT_EQ(run("unzip -tqq " + path), 0);
  }
  if (readers == 0) GTEST_SKIP() << "neither python3 nor unzip is here";
}

}  // namespace
}  // namespace rushlight::test
