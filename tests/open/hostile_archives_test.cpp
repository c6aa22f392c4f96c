// Z rows of the catalogue of hostile inputs as a user meets them: through Checkpoint::open and verify(), from every
// kind of source. What each row's message says word for word stands in tests/zip; here every source must say the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "opened_bytes.hpp"
#include "rushlight/inspect.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_view_literals;

// --- every row, every source
// --------------------------------------------------------------------------------------------

struct Row {
  const char* id;
  const char* code;  // stands in what is said; "" where nothing is
  Bytes bytes;
};

class Rows {
 public:
  // base_zip(), changed before it is written.
  Rows& plan(const char* id, const char* code, const std::function<void(TorchZip&)>& change) {
    TorchZip zip = base_zip();
    change(zip);
    rows.push_back({id, code, zip.build()});
    return *this;
  }
  // base_zip(), changed afterwards.
  Rows& patch(const char* id, const char* code, const std::function<void(Bytes&, const TorchZip&)>& change) {
    TorchZip zip = base_zip();
    Bytes bytes = zip.build();
    change(bytes, zip);
    rows.push_back({id, code, std::move(bytes)});
    return *this;
  }

  std::vector<Row> rows;
};

template <class Change>
std::function<void(TorchZip&)> central(Change change) {
  return [=](TorchZip& zip) { zip.record("data/0").central = change; };
}
template <class Change>
std::function<void(TorchZip&)> local(Change change) {
  return [=](TorchZip& zip) { zip.record("data/0").local = change; };
}
std::function<void(TorchZip&)> stored_sizes(std::uint64_t compressed) {
  return [=](TorchZip& zip) {
    zip.record("data/0").central = [](zip::CentralEntry& entry) {
      entry.size_bytes = entry.compressed_bytes = 0xFFFFFFFF;
    };
    zip.record("data/0").central_extra =
        extra_field(zip::kExtraZip64, bytes_of(std::vector<std::uint64_t>{32, compressed}));
  };
}

