#include "open/verify_set.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "open/dcp.hpp"

namespace rushlight::open {
namespace {

// The progress of one part as that of the whole.
class PartProgress final : public Progress {
 public:
  PartProgress(Progress& outer, std::uint64_t before, std::uint64_t total)
      : outer_(outer), before_(before), total_(total) {}
  bool on_progress(std::string_view phase, std::uint64_t done, std::uint64_t) override {
    return outer_.on_progress(phase, std::min(before_ + done, total_), total_);
  }

 private:
  Progress& outer_;
  std::uint64_t before_;
  std::uint64_t total_;
};

class SetVerifier {
 public:
  SetVerifier(const VerifyOptions& options, Opened& opened, VerifyReport& report)
      : options_(options), opened_(opened), report_(report), is_dcp_(opened.container == Container::dcp) {}

  Status run(const LoadOptions& load) {
    Status loaded = is_dcp_ ? load_dcp(load, opened_, wrong_chunks_) : load_values(load, opened_);
    loaded_ = loaded.has_value();
    report_.structure_ok = loaded_;
    report_.explained_bytes = opened_.explained_bytes;
    if (!loaded && could_not_look(loaded.error())) return loaded;
    parts_.resize(opened_.parts.size());
    std::uint64_t total = 0;
    for (const Part& part : opened_.parts) total += part.size_bytes;
    std::uint64_t done = 0;
    for (std::size_t i = 0; i < opened_.parts.size(); ++i) {
      RUSHLIGHT_TRY(look_at(i, done, total));
      done += opened_.parts[i].size_bytes;
      // A part counts whole once it is done, whatever of it there was to compute.
      if (options_.progress != nullptr && !options_.progress->on_progress("verify", done, total)) {
        return Error::of(ErrorCode::cancelled,
                         {.category = Category::io, .code = "CANCELLED", .message = "verification was cancelled"});
      }
    }
    if (is_dcp_) report_gaps();
    // What a part said already is not said again: the whole was loaded from the same bytes.
    for (Finding& finding : opened_.findings) add_new(std::move(finding));
    if (!loaded) add_new(std::move(loaded).error().finding);
    judge();
    return {};
  }

 private:
  Status look_at(std::size_t index, std::uint64_t done, std::uint64_t total) {
    const Part& part = opened_.parts[index];
    if (part.source == nullptr) {
      report_.structure_ok = false;
      if (part.problem) add_new(*part.problem);
      return {};
    }
    VerifyOptions options = options_;
    std::optional<PartProgress> progress;
    if (options_.progress != nullptr) options.progress = &progress.emplace(*options_.progress, done, total);
    RUSHLIGHT_TRY_ASSIGN(VerifyReport report, verify_part(part, is_dcp_, options));
    report_.structure_ok = report_.structure_ok && report.structure_ok;
    report_.explained_bytes += report.explained_bytes;
    report_.checked_bytes += report.checked_bytes;
    for (RecordReport& record : report.records) {
      record.name = escaped(part.name) + ":" + record.name;
      report_.records.push_back(std::move(record));
    }
    report_.flips.insert(report_.flips.end(), report.flips.begin(), report.flips.end());
    for (Finding& finding : report.findings) {
      if (finding.file.empty()) finding.file = report.file;
      if (is_dcp_ && !finding.tensors.empty()) finding.tensors = names_of(index);
      add_new(std::move(finding));
    }
    parts_[index] = std::move(report);
    return {};
  }

  [[nodiscard]] std::vector<std::string> names_of(std::size_t part) const {
    std::vector<std::string> names;
    for (const Member& member : opened_.members) {
      if (std::find(member.parts.begin(), member.parts.end(), part) != member.parts.end()) names.push_back(member.name);
    }
    return names;
  }

  void add_new(Finding finding) {
    const auto known = [&](const Finding& other) {
      return other.code == finding.code && other.file == finding.file && other.offset == finding.offset &&
             (finding.severity == Severity::error || other.message == finding.message);
    };
    if (std::any_of(report_.findings.begin(), report_.findings.end(), known)) return;
    report_.findings.push_back(std::move(finding));
  }

  // Bytes of a `.distcp` file between its items, and those that two items claim: they are explained once.
  void report_gaps() {
    struct Window {
      std::string_view file;
      std::uint64_t begin, end;
      const Part* part;
    };
    std::vector<Window> windows;
    for (const Part& part : opened_.parts) {
      if (part.source) windows.push_back({part.name, part.offset, part.offset + part.size_bytes, &part});
    }
    std::sort(windows.begin(), windows.end(), [](const Window& a, const Window& b) {
      return std::tie(a.file, a.begin, a.end) < std::tie(b.file, b.begin, b.end);
    });
    for (std::size_t i = 0; i < windows.size();) {
      const Window first = windows[i];
      std::uint64_t covered = 0;
      for (; i < windows.size() && windows[i].file == first.file; ++i) {
        if (windows[i].begin > covered) add_gap(*first.part, covered, windows[i].begin);
        if (windows[i].begin < covered) add_overlap(windows[i].begin, std::min(covered, windows[i].end), *first.part);
        covered = std::max(covered, windows[i].end);
      }
      if (covered < first.part->source->size_bytes()) add_gap(*first.part, covered, first.part->source->size_bytes());
    }
  }

