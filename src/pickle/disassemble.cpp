// The stream in words, line by line as Lib/pickletools.py's dis() prints it.
#include <algorithm>
#include <bit>
#include <string>
#include <string_view>

#include "pickle/argument.hpp"
#include "pickle/buffer.hpp"
#include "pickle/failure.hpp"
#include "pickle/literals.hpp"
#include "pickle/machine.hpp"
#include "pickle/opcodes.hpp"
#include "pickle/python_repr.hpp"

namespace rushlight::pickle {
namespace {

// Indentation stops growing here: a million marks must not make the output quadratic.
constexpr std::size_t kMostIndented = 100;

struct OpenMark {
  std::size_t offset;
  std::size_t height;  // of the stack
};

class Disassembler {
 public:
  explicit Disassembler(ByteSpan bytes) : reader_(bytes) {}

  Result<std::string> run() {
    bool stopped = false;
    while (!stopped) {
      place_.offset = reader_.position();
      const auto byte = reader_.read<std::uint8_t>();
      if (!byte) return no_stop(place_);
      ++place_.number;
      place_.byte = *byte;
      const OpcodeInfo* const info = find_opcode(*byte);
      if (info == nullptr) return unknown_opcode(place_);
      Argument argument;
      const ArgumentFault fault = read_argument(info->argument, reader_, argument);
      if (fault != ArgumentFault::none) return bad_argument(place_, fault, argument, reader_.bytes_left());
      if (!print(*info, argument)) return no_memory();
      highest_ = std::max(highest_, info->protocol);
      stopped = info->opcode == Opcode::STOP;
    }
    out_ += "highest protocol among opcodes = " + std::to_string(highest_) + "\n";
    return std::move(out_);
  }

 private:
  bool print(const OpcodeInfo& info, const Argument& argument) {
    const std::size_t indent = 4 * std::min(marks_.size(), kMostIndented);
    const std::string remark = follow(info);

    const std::string offset = std::to_string(place_.offset);
    out_.append(offset.size() < 5 ? 5 - offset.size() : 0, ' ');
    out_ += offset + ": ";
    const std::string byte = python_repr_byte(place_.byte);
    out_ += byte;
    out_.append(byte.size() < 4 ? 4 - byte.size() : 0, ' ');
    out_ += ' ';
    out_.append(indent, ' ');
    out_ += info.name;
    if (info.argument != ArgumentKind::none || !remark.empty()) {
      out_.append(info.name.size() < 10 ? 10 - info.name.size() : 0, ' ');
    }
    if (info.argument != ArgumentKind::none) {
      out_ += ' ';
      append_argument(info.opcode, info.argument, argument);
    }
    if (!remark.empty()) out_ += " " + remark;
    out_ += '\n';
    return !out_of_memory_;
  }

  // Keeps the height of the stack, so that it is known which POP takes a mark; what the line says about marks and memo.
  std::string follow(const OpcodeInfo& info) {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back().height;
    std::string remark;
    switch (info.opcode) {
      case Opcode::MARK:
        out_of_memory_ = !marks_.push({static_cast<std::size_t>(place_.offset), height_});
        return remark;
      case Opcode::MEMOIZE:
        return "(as " + std::to_string(memoised_++) + ")";
      case Opcode::PUT:
      case Opcode::BINPUT:
      case Opcode::LONG_BINPUT:
        ++memoised_;
        return remark;
      case Opcode::POP:
        if (!marks_.empty() && floor == height_) return take_mark();
        break;
      default:
        break;
    }
    if (info.mark == Mark::takes) remark = marks_.empty() ? "no MARK exists on stack" : take_mark();
    height_ -= std::min<std::size_t>(height_, info.operands);
    height_ += info.results;
    return remark;
  }
  std::string take_mark() {
    const OpenMark mark = marks_.back();
    marks_.pop();
    height_ = mark.height;
    return "(MARK at " + std::to_string(mark.offset) + ")";
  }