std::vector<Row> all_rows() {
  Rows r;
  r.plan("base", "", [](TorchZip&) {});
  r.patch("Z01", "ZIP-TRUNCATED", [](Bytes& b, const TorchZip& zip) { b.resize(zip.place("data/1").data); });
  r.patch("Z02", "KIND-FOREIGN", [](Bytes& b, const TorchZip&) { b.clear(); });
  r.patch("Z02", "KIND-FOREIGN", [](Bytes& b, const TorchZip&) { b = repeated(4096, 0); });
  r.plan("Z03", "ZIP-TRAILING", [](TorchZip& zip) { zip.trailing = repeated(70000, 'P'); });
  r.plan("Z05", "ZIP-PREFIX", [](TorchZip& zip) { zip.prefix = repeated(64, 'p'); });
  r.plan("Z05", "ZIP-PREFIX", [](TorchZip& zip) {
    zip.prefix = repeated(64, 'p');
    zip.prefix_in_offsets = true;
  });
  r.patch("Z06", "ZIP-TWO-ENDS", [](Bytes& b, const TorchZip&) {
    const Bytes once = b;
    b.insert(b.end(), once.begin(), once.end());
  });
  r.plan("Z07", "ZIP-TWO-ENDS", [](TorchZip& zip) { zip.comment = std::string("PK\5\6", 4) + std::string(18, '\0'); });
  r.plan("Z08", "ZIP-COMMENT-SIZE",
         [](TorchZip& zip) { zip.end = [](zip::EndRecord& end) { end.comment_bytes = 5; }; });
  r.plan("Z10", "ZIP-END-COUNT", [](TorchZip& zip) {
    zip.end64 = [](zip::End64Record& end) { end.entries = end.entries_on_disk = 6; };
    zip.end = [](zip::EndRecord& end) { end.entries = end.entries_on_disk = 6; };
  });
  r.plan("Z11", "ZIP-DIRECTORY-RANGE", [](TorchZip& zip) {
    zip.end64 = [](zip::End64Record& end) { end.directory_bytes = 1ull << 63; };
    zip.end = [](zip::EndRecord& end) { end.directory_bytes = 0xFFFFFFFF; };
  });
  r.plan("Z12", "ZIP-END64-MISMATCH",
         [](TorchZip& zip) { zip.end = [](zip::EndRecord& end) { end.directory_offset += 1; }; });
  r.plan("Z13", "ZIP-END64-LOCATOR",
         [](TorchZip& zip) { zip.locator = [](zip::End64Locator& locator) { locator.end64_offset += 1; }; });
  r.plan("Z14", "ZIP-END-GAP", [](TorchZip& zip) { zip.before_end64 = repeated(32, 0); });
  r.plan("Z16", "ZIP-ZIP64", central([](zip::CentralEntry& entry) { entry.size_bytes = 0xFFFFFFFF; }));
  r.plan("Z17", "ZIP-STORED-SIZE", stored_sizes(0)).plan("Z18", "ZIP-STORED-SIZE", stored_sizes(8));
  r.plan("Z19", "ZIP-LOCAL-NAME", [](TorchZip& zip) { zip.record("data/0").local_name = "base/data/Q"; });
  for (const int change : {+4, -8}) {
    r.patch("Z20", change > 0 ? "ZIP-DESCRIPTOR" : "ZIP-DATA-START", [=](Bytes& b, const TorchZip& zip) {
      const std::uint64_t field = zip.place("data/0").local + 28;
      put<std::uint16_t>(b, field, static_cast<std::uint16_t>(get<std::uint16_t>(b, field) + change));
    });
  }
  r.plan("Z21", "ZIP-LOCAL-METHOD", local([](zip::LocalHeader& header) { header.method = 8; }));
  r.plan("Z22", "ZIP-LOCAL-FLAGS", local([](zip::LocalHeader& header) { header.flags ^= 1; }));
  r.plan("Z23", "ZIP-FLAGS", central([](zip::CentralEntry& entry) { entry.flags ^= 1; }));
  r.plan("Z24", "ZIP-METHOD", central([](zip::CentralEntry& entry) { entry.method = 14; }));
  r.plan("Z25", "ZIP-DESCRIPTOR", [](TorchZip& zip) {
    zip.record("data/0").descriptor = [](zip::Descriptor64& descriptor) { descriptor.crc ^= 1; };
  });
  r.plan("Z25", "ZIP-DESCRIPTOR-BARE",
         [](TorchZip& zip) { zip.record("data/0").descriptor_form = DescriptorForm::unsigned_32; });
  r.plan("Z27", "ZIP-DUPLICATE", [](TorchZip& zip) { zip.record("data/0").directory_copies = 2; });
  r.plan("Z28", "ZIP-DUPLICATE", [](TorchZip& zip) { zip.add("DATA/0", "x"); });
  r.plan("Z29", "ZIP-NAME", [](TorchZip& zip) { zip.add("data\\7", "x"); });
  r.plan("Z31", "ZIP-NAME", [](TorchZip& zip) { zip.add("a\x1b[2J", "x"); });
  r.plan("Z31", "LIMIT-RECORD-NAME-BYTES", [](TorchZip& zip) { zip.add(std::string(512, 'n'), "x"); });
  r.plan("Z32", "ZIP-NAME", [](TorchZip& zip) { zip.add("../x", "x"); });
  r.plan("Z32", "ZIP-FILE-TYPE", central([](zip::CentralEntry& entry) {
           entry.made_by = 0x0314;
           entry.external_attributes = 0120777u << 16;
         }));
  r.plan("Z33", "ZIP-FOREIGN-FOLDER", [](TorchZip& zip) { zip.add_full_name("other/x", as_byte_span("x")); });
  r.plan("Z34", "ZIP-OVERLAP", [](TorchZip& zip) {
    zip.add("data/2", zip.record("data/0").data);
    zip.record("data/2").in_file = false;
    zip.record("data/2").same_place_as = "data/0";
  });
  r.plan("Z35", "ZIP-RECORD-RANGE", [](TorchZip& zip) {
    zip.record("version").central = [](zip::CentralEntry& entry) { entry.header_offset = 0xFFFFFFFE; };
  });
  r.plan("Z36", "ZIP-HIDDEN-RECORD", [](TorchZip& zip) {
    zip.add("data/2", "hidden").add("last", "x");
    zip.record("data/2").in_directory = false;
  });
  r.patch("Z36", "ZIP-LOCAL-SIGNATURE",
          [](Bytes& b, const TorchZip& zip) { put<std::uint8_t>(b, zip.place("data/0").local + 2, 0x13); });
  r.plan("Z38", "ZIP-DEFLATE-SIZE", [](TorchZip& zip) {
    zip.record("data/0").deflate = true;
    zip.record("data/0").central = [](zip::CentralEntry& entry) { entry.size_bytes = 0xFFFFFFFE; };
  });
  r.plan("Z40", "ZIP-INFLATE", [](TorchZip& zip) {
    zip.record("data/0").deflate = true;
    zip.record("data/0").stored = repeated(10, 0x07);
  });
  r.patch("Z42", "CRC-MISMATCH", [](Bytes& b, const TorchZip& zip) { b[zip.place("data/0").data] ^= std::byte{1}; });
  r.plan("Z44", "PKL-OPCODE", [](TorchZip& zip) { zip.add("constants.pkl", "x"); });
  r.plan("Z45", "ZIP-VERSION", [](TorchZip& zip) { zip.record("version").data = to_bytes("11\n"); });
  r.plan("Z46", "ZIP-BYTEORDER", [](TorchZip& zip) { zip.record("byteorder").data = to_bytes("middle"); });
  r.plan("Z48", "ZIP-TWO-PICKLES", [](TorchZip& zip) { zip.add_full_name("other/data.pkl", as_byte_span("N.")); });
  r.patch("Z49", "KIND-FOREIGN",
          [](Bytes& b, const TorchZip&) { b = to_bytes("\x1f\x8b\x08" + std::string(60, 'g')); });
  r.patch("Z50", "ZIP-", [](Bytes& b, const TorchZip&) { b.insert(b.begin() + 100, std::byte{'\r'}); });
  return r.rows;
}

