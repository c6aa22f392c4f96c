#include "opened_bytes.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "base/fail.hpp"

namespace rushlight::test {
namespace {

std::shared_ptr<const Source> source_of(const Bytes& bytes, TestSource::Access access) {
  return std::make_shared<TestSource>(bytes, access);
}

}  // namespace

std::string line_of(const Finding& finding) {
  std::string line = std::string(to_string(finding.category)) + " " + finding.code;
  if (finding.record) line += " " + *finding.record;
  if (finding.offset) line += " at " + hex(*finding.offset);
  return line + ": " + finding.message;
}

Result<Checkpoint> open_bytes(const Bytes& bytes, const LoadOptions& options) {
  Result<Checkpoint> mapped = Checkpoint::open(source_of(bytes, TestSource::Access::mapped), options);
  const Result<Checkpoint> read = Checkpoint::open(source_of(bytes, TestSource::Access::read_only), options);
  EXPECT_EQ(mapped.has_value(), read.has_value());
  if (!mapped && !read) {
    EXPECT_EQ(line_of(mapped.error().finding), line_of(read.error().finding));
    EXPECT_EQ(mapped.error().code, read.error().code);
  }
  return mapped;
}

TorchZip zip_with(const PickleBuilder& pickle) {
  TorchZip zip("base");
  zip.add("data.pkl", pickle.bytes());
  zip.add("data/0", bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  zip.add("data/1", bytes_of(std::vector<std::int64_t>{0, 1, 2, 3}));
  zip.add("byteorder", "little").add("version", "3\n");
  return zip;
}

Result<Checkpoint> open_pickle(const PickleBuilder& pickle, const LoadOptions& options) {
  return open_bytes(zip_with(pickle).build(), options);
}

std::string verdict_of(const Bytes& bytes, const LoadOptions& options) {
  const Result<Checkpoint> checkpoint = open_bytes(bytes, options);
  return checkpoint ? "ok" : line_of(checkpoint.error().finding);
}

std::string lines_of(const VerifyReport& report) {
  std::string lines;
  for (const Finding& finding : report.findings) {
    if (finding.severity == Severity::note) continue;
    lines += (lines.empty() ? "" : "\n") +
             (finding.severity == Severity::warning ? "warning " + line_of(finding) : line_of(finding));
  }
  return lines;
}

VerifyReport verified(const Bytes& bytes, const VerifyOptions& options) {
  VerifyReport mapped = verify(source_of(bytes, TestSource::Access::mapped), options).value();
  const VerifyReport read = verify(source_of(bytes, TestSource::Access::read_only), options).value();
  const auto pool = make_thread_pool(3);
  VerifyOptions parallel = options;
  parallel.executor = pool.get();
  const VerifyReport threads = verify(source_of(bytes, TestSource::Access::mapped), parallel).value();
  for (const VerifyReport* other : {&read, &threads}) {
    EXPECT_EQ(lines_of(mapped), lines_of(*other));
    EXPECT_EQ(mapped.ok, other->ok);
    EXPECT_EQ(mapped.explained_bytes, other->explained_bytes);
    EXPECT_EQ(mapped.checked_bytes, other->checked_bytes);
  }
  return mapped;
}

}  // namespace rushlight::test
