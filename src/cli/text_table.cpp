#include "cli/text_table.hpp"

#include <algorithm>
#include <cstdint>

namespace rushlight::cli {
namespace {

// Decodes one character; malformed bytes count as one column each.
std::uint32_t next_character(std::string_view text, std::size_t& position) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(position);
  const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (length == 1 || position + length > text.size()) {
    ++position;
    return first;
  }
  std::uint32_t code = first & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) code = (code << 6) | (byte(position + i) & 0x3Fu);
  position += length;
  return code;
}

std::size_t width_of(std::uint32_t code) {
  if (code < 0x300) return 1;
  if ((code >= 0x300 && code <= 0x36F) || (code >= 0x200B && code <= 0x200F) || (code >= 0xFE00 && code <= 0xFE0F)) {
    return 0;
  }
  const bool wide = (code >= 0x1100 && code <= 0x115F) || (code >= 0x2E80 && code <= 0xA4CF) ||
                    (code >= 0xAC00 && code <= 0xD7A3) || (code >= 0xF900 && code <= 0xFAFF) ||
                    (code >= 0xFE30 && code <= 0xFE6F) || (code >= 0xFF00 && code <= 0xFF60) ||
                    (code >= 0x1F300 && code <= 0x1FAFF) || (code >= 0x20000 && code <= 0x3FFFD);
  return wide ? 2 : 1;
}

std::string padded(std::string_view cell, std::size_t width, TextTable::Align align) {
  const std::string spaces(width - std::min(width, display_width(cell)), ' ');
  return align == TextTable::Align::left ? std::string(cell) + spaces : spaces + std::string(cell);
}

}  // namespace

std::size_t display_width(std::string_view utf8) {
  std::size_t width = 0;
  for (std::size_t position = 0; position < utf8.size();) width += width_of(next_character(utf8, position));
  return width;
}

std::string clipped(std::string_view utf8, std::size_t columns) {
  if (display_width(utf8) <= columns) return std::string(utf8);
  std::size_t width = 0;
  std::size_t end = 0;
  for (std::size_t position = 0; position < utf8.size();) {
    width += width_of(next_character(utf8, position));
    if (width + 3 > columns) break;
    end = position;
  }
  return std::string(utf8.substr(0, end)) + "...";
}

std::string TextTable::render(const Terminal& terminal, std::size_t indent) const {
  std::vector<std::size_t> widths(align_.size(), 0);
  const auto measure = [&](const std::vector<std::string>& cells) {
    for (std::size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], display_width(cells[i]));
  };
  measure(header_);
  for (const auto& cells : rows_) measure(cells);
  constexpr std::size_t kGap = 2;
  std::size_t total = indent;
  for (const std::size_t width : widths) total += width + kGap;
  if (terminal.is_terminal && total > terminal.columns + kGap) {
    const std::size_t excess = total - terminal.columns - kGap;
    widths[0] = std::max<std::size_t>(12, widths[0] > excess ? widths[0] - excess : 0);
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells, Role role) {
    std::string text(indent, ' ');
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string cell = i == 0 ? clipped(cells[0], widths[0]) : cells[i];
      text += padded(cell, widths[i], align_[i]);
      if (i + 1 < cells.size()) text += std::string(kGap, ' ');
    }
    while (!text.empty() && text.back() == ' ') text.pop_back();
    out += terminal.paint(text, role);
    out += '\n';
  };
  if (!header_.empty()) line(header_, Role::dim);
  for (const auto& cells : rows_) line(cells, Role::plain);
  return out;
}

}  // namespace rushlight::cli