// Everything that is said about a file: the refusal, or the findings, what each tensor's bytes are, and the checks.
std::string all_said(const std::shared_ptr<const Source>& source, Executor* executor) {
  LoadOptions options;
  options.executor = executor;
  std::string said;
  const Result<Checkpoint> checkpoint = Checkpoint::open(source, options);
  if (!checkpoint) {
    said = std::string(to_string(checkpoint.error().code)) + " " + line_of(checkpoint.error().finding) + "\n";
  } else {
    for (const Finding& finding : checkpoint->findings()) said += line_of(finding) + "\n";
    for (const TensorEntry& entry : inspect(*checkpoint).value().tensors) {
      const Result<ByteSpan> bytes = entry.tensor.bytes();
      said += entry.name + ": " + (bytes ? std::to_string(bytes->size()) + " bytes" : line_of(bytes.error().finding));
      said += "\n";
    }
  }
  VerifyOptions verify_options;
  verify_options.executor = executor;
  const Result<VerifyReport> report = verify(source, verify_options);
  if (!report) return said + to_string(report.error());
  return said + "verify: " + (report->ok ? "ok" : "not ok") + "\n" + lines_of(*report);
}

TEST(HostileArchives, EverySourceSaysTheSameOfEveryRow) {
  const TemporaryFolder folder;
  const std::unique_ptr<Executor> threads = make_thread_pool(3);
  const std::vector<Row> rows = all_rows();
  ASSERT_GE(rows.size(), 45u);
  for (const Row& row : rows) {
    write_file(folder / "file.pt", as_text(row.bytes));
    const std::pair<const char*, std::shared_ptr<const Source>> sources[] = {
        {"reads only", std::make_shared<TestSource>(row.bytes, TestSource::Access::read_only)},
        {"memory", Source::from_memory(row.bytes)},
        {"mapped file", open_file(folder / "file.pt", FileAccess::mapped).value()},
        {"pread file", open_file(folder / "file.pt", FileAccess::pread).value()}};
    const std::string said = all_said(std::make_shared<TestSource>(row.bytes), nullptr);
    const std::string code = row.code;
    EXPECT_TRUE(code.empty() ? said.ends_with("verify: ok\n") : said.find(" " + code) != std::string::npos)
        << row.id << ": " << said;
    for (const auto& [name, source] : sources) {
      EXPECT_EQ(said, all_said(source, nullptr)) << row.id << ", " << name;
      EXPECT_EQ(said, all_said(source, threads.get())) << row.id << ", " << name << ", four threads";
    }
  }
}

