#include "rushlight/tuning.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "runtime/tuning_table.hpp"

namespace rushlight {
namespace {

constexpr std::string_view kFirstLine = "rushlight tuning 1";
constexpr std::string_view kMachine = "machine ";
constexpr std::string_view kBetween = " : ";
constexpr std::string_view kBeforeTimes = " # ";
constexpr std::size_t kMostLineBytes = 512;

std::uint64_t time_of(std::string_view, const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return static_cast<std::uint64_t>((std::chrono::steady_clock::now() - begin) / std::chrono::nanoseconds(1));
}

Error wrong_line(std::size_t line, std::string what) {
  return Error::of({.category = Category::model,
                    .code = "TUNING-FORMAT",
                    .message = "tuning, line " + std::to_string(line) + ": " + std::move(what)});
}

Error too_much(std::string_view what, std::uint64_t limit) {
  return Error::of({.category = Category::limit,
                    .code = "LIMIT-TUNING",
                    .message = "tuning has more than " + std::to_string(limit) + " " + std::string(what)});
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7E; });
}

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// Reads line after line into a table.
class Reader {
 public:
  Reader(Tuning::Impl& table, const Limits& limits) : table_(table), limits_(limits) {}

  Status read(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      RUSHLIGHT_TRY(read_line(text.substr(0, end)));
      text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    }
    if (line_ == 0) return wrong_line(1, "expected " + quoted(kFirstLine) + ", found nothing");
    return {};
  }

 private:
  Status read_line(std::string_view line) {
    ++line_;
    if (line.size() > kMostLineBytes) {
      return wrong_line(
          line_, "expected at most " + std::to_string(kMostLineBytes) + " bytes, found " + std::to_string(line.size()));
    }
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!is_printable(line)) return wrong_line(line_, "expected printable ASCII, found " + quoted(line));
    if (line_ == 1) {
      if (line == kFirstLine) return {};
      return wrong_line(line_, "expected " + quoted(kFirstLine) + ", found " + quoted(line));
    }
    if (line.empty() || line.starts_with('#')) return {};
    if (line.starts_with(kMachine)) {
      machine_ = line.substr(kMachine.size());
      if (machine_.empty()) return wrong_line(line_, "expected the name of a machine, found nothing");
      return {};
    }
    return read_entry(line);
  }

  Status read_entry(std::string_view line) {
    const std::size_t between = line.find(kBetween);
    const std::string_view layer = line.substr(0, between);
    const std::string_view rest =
        between == std::string_view::npos ? std::string_view() : line.substr(between + kBetween.size());
    const std::size_t before_times = rest.find(kBeforeTimes);
    const std::string_view choice = rest.substr(0, before_times);
    const std::string_view times =
        before_times == std::string_view::npos ? std::string_view() : rest.substr(before_times + kBeforeTimes.size());
    if (layer.empty() || !is_word(choice)) {
      return wrong_line(line_, "expected a layer, ' : ' and a word, found " + quoted(line));
    }
    if (machine_.empty()) return wrong_line(line_, "expected 'machine ...' before the first layer");
    if (table_.choices.size() >= limits_.graph_nodes) return too_much("entries", limits_.graph_nodes);
    const auto [place, is_new] = table_.choices.try_emplace(
        {std::string(machine_), std::string(layer)}, Tuning::Impl::Choice{std::string(choice), std::string(times)});
    if (!is_new && place->second.word != choice) {
      return wrong_line(line_, "a second choice for " + quoted(layer) + ", " + quoted(choice) + " after " +
                                   quoted(std::string_view(place->second.word)));
    }
    return {};
  }

  Tuning::Impl& table_;
  const Limits& limits_;
  std::size_t line_ = 0;
  std::string_view machine_;
};

}  // namespace

std::optional<std::string> Tuning::Impl::find(std::string_view machine, std::string_view layer) const {
  const std::lock_guard lock(mutex);
  const auto found = choices.find({std::string(machine), std::string(layer)});
  if (found == choices.end()) return std::nullopt;
  return found->second.word;
}

void Tuning::Impl::set(std::string_view machine, std::string_view layer, std::string_view choice,
                       std::string_view times) {
  const std::lock_guard lock(mutex);
  choices.insert_or_assign({std::string(machine), std::string(layer)}, Choice{std::string(choice), std::string(times)});
  ++measured;
}

Tuning::Tuning() : impl_(std::make_unique<Impl>()) {
  impl_->stopwatch = time_of;
}
Tuning::Tuning(Tuning&&) noexcept = default;
Tuning& Tuning::operator=(Tuning&&) noexcept = default;
Tuning::~Tuning() = default;

Result<Tuning> Tuning::parse(std::string_view text, const Limits& limits) {
  return or_no_memory([&]() -> Result<Tuning> {
    if (text.size() > limits.json_bytes) return too_much("bytes", limits.json_bytes);
    Tuning tuning;
    RUSHLIGHT_TRY(Reader(*tuning.impl_, limits).read(text));
    return tuning;
  });
}

std::string Tuning::text() const {
  const std::lock_guard lock(impl_->mutex);
  std::string text(kFirstLine);
  text += "\n# Which way to compute a layer was the fastest. Made by measuring; lines may be removed.\n";
  std::string_view machine;
  for (const auto& [key, choice] : impl_->choices) {
    if (key.first != machine) text.append("\n").append(kMachine).append(key.first).append("\n");
    machine = key.first;
    text.append(key.second).append(kBetween).append(choice.word);
    if (!choice.times.empty()) text.append(kBeforeTimes).append(choice.times);
    text += "\n";
  }
  return text;
}

std::size_t Tuning::size() const noexcept {
  const std::lock_guard lock(impl_->mutex);
  return impl_->choices.size();
}

std::size_t Tuning::measured() const noexcept {
  const std::lock_guard lock(impl_->mutex);
  return impl_->measured;
}

void Tuning::set_measures(bool measures) noexcept {
  impl_->measures = measures;
}

}  // namespace rushlight