  void add_gap(const Part& part, std::uint64_t begin, std::uint64_t end) {
    report_.findings.push_back({.severity = options_.strict ? Severity::error : Severity::warning,
                                .category = Category::store,
                                .code = "DCP-GAP",
                                .message = std::to_string(end - begin) +
                                           (end - begin == 1 ? " byte belongs" : " bytes belong") +
                                           " to no item of the metadata",
                                .file = printable_file(std::string(part.source->name())),
                                .offset = begin});
  }

  void add_overlap(std::uint64_t begin, std::uint64_t end, const Part& part) {
    report_.explained_bytes -= std::min(report_.explained_bytes, end - begin);
    report_.findings.push_back({.severity = options_.strict ? Severity::error : Severity::warning,
                                .category = Category::store,
                                .code = "DCP-OVERLAP",
                                .message = std::to_string(end - begin) +
                                           (end - begin == 1 ? " byte belongs" : " bytes belong") +
                                           " to more than one item of the metadata",
                                .file = printable_file(std::string(part.source->name())),
                                .offset = begin});
  }

  void judge() {
    if (is_dcp_) return judge_members();
    std::vector<std::map<std::string_view, const TensorVerdict*>> verdicts(parts_.size());
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (!parts_[i]) continue;
      for (const TensorVerdict& verdict : parts_[i]->tensors) verdicts[i].emplace(verdict.name, &verdict);
    }
    std::set<std::string_view> members;
    for (const Member& member : opened_.members) members.insert(member.name);
    for (const Member& member : opened_.members) {
      const std::size_t shard = member.parts.front();
      const bool known = shard < verdicts.size();
      const auto found = known ? verdicts[shard].find(member.name) : decltype(verdicts[shard].end()){};
      if (known && found != verdicts[shard].end()) {
        report_.tensors.push_back(*found->second);
      } else if (!loaded_ || !known) {
        report_.tensors.push_back({.name = member.name, .state = TensorState::damaged, .element = {}});
      } else if (parts_[shard]) {
        // It is there, and no tensor: whatever tensors stand in the value, unless the index has them by themselves.
        for (const TensorVerdict& verdict : parts_[shard]->tensors) {
          const std::string_view name = verdict.name;
          if (!name.starts_with(member.name) || members.contains(name)) continue;
          if (const char next = name[member.name.size()]; next == '.' || next == '[')
            report_.tensors.push_back(verdict);
        }
      }
    }
  }

  void judge_members() {
    for (std::size_t i = 0; i < opened_.members.size(); ++i) {
      const Member& member = opened_.members[i];
      if (!member.is_tensor) {  // whatever tensors stand in the value
        const std::size_t part = member.parts.front();
        if (part >= parts_.size() || !parts_[part]) continue;
        report_.tensors.insert(report_.tensors.end(), parts_[part]->tensors.begin(), parts_[part]->tensors.end());
        continue;
      }
      TensorVerdict out{.name = member.name, .state = TensorState::intact, .element = {}};
      for (const std::size_t part : member.parts) {
        const TensorState state = state_of(part);
        if (out.state == TensorState::damaged || state == TensorState::intact) continue;
        out.state = state;
      }
      // Sound files of torch.save all of them, and not those that the metadata speaks of.
      if (out.state != TensorState::damaged && i < wrong_chunks_.size() && wrong_chunks_[i]) {
        out.state = TensorState::damaged;
        Finding wrong = wrong_chunks_[i]->finding;
        wrong.tensors = {member.name};
        add_new(std::move(wrong));
      }
      // The position in a chunk is not that in the whole.
      if (member.parts.size() == 1 && parts_.size() > member.parts.front()) {
        const std::optional<VerifyReport>& only = parts_[member.parts.front()];
        if (only && only->tensors.size() == 1) out.element = only->tensors.front().element;
      }
      report_.tensors.push_back(std::move(out));
    }
  }

  [[nodiscard]] TensorState state_of(std::size_t part) const {
    if (part >= parts_.size() || !parts_[part] || parts_[part]->tensors.empty()) return TensorState::damaged;
    TensorState worst = TensorState::intact;
    for (const TensorVerdict& verdict : parts_[part]->tensors) {
      if (verdict.state == TensorState::damaged) return TensorState::damaged;
      if (verdict.state == TensorState::unverified) worst = TensorState::unverified;
    }
    return worst;
  }

  const VerifyOptions& options_;
  Opened& opened_;
  VerifyReport& report_;
  bool is_dcp_;
  bool loaded_ = false;
  std::vector<std::optional<Error>> wrong_chunks_;  // by member: load_dcp()
  std::vector<std::optional<VerifyReport>> parts_;  // those that could be looked at
};

}  // namespace

Status verify_set(const VerifyOptions& options, const LoadOptions& load, Opened& opened, VerifyReport& report) {
  return SetVerifier(options, opened, report).run(load);
}

}  // namespace rushlight::open