// --- rows that are accepted with a warning, and refused by --strict
// -----------------------------------------------------

// The records of base_zip(), to be put into another archive.
std::vector<RecordPlan> base_records() {
  TorchZip zip = base_zip();
  return zip.records();
}

// The warning without strict, and the same words as the error with it.
void expect_odd(const Bytes& bytes, const std::string& said) {
  const Result<Checkpoint> lenient = open_bytes(bytes);
  ASSERT_TRUE(lenient) << to_string(lenient.error());
  ASSERT_EQ(lenient->findings().size(), 1u) << said;
  EXPECT_EQ(line_of(lenient->findings()[0]), said);
  EXPECT_EQ(lenient->root()["a"].as_tensor()->values<float>().value()[7], 7.0f);
  LoadOptions strict;
  strict.strict = true;
  EXPECT_EQ(verdict_of(bytes, strict), said);
  VerifyOptions strictly;
  strictly.strict = true;
  EXPECT_TRUE(verified(bytes).ok) << said;
  EXPECT_FALSE(verified(bytes, strictly).ok) << said;
}

TEST(HostileArchives, Z03_Z08_TrailingBytesAreRefusedWhenStrict) {
  TorchZip zip = base_zip();
  const std::size_t good_bytes = zip.build().size();
  for (const std::size_t count : {std::size_t{1}, std::size_t{65535}, std::size_t{70000}}) {
    zip.trailing = repeated(count, 0);
    expect_odd(zip.build(), "zip ZIP-TRAILING at " + hex(good_bytes) + ": " + std::to_string(count) +
                                (count == 1 ? " byte" : " bytes") + " behind the end of the archive");
  }
  // A comment shorter than the bytes that are left is the same thing, said of the bytes behind it.
  TorchZip comment = base_zip();
  comment.comment = "four";
  comment.end = [](zip::EndRecord& end) { end.comment_bytes = 0; };
  const Bytes bytes = comment.build();
  expect_odd(bytes,
             "zip ZIP-TRAILING at " + hex(comment.places().end + 22) + ": 4 bytes behind the end of the archive");
}

TEST(HostileArchives, Z05_LeadingBytesAreRefusedWhenStrict) {
  for (const std::size_t count : {std::size_t{4}, std::size_t{64}, std::size_t{1} << 20}) {
    TorchZip zip = base_zip();
    zip.prefix = repeated(count, 'p');
    const std::string said = "zip ZIP-PREFIX at 0x0: " + std::to_string(count) + " bytes before the archive";
    expect_odd(zip.build(), said);
    zip.prefix_in_offsets = true;
    expect_odd(zip.build(), said + ", counted by its offsets");
  }
}

TEST(HostileArchives, Z33_RecordsOutsideTheRootAreRefusedWhenStrictEvenIfTheyComeFirst) {
  TorchZip last = base_zip();
  last.add_full_name("other/x", as_byte_span("x"));
  Bytes bytes = last.build();
  expect_odd(bytes, "zip ZIP-FOREIGN-FOLDER other/x at " + hex(last.place("other/x").central) +
                        ": 1 record lies outside the root folder 'base/', first 'other/x'");
  // torch takes the root from the first entry.
  TorchZip first("base");
  first.add_full_name("other/x", as_byte_span("x"));
  for (const RecordPlan& plan : base_records()) first.add_full_name(plan.name, plan.data);
  bytes = first.build();
  expect_odd(bytes, "zip ZIP-FOREIGN-FOLDER other/x at " + hex(first.place("other/x").central) +
                        ": 1 record lies outside the root folder 'base/', first 'other/x'");
}

