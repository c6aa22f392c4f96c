/// \file
/// Tuning: which of several ways to compute a layer was measured to be the fastest on this machine.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "rushlight/export.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"

namespace rushlight {

/// A table of choices that sessions read and add to (SessionOptions::tuning). On the CPU a 3x3 convolution can be
/// computed directly or by Winograd's F(2x2) or F(2x4), with stride 2 by its F(2x2), in Precision::fast also by F(4x4);
/// on a GPU products have tiles of several sizes. Without a Tuning a rule of counted operations and bytes decides, the
/// same on all processors of one instruction set and width of units; with one, ways that the table lacks are measured
/// while the session plans, some hundredths of a second for each kind of layer (very large ones some tenths, since each
/// way runs twice at least), and the fastest is noted, by the CPU with the times of all.
///
/// Every way that is offered keeps the precision's promise. Those of a GPU give the same bits; those of the CPU differ
/// in the last ones, so there a result is the same from run to run where the table is the same and complete: keep it in
/// a file, or do without.
///
/// Entries belong to a machine (processor, instruction set and cache, or GPU and driver; version of Rushlight), a
/// precision, a number of threads and the sizes of a layer. Those of other machines are kept, and written again, but
/// nobody here follows them.
///
/// One object may serve any number of sessions and models, on several threads at once.
class RUSHLIGHT_API Tuning {
 public:
  Tuning();  ///< empty
  Tuning(Tuning&&) noexcept;
  Tuning& operator=(Tuning&&) noexcept;
  ~Tuning();

  /// From text(). ErrorCode::mismatch names the line that cannot be understood; ::limit_exceeded when there are
  /// more than limits.json_bytes bytes or limits.graph_nodes entries. What an entry says is never trusted: a way that
  /// its layer does not have is measured anew.
  static Result<Tuning> parse(std::string_view text, const Limits& limits = {});
  /// Lines of ASCII for people, version control and parse(): the same table gives the same text.
  [[nodiscard]] std::string text() const;

  /// Entries, those of other machines included.
  [[nodiscard]] std::size_t size() const noexcept;
  /// Entries that sessions have added or replaced since this object was made: whether there is something to save.
  [[nodiscard]] std::size_t measured() const noexcept;
  /// With false nothing is measured: where the table has no entry, the rule decides. True at first. Not for a table
  /// that sessions use meanwhile.
  void set_measures(bool measures) noexcept;

  struct Impl;  ///< opaque

 private:
  friend struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Tuning::parse() of a file. ErrorCode::not_found when there is none.
RUSHLIGHT_API Result<Tuning> load_tuning(const std::filesystem::path& path, const Limits& limits = {});
/// Replaces the file whole or not at all.
RUSHLIGHT_API Status save_tuning(const Tuning& tuning, const std::filesystem::path& path);

}  // namespace rushlight