  void append_argument(Opcode opcode, ArgumentKind kind, const Argument& argument) {
    switch (kind) {
      case ArgumentKind::none:
        break;
      case ArgumentKind::u1:
      case ArgumentKind::u2:
      case ArgumentKind::u4:
      case ArgumentKind::u8:
        out_ += std::to_string(argument.number);
        break;
      case ArgumentKind::i4:
        out_ += std::to_string(static_cast<std::int64_t>(argument.number));
        break;
      case ArgumentKind::f8_be:
        out_ += float_text(std::bit_cast<double>(argument.number));
        break;
      case ArgumentKind::integer_line:
        if (opcode == Opcode::INT && (argument.text == "00" || argument.text == "01")) {
          out_ += argument.text == "01" ? "True" : "False";
        } else {
          append_printable(argument.text);
        }
        break;
      case ArgumentKind::long_line:
        append_printable(argument.text.ends_with('L') ? argument.text.substr(0, argument.text.size() - 1)
                                                      : argument.text);
        break;
      case ArgumentKind::float_line:
        if (const auto value = parse_float(argument.text)) {
          out_ += float_text(*value);
        } else {
          append_printable(argument.text);
        }
        break;
      case ArgumentKind::line:
        append_python_repr(out_, argument.text, TextAs::utf8);
        break;
      case ArgumentKind::two_lines:
        append_python_repr(out_, std::string(argument.text) + " " + std::string(argument.name), TextAs::utf8);
        break;
      case ArgumentKind::quoted_line:
        append_quoted(argument.text);
        break;
      case ArgumentKind::unicode_line:
        if (const auto text = unescape_raw_unicode(argument.text)) {
          append_python_repr(out_, *text, TextAs::utf8);
        } else {
          append_printable(argument.text);
        }
        break;
      case ArgumentKind::string1:
      case ArgumentKind::string4:
        append_python_repr(out_, argument.text, TextAs::latin1);
        break;
      case ArgumentKind::bytes1:
      case ArgumentKind::bytes4:
      case ArgumentKind::bytes8:
        append_python_repr(out_, argument.text, TextAs::bytes);
        break;
      case ArgumentKind::bytearray8:
        out_ += "bytearray(";
        append_python_repr(out_, argument.text, TextAs::bytes);
        out_ += ')';
        break;
      case ArgumentKind::unicode1:
      case ArgumentKind::unicode4:
      case ArgumentKind::unicode8:
        append_python_repr(out_, argument.text, TextAs::utf8);
        break;
      case ArgumentKind::long1:
      case ArgumentKind::long4:
        append_integer(argument.text);
        break;
    }
  }

  // Numbers in text: as they are when they can be shown, else like a string.
  void append_printable(std::string_view text) {
    const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7F; });
    if (plain) {
      out_ += text;
    } else {
      append_python_repr(out_, text, TextAs::latin1);
    }
  }

  void append_quoted(std::string_view text) {
    const bool in_quotes = text.size() >= 2 && text.front() == text.back() && (text[0] == '\'' || text[0] == '"');
    const auto plain = in_quotes ? unescape_string(text.substr(1, text.size() - 2)) : std::nullopt;
    append_python_repr(out_, plain ? std::string_view(*plain) : text, TextAs::latin1);
  }

  void append_integer(std::string_view twos_complement) {
    // 4,300 digits take 1,786 bytes; beyond that the conversion costs too much, and Python refuses it too.
    constexpr std::size_t kMostBytes = 1786;
    const std::size_t size = significant_bytes(twos_complement);
    if (size > kMostBytes) {
      out_ += "<integer of " + std::to_string(size) + " bytes>";
    } else {
      out_ += decimal_text(twos_complement.substr(0, size));
    }
  }

  ByteReader reader_;
  OpcodePlace place_;
  Buffer<OpenMark> marks_;
  std::size_t height_ = 0;
  std::uint64_t memoised_ = 0;
  std::uint8_t highest_ = 0;
  bool out_of_memory_ = false;
  std::string out_;
};

}  // namespace

Result<std::string> disassemble(ByteSpan bytes) {
  return Disassembler(bytes).run();
}

}  // namespace rushlight::pickle