TEST(HostileArchives, Z28_ARecordInAnotherCaseIsFoundWithAWarningAndRefusedWhenStrict) {
  TorchZip zip("base");
  for (const RecordPlan& plan : base_records()) {
    zip.add_full_name(plan.name == "base/data/0" ? "base/DATA/0" : plan.name, plan.data);
  }
  const Bytes bytes = zip.build();
  expect_odd(bytes, "zip ZIP-NAME-CASE DATA/0 at " + hex(zip.place("DATA/0").central) +
                        ": record names differ from torch's in upper and lower case, first 'DATA/0'");
}

TEST(HostileArchives, Z45_Z46_WrongTextsArePlacedAtTheirBytes) {
  TorchZip zip = base_zip();
  const auto with = [&](const char* record, std::string_view text) {
    zip = base_zip();
    zip.record(record).data = to_bytes(text);
    return verdict_of(zip.build());
  };
  const auto at = [&](const char* record) { return std::string(record) + " at " + hex(zip.place(record).data) + ": "; };
  for (const auto& [text, shown] :
       {std::pair(""sv, ""), std::pair("-1"sv, "-1"), std::pair("0"sv, "0"), std::pair("11"sv, "11"),
        std::pair("12345678901234567890123"sv, "12345678901234567890123"), std::pair("3\0evil"sv, "3\\x00evil")}) {
    const std::string said = with("version", text);
    EXPECT_EQ(said, "zip ZIP-VERSION " + at("version") + "archive version is not one that exists, expected 1 to 10, " +
                        "found '" + shown + "'");
  }
  for (const auto& [text, shown] : {std::pair("LITTLE"sv, "LITTLE"), std::pair("little\n"sv, "little\\n"),
                                    std::pair("middle"sv, "middle"), std::pair(""sv, "")}) {
    const std::string said = with("byteorder", text);
    EXPECT_EQ(said, "zip ZIP-BYTEORDER " + at("byteorder") + "byte order is unknown, expected 'little' or 'big', " +
                        "found '" + shown + "'");
  }
  const std::string big = with("byteorder", "big");
  EXPECT_EQ(big, "ok");
  const std::string huge = with("version", std::string(1 << 20, '3'));
  EXPECT_EQ(huge, "zip ZIP-TEXT-SIZE version at " + hex(zip.place("version").central) +
                      ": record is too long for what it is, expected at most 64 bytes, found 1048576");
  zip = base_zip();
  zip.add(".data/version", "4\n");
  const std::string two = verdict_of(zip.build());
  EXPECT_EQ(two, "ambig ZIP-TWO-VERSIONS " + at(".data/version") +
                     "records '.data/version' and 'version' differ: '4\\n' and '3\\n'");
}

