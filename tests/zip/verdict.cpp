#include "zip/verdict.hpp"

#include <gtest/gtest.h>

#include "base/bytes.hpp"
#include "support/test_source.hpp"

namespace rushlight::test {
namespace {

std::string lines(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) text += line(finding) + "\n";
  return text;
}

Verdict judge_source(const std::shared_ptr<const Source>& source, const zip::OpenOptions& options, Executor* executor) {
  Verdict verdict;
  verdict.size_bytes = options.window_bytes.value_or(source->size_bytes() - options.window_offset);
  std::vector<Finding> oddities;
  auto archive = zip::Archive::open(source, options, oddities);
  if (!archive) {
    verdict.code = archive.error().code;
    verdict.error = line(archive.error()) + "\n";
    return verdict;
  }
  verdict.archive = *archive;
  verdict.oddities = lines(oddities);
  auto audit = (*archive)->audit(executor, nullptr);
  if (!audit) {
    verdict.findings = "audit failed: " + line(audit.error()) + "\n";
    return verdict;
  }
  verdict.findings = lines(audit->findings);
  verdict.explained_bytes = audit->explained_bytes;
  verdict.checked_bytes = audit->checked_bytes;
  return verdict;
}

}  // namespace

std::string line(const Finding& finding) {
  std::string text = finding.severity == Severity::error ? "" : std::string(to_string(finding.severity)) + " ";
  return text + std::string(to_string(finding.category)) + " " + finding.code + " " + to_string(finding);
}

std::string line(const Error& error) {
  return line(error.finding);
}

Verdict judge(const Bytes& bytes, const zip::OpenOptions& options) {
  static const std::unique_ptr<Executor> four_threads = make_thread_pool(4);
  const auto mapped = std::make_shared<TestSource>(bytes, TestSource::Access::mapped);
  const auto read_only = std::make_shared<TestSource>(bytes, TestSource::Access::read_only);
  Verdict verdict = judge_source(mapped, options, nullptr);
  const Verdict others[] = {judge_source(mapped, options, four_threads.get()),
                            judge_source(read_only, options, nullptr),
                            judge_source(read_only, options, four_threads.get())};
  for (const Verdict& other : others) {
    EXPECT_EQ(verdict.text(), other.text());
    EXPECT_EQ(verdict.explained_bytes, other.explained_bytes);
    EXPECT_EQ(verdict.checked_bytes, other.checked_bytes);
  }
  return verdict;
}

std::string use(const Bytes& bytes, std::string_view full_name) {
  std::string first;
  for (const auto access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
    std::vector<Finding> oddities;
    auto archive = zip::Archive::open(std::make_shared<TestSource>(bytes, access), {}, oddities);
    std::string said;
    if (!archive) {
      said = line(archive.error());
    } else if (const zip::Entry* entry = (*archive)->find(full_name); entry == nullptr) {
      said = "not found";
    } else if (auto read = (*archive)->read(*entry, 1 << 30); !read) {
      said = line(read.error());
    } else {
      said = "ok";
    }
    if (access == TestSource::Access::mapped) first = said;
    EXPECT_EQ(first, said);
  }
  return first;
}

std::string content(const Verdict& verdict, std::string_view full_name) {
  const zip::Entry* entry = verdict.opened() ? verdict.archive->find(full_name) : nullptr;
  if (entry == nullptr) {
    ADD_FAILURE() << full_name << " is not there: " << verdict.text();
    return {};
  }
  auto read = verdict.archive->read(*entry, 1 << 30);
  if (!read) {
    ADD_FAILURE() << line(read.error());
    return {};
  }
  return std::string(as_text(read->span()));
}

}  // namespace rushlight::test
