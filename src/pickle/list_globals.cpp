// The names of a stream without its objects: texts and memo are followed, everything else is "some value", and what the
// machine would refuse on the stack is passed over.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/quote.hpp"
#include "pickle/argument.hpp"
#include "pickle/buffer.hpp"
#include "pickle/globals.hpp"
#include "pickle/literals.hpp"
#include "pickle/machine.hpp"
#include "pickle/memo.hpp"
#include "pickle/opcodes.hpp"

namespace rushlight::pickle {
namespace {

constexpr std::uint32_t kSomeValue = 0xFFFFFFFEu;

class Lister {
 public:
  explicit Lister(ByteSpan bytes) : reader_(bytes) {}

  std::vector<NamedGlobal> list() {
    while (step()) {
    }
    return names_.take();
  }

 private:
  bool step() {
    const std::uint64_t offset = reader_.position();
    const auto byte = reader_.read<std::uint8_t>();
    const OpcodeInfo* const info = byte ? find_opcode(*byte) : nullptr;
    if (info == nullptr) return false;
    Argument argument;
    if (read_argument(info->argument, reader_, argument) != ArgumentFault::none) return false;
    if (info->argument == ArgumentKind::two_lines) {
      if (!is_valid_utf8(argument.text) || !is_valid_utf8(argument.name)) return false;
      names_.add({argument.text, argument.name, offset});
    }
    return follow(*info, argument, offset);
  }

  bool follow(const OpcodeInfo& info, const Argument& argument, std::uint64_t offset) {
    switch (info.opcode) {
      case Opcode::MARK:
        return marks_.push(stack_.size());
      case Opcode::STOP:  // another pickle may follow
        stack_.shrink_to(0);
        marks_.shrink_to(0);
        memo_.clear();
        return true;
      case Opcode::POP:
        if (!marks_.empty() && marks_.back() == stack_.size()) {
          marks_.pop();
        } else {
          drop(1);
        }
        return true;
      case Opcode::DUP:
        return stack_.push(top());
      case Opcode::STACK_GLOBAL:
        names_.add({text_of(top(1)), text_of(top()), offset});
        drop(2);
        return stack_.push(kSomeValue);
      case Opcode::GET: {
        const auto index = parse_index(argument.text);
        return push_memo(index ? memo_.get(*index) : Memo::kNothing);
      }
      case Opcode::BINGET:
      case Opcode::LONG_BINGET:
        return push_memo(memo_.get(argument.number));
      case Opcode::PUT: {
        const auto index = parse_index(argument.text);
        return !index || memo_.put(*index, top());
      }
      case Opcode::BINPUT:
      case Opcode::LONG_BINPUT:
        return memo_.put(argument.number, top());
      case Opcode::MEMOIZE:
        return memo_.put(memo_.size(), top());
      default:
        return take_operands(info) && push_results(info, argument);
    }
  }

  bool take_operands(const OpcodeInfo& info) {
    if (info.mark == Mark::takes && !marks_.empty()) {
      stack_.shrink_to(std::min(marks_.back(), stack_.size()));
      marks_.pop();
    }
    drop(info.operands);
    return true;
  }

  bool push_results(const OpcodeInfo& info, const Argument& argument) {
    for (std::uint8_t i = 0; i < info.results; ++i) {
      if (!push_text(info.argument, argument.text)) return false;
    }
    return true;
  }

  // The text that an argument of this kind pushes; other kinds push some value.
  bool push_text(ArgumentKind kind, std::string_view text) {
    switch (kind) {
      case ArgumentKind::string1:
      case ArgumentKind::string4:
      case ArgumentKind::unicode1:
      case ArgumentKind::unicode4:
      case ArgumentKind::unicode8:
        return push_known(text);
      case ArgumentKind::quoted_line:
        if (text.size() < 2) return stack_.push(kSomeValue);
        text = text.substr(1, text.size() - 2);
        return text.find('\\') == std::string_view::npos ? push_known(text) : push_decoded(unescape_string(text));
      case ArgumentKind::unicode_line:
        return push_decoded(unescape_raw_unicode(text));
      default:
        return stack_.push(kSomeValue);
    }
  }
  bool push_known(std::string_view text) {
    texts_.push_back(text);
    return stack_.push(static_cast<std::uint32_t>(texts_.size() - 1));
  }
  bool push_decoded(std::optional<std::string> text) {
    if (!text) return stack_.push(kSomeValue);
    return push_known(decoded_.emplace_back(std::move(*text)));
  }

  bool push_memo(std::uint32_t entry) { return stack_.push(entry == Memo::kNothing ? kSomeValue : entry); }

  [[nodiscard]] std::uint32_t top(std::size_t below = 0) const noexcept {
    return stack_.size() > below ? stack_[stack_.size() - 1 - below] : kSomeValue;
  }
  [[nodiscard]] std::string_view text_of(std::uint32_t entry) const noexcept {
    return entry == kSomeValue ? std::string_view() : texts_[entry];
  }
  // Marks above what is dropped go with it.
  void drop(std::size_t count) {
    stack_.shrink_to(stack_.size() - std::min(count, stack_.size()));
    while (!marks_.empty() && marks_.back() > stack_.size()) marks_.pop();
  }

  ByteReader reader_;
  Buffer<std::uint32_t> stack_;  // indices into texts_, or kSomeValue
  Buffer<std::size_t> marks_;    // heights of the stack
  Memo memo_;
  std::vector<std::string_view> texts_;
  std::deque<std::string> decoded_;
  DistinctGlobals names_;
};

}  // namespace

std::vector<NamedGlobal> list_globals(ByteSpan bytes) {
  return Lister(bytes).list();
}

}  // namespace rushlight::pickle