TEST(HostileArchives, Z46_TwoByteOrdersAreAmbiguousAndNoneIsLittle) {
  TorchZip zip = base_zip();
  zip.add("byteorder", "big");
  const std::string said = verdict_of(zip.build());
  const std::vector<RecordPlace>& places = zip.places().records;
  EXPECT_EQ(said, "ambig ZIP-DUPLICATE base/byteorder at " + hex(places[5].central) + ": record is listed twice, at " +
                      hex(places[1].central) + " and at " + hex(places[5].central) +
                      ": readers differ in which of them they take");
  // torch before 2.0 wrote none.
  TorchZip none("base");
  for (const RecordPlan& plan : base_records()) {
    if (plan.name != "base/byteorder") none.add_full_name(plan.name, plan.data);
  }
  const Result<Checkpoint> checkpoint = open_bytes(none.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_TRUE(checkpoint->findings().empty());
  EXPECT_EQ(checkpoint->format().byteorder, "little");
}

TEST(HostileArchives, Z44_SourceTextAloneMakesNoTorchScript) {
  TorchZip zip = base_zip();
  zip.add("code/x.py", "pass");
  const Result<Checkpoint> checkpoint = open_bytes(zip.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  ASSERT_EQ(checkpoint->findings().size(), 1u);
  EXPECT_EQ(checkpoint->findings()[0].severity, Severity::note);
  EXPECT_EQ(line_of(checkpoint->findings()[0]), "ambig ZIP-UNUSED-RECORD code/x.py at " +
                                                    hex(zip.place("code/x.py").central) +
                                                    ": 1 record belongs to no tensor: 'code/x.py' (4 bytes)");
}

TEST(HostileArchives, Z48_ThePickleThatIsMissingOrTwiceThereIsNamed) {
  TorchZip two = base_zip();
  two.add_full_name("other/data.pkl", as_byte_span("N."));
  const std::string said = verdict_of(two.build());
  EXPECT_EQ(said, "ambig ZIP-TWO-PICKLES other/data.pkl at " + hex(two.place("other/data.pkl").central) +
                      ": 'base/data.pkl' and 'other/data.pkl' could both be the checkpoint's pickle");
  TorchZip none("base");
  none.add("data/0", "x").add("version", "3\n");
  EXPECT_EQ(verdict_of(none.build()), "zip ZIP-NO-PICKLE data.pkl: there is no record 'data.pkl' beside 'version'");
  TorchZip folder("base");
  folder.add("data.pkl/", "").add("version", "3\n");
  EXPECT_EQ(verdict_of(folder.build()), "zip ZIP-NO-PICKLE data.pkl: 'data.pkl' is a folder, expected a record");
}

// --- bombs
// ------------------------------------------------------------------------------------------------------------

// Makes `record` one of 1 MiB of deflated data that claims to become 1 GiB.
void make_bomb(TorchZip& zip, const char* record) {
  constexpr std::uint32_t kClaimed = std::uint32_t{1} << 30;
  RecordPlan& plan = zip.record(record);
  plan.data = {};
  plan.deflate = true;
  plan.stored = repeated(std::size_t{1} << 20, 0xAA);
  plan.descriptor_form = DescriptorForm::signed_32;
  plan.central = [=](zip::CentralEntry& entry) {
    entry.size_bytes = kClaimed;
    entry.flags = 0x0808;
  };
  plan.local = [](zip::LocalHeader& header) {
    header.flags = 0x0808;
    header.compressed_bytes = header.size_bytes = header.crc = 0;
  };
  plan.descriptor = [=](zip::Descriptor64& descriptor) { descriptor.size_bytes = kClaimed; };
}

TEST(HostileArchives, Z38_ABombIsRefusedInEachPlaceBeforeItIsInflated) {
  TorchZip pickle = base_zip();
  make_bomb(pickle, "data.pkl");
  std::string said = verdict_of(pickle.build());
  EXPECT_EQ(said, "limit LIMIT-PICKLE-BYTES data.pkl at " + hex(pickle.place("data.pkl").central) +
                      ": pickle is larger than the limit pickle_bytes, expected at most 268435456, found 1073741824");
  TorchZip version = base_zip();
  make_bomb(version, "version");
  said = verdict_of(version.build());
  EXPECT_EQ(said, "zip ZIP-TEXT-SIZE version at " + hex(version.place("version").central) +
                      ": record is too long for what it is, expected at most 64 bytes, found 1073741824");
  // A storage is met when its tensor is touched, and the others are whole.
  PickleBuilder claims;
  claims.proto(2).empty_dict();
  claims.text("bomb").tensor("FloatStorage", "2", std::vector<std::int64_t>{1 << 28}).setitem();
  claims.text("good").tensor("FloatStorage", "0", std::vector<std::int64_t>{8}).setitem().stop();
  TorchZip storage = zip_with(claims);
  storage.add("data/2", "");
  make_bomb(storage, "data/2");
  const Result<Checkpoint> checkpoint = open_bytes(storage.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root()["good"].as_tensor()->values<float>().value()[7], 7.0f);
  const Result<ByteSpan> bytes = checkpoint->root()["bomb"].as_tensor()->bytes();
  ASSERT_FALSE(bytes);
  EXPECT_EQ(line_of(bytes.error().finding),
            "limit LIMIT-INFLATED-BYTES data/2 at " + hex(storage.place("data/2").local) +
                ": 1048576 deflated bytes become more than limits.inflated_bytes allows, expected at most 83886080, "
                "found 1073741824");
}

TEST(HostileArchives, P45_APickleBeyondItsLimitIsRefusedUnread) {
  TorchZip zip = base_zip();
  const Bytes bytes = zip.build();
  LoadOptions options;
  options.limits.pickle_bytes = base_pickle().size() - 1;
  const std::string size = std::to_string(base_pickle().size());
  EXPECT_EQ(verdict_of(bytes, options), "limit LIMIT-PICKLE-BYTES data.pkl at " + hex(zip.place("data.pkl").central) +
                                            ": pickle is larger than the limit pickle_bytes, expected at most " +
                                            std::to_string(options.limits.pickle_bytes) + ", found " + size);
  options.limits.pickle_bytes += 1;
  EXPECT_EQ(verdict_of(bytes, options), "ok");
  // Deflated it is judged by what it becomes.
  zip.record("data.pkl").deflate = true;
  const Bytes deflated_bytes = zip.build();
  EXPECT_EQ(verdict_of(deflated_bytes, options), "ok");
  options.limits.pickle_bytes -= 1;
  EXPECT_EQ(verdict_of(deflated_bytes, options),
            "limit LIMIT-PICKLE-BYTES data.pkl at " + hex(zip.place("data.pkl").central) +
                ": pickle is larger than the limit pickle_bytes, expected at most " +
                std::to_string(options.limits.pickle_bytes) + ", found " + size);
}

// --- damage
// -----------------------------------------------------------------------------------------------------------

TEST(HostileArchives, Z42_ADamagedRecordIsNamedWhereItIsTouched) {
  TorchZip zip = base_zip();
  Bytes bytes = zip.build();
  const RecordPlace place = zip.place("data/0");
  bytes[place.data + 5] ^= std::byte{0x10};
  const std::string said = "crc CRC-MISMATCH data/0 at " + hex(place.data) + ": crc-32 mismatch, stored " +
                           hex8(plain_crc32(zip.record("data/0").data)) + ", computed " +
                           hex8(plain_crc32(ByteSpan(bytes).subspan(place.data, 32)));
  const Result<ByteSpan> touched = open_bytes(bytes)->root()["a"].as_tensor()->bytes();
  ASSERT_FALSE(touched);
  EXPECT_EQ(line_of(touched.error().finding), said);
  const VerifyReport report = verified(bytes);
  EXPECT_EQ(lines_of(report), said);
  ASSERT_EQ(report.flips.size(), 1u);
  EXPECT_EQ(report.flips[0].offset, place.data + 5);
  EXPECT_EQ(report.flips[0].bit, 4u);
}

TEST(HostileArchives, Z50_EveryZeroedPageIsFound) {
  TorchZip zip = base_zip();
  Bytes noise(30000);
  std::uint32_t state = 7;
  for (std::byte& byte : noise) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24 | 1);  // no byte is zero already
  }
  zip.add("data/2", noise).add("data/3", noise);
  const Bytes good = zip.build();
  for (std::size_t page = 0; page < good.size(); page += 4096) {
    const std::size_t end = std::min(page + 4096, good.size());
    Bytes bytes = good;
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(page), bytes.begin() + static_cast<std::ptrdiff_t>(end),
              std::byte{0});
    const VerifyReport report = verified(bytes);
    EXPECT_FALSE(report.ok) << page;
    ASSERT_FALSE(report.findings.empty());
    // The first finding is at the page or at the beginning of the record that the page lies in.
    const Finding& first = report.findings[0];
    ASSERT_TRUE(first.offset) << line_of(first);
    EXPECT_LE(*first.offset, end) << line_of(first);
  }
}

