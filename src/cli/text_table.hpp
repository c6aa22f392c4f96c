// Rows of cells, aligned by display width.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cli/terminal.hpp"

namespace rushlight::cli {

// Columns a terminal needs for UTF-8 text: wide East Asian characters take two, combining marks none.
std::size_t display_width(std::string_view utf8);
// Cut to `columns` with an ellipsis at the end.
std::string clipped(std::string_view utf8, std::size_t columns);

class TextTable {
 public:
  enum class Align { left, right };
  explicit TextTable(std::vector<Align> columns) : align_(std::move(columns)) {}

  void header(std::vector<std::string> cells) { header_ = std::move(cells); }
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  [[nodiscard]] std::size_t size() const noexcept { return rows_.size(); }

  // Lines with `indent` spaces before; the first column is clipped where a line would be longer than the terminal.
  [[nodiscard]] std::string render(const Terminal& terminal, std::size_t indent = 2) const;

 private:
  std::vector<Align> align_;
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace rushlight::cli