TEST(HostileArchives, Z50_TextModeAndReplacedBytesAreTheHintOfTheRefusal) {
  const Bytes good = base_zip().build();
  Bytes translated;
  for (const std::byte byte : good) {
    if (byte == std::byte{'\n'}) translated.push_back(std::byte{'\r'});
    translated.push_back(byte);
  }
  const Result<Checkpoint> crlf = open_bytes(translated);
  ASSERT_FALSE(crlf);
  EXPECT_EQ(crlf.error().finding.hint,
            "every line feed has a carriage return before it: the file went through a transfer in text mode (ftp, git "
            "with autocrlf); fetch it again in binary mode");
  EXPECT_TRUE(crlf.error().finding.offset);
  TorchZip high = base_zip();
  high.add("data/2", repeated(64, 0xFE));
  Bytes replaced;
  for (const std::byte byte : high.build()) {
    if (byte < std::byte{0x80}) {
      replaced.push_back(byte);
    } else {
      for (const unsigned part : {0xEFu, 0xBFu, 0xBDu}) replaced.push_back(static_cast<std::byte>(part));
    }
  }
  const Result<Checkpoint> utf8 = open_bytes(replaced);
  ASSERT_FALSE(utf8);
  EXPECT_EQ(utf8.error().finding.hint,
            "bytes were replaced by U+FFFD: the file was read as text and written back; fetch it again in binary mode");
  EXPECT_TRUE(utf8.error().finding.offset);
}

// --- what must be accepted
// --------------------------------------------------------------------------------------------

TEST(HostileArchives, A07_FilesWithoutChecksumsAreNotedAndRefusedOnRequest) {
  TorchZip zip = base_zip();
  zip.crc = false;
  const Bytes bytes = zip.build();
  const Result<Checkpoint> checkpoint = open_bytes(bytes);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->root()["a"].as_tensor()->values<float>().value()[7], 7.0f);
  EXPECT_EQ(checkpoint->root()["a"].as_tensor()->storage().integrity(), Integrity::not_computed);
  const VerifyReport lenient = verified(bytes);
  EXPECT_TRUE(lenient.ok);
  for (const TensorVerdict& tensor : lenient.tensors) EXPECT_EQ(tensor.state, TensorState::unverified);
  VerifyOptions options;
  options.require_crc = true;
  const VerifyReport required = verified(bytes, options);
  EXPECT_FALSE(required.ok);
  EXPECT_EQ(lines_of(required), "crc CRC-NOT-COMPUTED data.pkl at " + hex(zip.place("data.pkl").data) +
                                    ": no record has a crc-32, the field holds 0 everywhere: nothing says whether the "
                                    "bytes are right");
}

TEST(HostileArchives, A08_AFileThatAZipToolPackedAgainReadsAlike) {
  TorchZip zip = base_zip();
  zip.alignment = 0;
  zip.descriptors = false;
  zip.zip64_end = false;
  for (RecordPlan& record : zip.records()) {
    record.deflate = true;
    record.local_extra = extra_field(0x5455, to_bytes("\x03mmmmaaaa"));
    record.central_extra = extra_field(0x5455, to_bytes("\x03mmmm"));
    record.central = [](zip::CentralEntry& entry) {
      entry.made_by = 0x031E;
      entry.external_attributes = 0100644u << 16;
    };
  }
  LoadOptions strict;
  strict.strict = true;
  const Result<Checkpoint> checkpoint = open_bytes(zip.build(), strict);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_TRUE(checkpoint->findings().empty());
  const auto a = checkpoint->root()["a"].as_tensor()->values<float>().value();
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(a[i], static_cast<float>(i));
  EXPECT_EQ(checkpoint->root()["b"].as_tensor()->values<std::int64_t>().value()[3], 3);
  EXPECT_TRUE(verified(zip.build()).ok);
}

}  // namespace
}  // namespace rushlight::test
